import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  DifferenceCounter,
  leafBits,
  MOST_VALUES,
  OTHER_VALUES,
  parseBreakdown,
  planSlices,
} from '../../../../src/domain/table/compare.js';
import type { RowDifference } from '../../../../src/domain/table/compare.js';
import {
  compareFloats,
  compareIntervals,
  compareNumbers,
  compareTimes,
  scopeTest,
} from '../../../../src/domain/table/scope.js';

const inOrder = (values: readonly string[], compare: (a: string, b: string) => number): void => {
  for (const [at, one] of values.entries())
    for (const [other, two] of values.entries())
      expect([one, two, Math.sign(compare(one, two))]).toEqual([one, two, Math.sign(at - other)]);
};

test('T1: numbers of a scope are ordered exactly, however long, as PostgreSQL orders them', () => {
  inOrder(
    [
      '-Infinity',
      '-100.5',
      '-100.25',
      '-9',
      '-0.001',
      '0',
      '0.10',
      '0.2',
      '9',
      '10',
      '12345678901234567890.5',
      '12345678901234567890.51',
      'Infinity',
      'NaN',
    ],
    compareNumbers,
  );
  inOrder(['-Infinity', '-1e+300', '-9', '5e-324', '0.1', '9', '10', '1e+22', 'Infinity', 'NaN'], compareFloats);
  expect(compareFloats('-0', '0')).toBe(0);
  expect(compareNumbers('1.00', '1')).toBe(0);
  expect(compareNumbers('-0.0', '0')).toBe(0);
  fc.assert(
    fc.property(
      fc.integer(),
      fc.integer(),
      (a, b) => Math.sign(compareNumbers(String(a), String(b))) === Math.sign(a - b),
    ),
  );
});

test('T1: dates and times of a scope are ordered over eras, years of more than four digits and infinity', () => {
  inOrder(
    [
      '-infinity',
      '0100-01-01 BC',
      '0044-03-15 BC',
      '0044-03-16 BC',
      '0001-01-01',
      '2026-11-04',
      '2026-11-05',
      '10000-01-01',
      'infinity',
    ],
    compareTimes,
  );
  inOrder(
    ['2026-11-04 08:00:00+00', '2026-11-04 08:00:00.25+00', '2026-11-04 08:00:00.5+00', '2026-11-05 00:00:00+00'],
    compareTimes,
  );
});

test('T1: intervals of a scope are ordered with months of 30 days and days of 24 hours', () => {
  inOrder(
    [
      '-infinity',
      '-1 years -2 mons',
      '-1 days',
      '1 day -25:00:00',
      '00:00:00',
      '00:00:00.000001',
      '23:59:59.5',
      '1 mon',
      '1 year',
      'infinity',
    ],
    compareIntervals,
  );
  expect(compareIntervals('1 mon', '29 days 24:00:00')).toBe(0);
  const holds = scopeTest(
    [
      { column: 'f', in: ['0', 'NaN'] },
      { column: 'i', in: ['1 day'] },
    ],
    [
      { name: 'f', type: 'real' },
      { name: 'i', type: 'interval day to second(3)' },
    ],
  );
  expect(
    [
      ['-0', '24:00:00'],
      ['NaN', '1 day'],
      ['0', '25:00:00'],
    ].map(holds),
  ).toEqual([true, true, false]);
});

test('T1: a scope holds where all of its terms do; NULL is in no range', () => {
  const columns = [
    { name: 'day', type: 'date' },
    { name: 'amount', type: 'numeric(8,2)' },
    { name: 'note', type: 'text' },
  ];
  const holds = scopeTest(
    [
      { column: 'day', from: '2026-11-01', below: '2026-12-01' },
      { column: 'amount', in: ['1', null] },
    ],
    columns,
  );
  expect(holds(['2026-11-01', '1.00', null])).toBe(true);
  expect(holds(['2026-11-30', null, null])).toBe(true);
  expect(holds(['2026-12-01', '1.00', null])).toBe(false);
  expect(holds([null, '1.00', null])).toBe(false);
  expect(holds(['2026-11-01', '2.00', null])).toBe(false);
  expect(() => scopeTest([{ column: 'note', from: 'a' }], columns)).toThrow('no ranges');
});

const missing = (value: string | null): RowDifference => ({
  kind: 'missing',
  key: [],
  before: [value],
  after: null,
  columns: [],
  times: 2,
});

test('T1: differences are broken down by day in any form of a timestamp, and a breakdown does not grow without end', () => {
  const counter = new DifferenceCounter(['at'], parseBreakdown('day:at'), 1);
  for (const value of ['2026-11-20 10:00:00+00', '2026-11-20', '0044-03-15 10:00:00 BC', 'infinity', null])
    counter.add(missing(value));
  expect(counter.breakdown().map(({ value, missing: rows }) => [value, rows])).toEqual([
    [null, 2],
    ['0044-03-15 BC', 2],
    ['2026-11-20', 4],
    ['infinity', 2],
  ]);
  const many = new DifferenceCounter(['at'], parseBreakdown('at'), 0);
  for (let value = 0; value < MOST_VALUES + 50; value++) many.add(missing(String(value)));
  expect(many.breakdown()).toHaveLength(MOST_VALUES + 1);
  expect(many.breakdown()).toContainEqual({ value: OTHER_VALUES, missing: 100, changed: 0, extra: 0 });
});

test('T1: of a very long value samples and a breakdown have the beginning, and how long it is', () => {
  const long = 'é'.repeat(10_001);
  const counter = new DifferenceCounter(['id', 'v'], parseBreakdown('v'), 1);
  const before = ['1', 'x'.repeat(10_000)];
  counter.add({ kind: 'changed', key: ['1'], before, after: ['1', long], columns: ['v'], times: 1 });
  expect(counter.samples[0]?.before).toEqual(before);
  expect(counter.samples[0]?.after?.[1]).toBe(`${long.slice(1)}… (10001 characters)`);
  counter.add({ kind: 'missing', key: ['2'], before: ['2', long], after: null, columns: [], times: 1 });
  expect(counter.breakdown().map(({ value }) => value?.length)).toEqual([
    10_000,
    10_000 + '… (10001 characters)'.length,
  ]);
});

test('T1: leaves hold about 200 rows, and are read in slices that keep their order', () => {
  expect([0, 200, 30_000, 5_000_000, 1e12].map((rows) => leafBits(rows, false))).toEqual([4, 4, 8, 15, 18]);
  fc.assert(
    fc.property(fc.array(fc.nat(50)), fc.integer({ min: 1, max: 100 }), (rows, most) => {
      const leaves = rows.map((_rows, leaf) => leaf);
      const rowsOf = (leaf: number): number => rows[leaf] ?? 0;
      const slices = planSlices(leaves, rowsOf, most);
      expect(slices.flat()).toEqual(leaves);
      for (const slice of slices)
        expect(slice.length === 1 || slice.reduce((sum, leaf) => sum + rowsOf(leaf), 0) <= most).toBe(true);
    }),
  );
});
