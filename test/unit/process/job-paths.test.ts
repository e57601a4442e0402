import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { jobDirectory, jobKey } from '../../../src/process/jobs/job-paths.js';
import { safeFileName } from '../../../src/files/safe-names.js';
import { mergeLocks } from '../../../src/process/jobs/launch.js';

describe('F35, F37: any text becomes one safe path segment', () => {
  it('safe text stays readable', () => {
    expect(safeFileName('pg_dump.mairie-1')).toBe('pg_dump.mairie-1');
    expect(safeFileName('../etc')).toMatch(/^~-etc~[0-9a-f]{20}$/);
  });

  it('whatever it holds', () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('.', '..', '', '~a', 'a@b', '/', '\0', '-rf'));
    fc.assert(
      fc.property(text, (name) => {
        expect(safeFileName(name)).toMatch(/^[A-Za-z0-9~][A-Za-z0-9._~-]{0,120}$/);
        expect(['.', '..']).not.toContain(safeFileName(name));
      }),
    );
  });

  it('no two texts share one, nor a step with a digest and another step', () => {
    const text = fc.oneof(fc.string(), fc.stringMatching(/^[a@~./]{0,4}$/));
    fc.assert(
      fc.property(text, text, text, (a, b, digest) => {
        fc.pre(a !== b);
        expect(safeFileName(a)).not.toBe(safeFileName(b));
        expect(jobDirectory('/s', 'op', a)).not.toBe(jobDirectory('/s', 'op', b, digest));
      }),
    );
  });
});

it('a job’s key has neither run nor activity in it', () => {
  expect(jobKey('op', 'dump')).toBe('op/dump');
  expect(jobKey('op', 'restore', '0123456789abcdef')).toBe('op/restore/0123456789ab');
});

it('a lock asked for twice is one, exclusive where either asks so', () => {
  const shared = { name: 'a', mode: 'shared' } as const;
  const exclusive = { name: 'a', mode: 'exclusive' } as const;
  expect(mergeLocks([shared], [exclusive, shared])).toEqual([exclusive]);
  expect(mergeLocks([shared], [shared])).toEqual([shared]);
});
