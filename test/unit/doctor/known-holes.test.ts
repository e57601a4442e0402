import { describe, expect, it } from '@jest/globals';
import { knownHole } from '../../../src/doctor/known-holes.js';

describe('F43: versions with known holes', () => {
  it.each([
    [13, 22],
    [14, 19],
    [15, 14],
    [16, 10],
    [17, 6],
  ])('a server of PostgreSQL %i is told to go to %i.%i, and not beyond what concerns it', (major, floor) => {
    expect(knownHole('postgres', major, floor - 1)).toEqual({
      cve: 'CVE-2025-8714, CVE-2025-8715',
      harm: expect.any(String),
      floor,
    });
    expect(knownHole('postgres', major, floor)).toBeNull();
  });

  it('names every hole that is open, the worst one in words, and the version without any', () => {
    expect(knownHole('pg_restore', 15, 13)).toMatchObject({
      cve: expect.stringMatching(/^CVE-2026-116314, CVE-2026-18408, CVE-2025-8714/),
      floor: 20,
    });
    expect(knownHole('pg_restore', 15, 19)).toMatchObject({ cve: 'CVE-2026-116314', floor: 20 });
    expect(knownHole('pg_restore', 15, 20)).toBeNull();
    expect(knownHole('pg_dumpall', 15, 19)).toBeNull();
  });

  it('says nothing of a major version it does not know', () => {
    expect(knownHole('pg_dump', 99, 0)).toBeNull();
  });
});
