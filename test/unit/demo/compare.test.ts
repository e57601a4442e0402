import { describe, expect, it } from '@jest/globals';
import { isAsExpected } from '../../../src/demo/compare.js';
import type { Comparison } from '../../../src/demo/compare.js';

const same = { name: 'metier.journal', rows: 30, match: true };
const first: Comparison = {
  loss: 'data-files',
  tables: [same],
  upTo: 30,
  acknowledged: 30,
  lost: [],
  unacknowledged: 0,
  archivedUpTo: 20,
};
const second: Comparison = {
  loss: 'whole-directory',
  tables: [same],
  upTo: 20,
  acknowledged: 30,
  lost: [21, 22, 23],
  unacknowledged: 0,
  archivedUpTo: 20,
};

describe('what counts as recovered', () => {
  it('with the old WAL: every acknowledged commit, and one never acknowledged may be there', () => {
    expect(isAsExpected(first)).toBe(true);
    expect(isAsExpected({ ...first, upTo: 31, unacknowledged: 1 })).toBe(true);
    expect(isAsExpected({ ...first, upTo: 29, lost: [30] })).toBe(false);
  });

  it('without it: exactly the commits in the archive, no more and no less', () => {
    expect(isAsExpected(second)).toBe(true);
    expect(isAsExpected({ ...second, upTo: 19, lost: [20, 21, 22, 23] })).toBe(false);
    expect(isAsExpected({ ...second, lost: [12, 21, 22, 23] })).toBe(false);
    expect(isAsExpected({ ...second, upTo: 21, lost: [22, 23] })).toBe(false);
  });

  it('never where one table differs', () => {
    const tables = [same, { ...same, name: 'metier.services', match: false }];
    expect(isAsExpected({ ...first, tables })).toBe(false);
    expect(isAsExpected({ ...second, tables })).toBe(false);
  });
});
