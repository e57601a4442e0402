import { describe, expect, it } from '@jest/globals';
import type { RecoveryTarget } from '../../../src/domain/target/target.js';
import type { Candidate } from '../../../src/postgres/wal/choose-base-backup.js';
import { nearer } from '../../../src/postgres/wal/choose-base-backup.js';
import { chooseOnNewest } from '../../../src/postgres/wal/newest-timeline.js';
import type { WalSources } from '../../../src/postgres/wal/recoverable-range.js';

const segment = (number: number, timeline = 1): string =>
  `0000000${timeline}00000000000000${number.toString(16).padStart(2, '0').toUpperCase()}`;
const candidate = (label: string, number: number, finishedAt: string, timeline = 1): Candidate => {
  const at = (offset: string): string => `0/${number.toString(16).toUpperCase()}${offset}`;
  const stored = {
    label,
    systemIdentifier: '7',
    finishedAt,
    wal: { start: segment(number, timeline), stop: segment(number, timeline) },
    lsn: { start: at('000028'), stop: at('000100') },
  };
  return { backup: { id: `mairie/${label}`, label }, stored } as Candidate;
};
/** Made on timeline 1 before and after the place to which a recovery went back, and on what it opened. */
const [before, abandoned, fresh] = [
  candidate('before', 2, '2026-11-21T10:00:00Z'),
  candidate('abandoned', 6, '2026-11-21T12:00:00Z'),
  candidate('fresh', 5, '2026-11-21T13:30:00Z', 2),
];
const timelines = [
  { id: 1, history: [] },
  { id: 2, history: [{ timeline: 1, switchLsn: '0/4000100' }] },
];
const choose = async (target: RecoveryTarget, candidates: readonly Candidate[], known = timelines) =>
  chooseOnNewest({} as never, target, candidates as Candidate[], { timelines: known } as unknown as WalSources);

describe('F24: after a recovery to an earlier instant', () => {
  it('latest begins with the backup that leads to the newest timeline, and says which newer one does not', async () => {
    await expect(choose({ kind: 'latest' }, [abandoned, before])).resolves.toEqual({
      chosen: before,
      warnings: [expect.stringMatching(/abandoned is not used: .* timeline 1, and the newest is 2/)],
    });
    await expect(choose({ kind: 'latest' }, [fresh, abandoned, before])).resolves.toMatchObject({ chosen: fresh });
  });

  it('latest is refused where only a backup of the given up past is there', async () => {
    await expect(choose({ kind: 'latest' }, [abandoned])).rejects.toMatchObject({
      code: 'wal-gap',
      message: expect.stringContaining('newest timeline, 2') as unknown,
      hint: expect.stringContaining('--to backup:abandoned') as unknown,
    });
  });

  it('who names the backup, or an instant that is only there, gets it; the latter with a warning', async () => {
    await expect(choose({ kind: 'backup', id: 'abandoned' }, [abandoned, before])).resolves.toEqual({
      chosen: abandoned,
      warnings: [],
    });
    await expect(choose({ kind: 'time', time: '2026-11-21T12:30:00Z' }, [fresh, abandoned])).resolves.toEqual({
      chosen: abandoned,
      warnings: [expect.stringContaining('the newest timeline, 2')],
    });
    await expect(choose({ kind: 'time', time: '2026-11-21T12:30:00Z' }, [abandoned, before])).resolves.toMatchObject({
      chosen: before,
    });
  });

  it('with one timeline the newest backup is chosen, and nothing is said', async () => {
    await expect(choose({ kind: 'latest' }, [abandoned, before], [])).resolves.toEqual({
      chosen: abandoned,
      warnings: [],
    });
  });
});

describe('F23: the search for a transaction or a name', () => {
  const segmentBytes = 16 * 1024 * 1024;

  it('ends at the newer backup, or before it at a gap', () => {
    expect(nearer(segment(6), { endSegment: segment(9), segmentBytes })).toBe(segment(6));
    expect(nearer(segment(6), { endSegment: segment(3), segmentBytes })).toBe(segment(3));
    expect(nearer(null, { endSegment: segment(9), segmentBytes })).toBe(segment(9));
    expect(nearer(segment(6), { endSegment: null, segmentBytes })).toBeNull();
  });
});
