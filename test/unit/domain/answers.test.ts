import { describe, expect, it } from '@jest/globals';
import { mergeInspectionResults } from '../../../src/domain/operation/inspections.js';

describe('answers of several hosts as one', () => {
  it('joins lists in the order of the hosts, keeps the rest of the first', () => {
    expect(
      mergeInspectionResults([{ backups: [1, 2], host: 'db1' }, { backups: [3], host: 'db2' }, { backups: [] }]),
    ).toEqual({
      backups: [1, 2, 3],
      host: 'db1',
    });
  });
  it('leaves a single answer as it is', () => {
    const answer = { plan: { digest: 'x' } };
    expect(mergeInspectionResults([answer])).toBe(answer);
  });
  it('passes over a host that answered something else', () => {
    expect(mergeInspectionResults([{ kept: [1] }, null, { other: [2] }, { kept: [3] }])).toEqual({ kept: [1, 3] });
  });
  it('has no answer where no host was asked', () => {
    expect(mergeInspectionResults([])).toBeUndefined();
  });
});
