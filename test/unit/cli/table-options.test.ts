import { expect, test } from '@jest/globals';
import { Command } from 'commander';
import { type ScopeFlags, scopeOf, scopeOptions } from '../../../src/cli/table-options.js';

function scopeFrom(...argv: string[]): unknown {
  const command = new Command().exitOverride().configureOutput({ writeErr: () => undefined });
  for (const option of scopeOptions()) command.addOption(option);
  command.parse(argv, { from: 'user' });
  return scopeOf(command.opts<ScopeFlags>());
}

test('T1: a scope is typed predicates on columns, and values of one column are alternatives', () => {
  expect(scopeFrom()).toBeUndefined();
  expect(
    scopeFrom(
      ...['--where-range', 'day=2026-11-01..2026-12-01', '--where-range', 'id=..100', '--where-in', 'status=booked'],
      ...['--where-in', 'status=a=b', '--where-null', 'status', '--where-null', 'note'],
    ),
  ).toEqual([
    { column: 'day', from: '2026-11-01', below: '2026-12-01' },
    { column: 'id', below: '100' },
    { column: 'status', in: ['booked', 'a=b', null] },
    { column: 'note', in: [null] },
  ]);
  for (const wrong of ['day', '=1..2', 'day=2026-11-01', 'day=..', 'day=1..2..3'])
    expect(() => scopeFrom('--where-range', wrong)).toThrow();
  expect(() => scopeFrom('--where-in', 'status')).toThrow();
});
