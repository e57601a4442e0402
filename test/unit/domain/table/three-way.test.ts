import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { RowText } from '../../../../src/domain/table/repair.js';
import { sameRow, undoRow } from '../../../../src/domain/table/three-way.js';

const KEEP = { rule: 'keep' as const };
const of = { columns: ['id', 'v', 'at'] };
const row = (v: string | null, at = '1'): RowText => ['7', v, at];
const undo = (
  good: RowText | null,
  bad: RowText | null,
  now: RowText | null,
  rule: Parameters<typeof undoRow>[1] = KEEP,
) => undoRow({ key: ['7'], good, bad, now }, rule, of);

describe('M4: three states of one row', () => {
  test('what is still as the damage left it becomes as it was', () => {
    expect(undo(row('a'), row('b'), row('b'))).toEqual({ op: 'update', before: row('b'), after: row('a') });
    expect(undo(row('a'), null, null)).toEqual({ op: 'insert', after: row('a') });
    expect(undo(null, row('b'), row('b'))).toEqual({ op: 'delete', before: row('b') });
  });

  test('what is right again, or was not damaged, is left alone', () => {
    expect(undo(row('a'), row('b'), row('a'))).toBeNull();
    expect(undo(row('a'), row('a'), row('c'))).toBeNull();
    expect(undo(null, row('b'), null)).toBeNull();
  });

  test.each([
    ['changed-since', row('a'), row('b'), row('c')],
    ['changed-since', null, row('b'), row('c')],
    ['there-again', row('a'), null, row('c')],
    ['deleted-since', row('a'), row('b'), null],
  ] as const)('a row that changed for another reason too is a conflict: %s', (reason, good, bad, now) => {
    expect(undo(good, bad, now)).toEqual({ op: 'conflict', reason, key: ['7'], good, bad, now });
  });

  test('rules for conflicts: take, listed keys, the newer by a column', () => {
    const change = { op: 'update', before: row('c', '2'), after: row('a', '3') };
    const states = [row('a', '3'), row('b'), row('c', '2')] as const;
    expect(undo(...states, { rule: 'take' })).toEqual(change);
    expect(undo(...states, { rule: 'keys', keys: [['7']] })).toEqual(change);
    expect(undo(...states, { rule: 'keys', keys: [['8']] })).toMatchObject({ op: 'conflict' });
    expect(undo(...states, { rule: 'newest', column: 'at' })).toEqual(change);
    expect(undo(row('a', '1'), row('b'), row('c', '2'), { rule: 'newest', column: 'at' })).toMatchObject({
      op: 'conflict',
    });
    expect(undo(null, row('b'), row('c'), { rule: 'take' })).toEqual({ op: 'delete', before: row('c') });
  });

  test('whatever happened: a change starts from the row as it is, and nothing is overwritten under "keep"', () => {
    const state = fc.option(
      fc.constantFrom('a', 'b', null).map((v) => row(v)),
      { nil: null },
    );
    fc.assert(
      fc.property(state, state, state, (good, bad, now) => {
        const done = undo(good, bad, now);
        if (done === null || done.op === 'conflict') return;
        expect('before' in done ? done.before : null).toEqual(now);
        expect('after' in done ? done.after : null).toEqual(good);
        expect(sameRow(now, bad)).toBe(true);
      }),
    );
  });
});
