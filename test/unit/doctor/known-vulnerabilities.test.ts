import { describe, expect, it } from '@jest/globals';
import { knownVulnerability } from '../../../src/doctor/known-vulnerabilities.js';

describe('F43: versions with known holes', () => {
  it.each([
    [13, 22],
    [14, 19],
    [15, 14],
    [16, 10],
    [17, 6],
  ])('a server of PostgreSQL %i is told to go to %i.%i, and not beyond what concerns it', (major, floor) => {
    expect(knownVulnerability('postgres', major, floor - 1)).toEqual({
      cve: 'CVE-2025-8714, CVE-2025-8715',
      harm: expect.any(String),
      floor,
    });
    expect(knownVulnerability('postgres', major, floor)).toBeNull();
  });

  it('names every hole that is open, the worst one in words, and the version without any', () => {
    expect(knownVulnerability('pg_restore', 15, 13)).toMatchObject({
      cve: expect.stringMatching(/^CVE-2026-116314, CVE-2026-18408, CVE-2025-8714/),
      floor: 20,
    });
    expect(knownVulnerability('pg_restore', 15, 19)).toMatchObject({ cve: 'CVE-2026-116314', floor: 20 });
    expect(knownVulnerability('pg_restore', 15, 20)).toBeNull();
    expect(knownVulnerability('pg_dumpall', 15, 19)).toBeNull();
  });

  it('says nothing of a major version it does not know', () => {
    expect(knownVulnerability('pg_dump', 99, 0)).toBeNull();
  });
});
