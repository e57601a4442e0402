import { describe, expect, it } from '@jest/globals';
import type { RecoveryTarget } from '../../../src/domain/target/target.js';
import type { Candidate } from '../../../src/postgres/wal/choose-base-backup.js';
import type { RecoverableRange } from '../../../src/postgres/wal/recoverable-range.js';
import { assertRecoverable } from '../../../src/postgres/wal/assert-recoverable.js';

const segment = (number: number): string =>
  `0000000100000000000000${number.toString(16).padStart(2, '0').toUpperCase()}`;
const chosen = { stored: { label: '20261121-021503F', wal: { start: segment(2), stop: segment(3) } } } as Candidate;
const whole: RecoverableRange = {
  followed: { timeline: { id: 1, history: [] }, left: [] },
  abandoned: [],
  endSegment: segment(7),
  missing: [],
  damaged: [],
  salvage: null,
  segmentBytes: 16 * 1024 * 1024,
  endLsn: '0/7000060',
  lastCommitAt: '2026-11-21T02:14:57.123456Z',
  lastCommitLsn: '0/7000028',
};
const judge =
  (target: RecoveryTarget, reach: Partial<RecoverableRange> = {}) =>
  () =>
    assertRecoverable(target, chosen, { ...whole, ...reach });

describe('F23: the end of the WAL', () => {
  it('is known where it is to be reached', () => {
    expect(judge({ kind: 'latest' })).not.toThrow();
  });

  it('not known, latest is refused with what to name instead: a replay that ended too early could not be detected', () => {
    expect(judge({ kind: 'latest' }, { endLsn: null, lastCommitAt: null })).toThrow(
      expect.objectContaining({
        code: 'wal-gap',
        message: expect.stringContaining(segment(7)),
        hint: expect.stringContaining('--to end-of-backup'),
      }),
    );
  });

  it('not known, a target of its own is still taken: PostgreSQL ends with an error where it does not come to it', () => {
    for (const target of [
      { kind: 'time', time: '2026-11-21T02:10:00Z' },
      { kind: 'lsn', lsn: '0/6000000' },
      { kind: 'end-of-backup' },
    ] as const) {
      expect(judge(target, { endLsn: null, lastCommitAt: null })).not.toThrow();
    }
  });

  it('behind a gap, latest is refused and the gap named', () => {
    expect(judge({ kind: 'latest' }, { missing: [segment(5)], endSegment: segment(4) })).toThrow(
      expect.objectContaining({ code: 'wal-gap', message: expect.stringContaining(segment(5)) }),
    );
  });

  it('F15: before a damaged segment, latest is refused with what can be typed instead, and what lies before it is taken', () => {
    const damaged = { missing: [segment(8)], damaged: [segment(8)] };
    expect(judge({ kind: 'latest' }, damaged)).toThrow(
      expect.objectContaining({
        code: 'wal-gap',
        message: expect.stringContaining(`archived WAL is damaged, ${segment(8)}`),
        hint: expect.stringContaining('2026-11-21T02:14:57.123456Z (lsn:0/7000028)'),
      }),
    );
    expect(judge({ kind: 'time', time: '2026-11-21T02:14:58Z' }, damaged)).toThrow(
      expect.objectContaining({ code: 'wal-gap' }),
    );
    expect(judge({ kind: 'time', time: '2026-11-21T02:14:57Z' }, damaged)).not.toThrow();
  });
});
