import { describe, expect, it } from '@jest/globals';
import type { RecoveryTarget } from '../../../src/domain/target/target.js';
import type { Candidate } from '../../../src/postgres/wal/choose-base-backup.js';
import { historyInWords } from '../../../src/domain/plan/timeline-history.js';
import { parseTimelineChoice } from '../../../src/domain/target/timeline-choice.js';
import { byTimeline } from '../../../src/postgres/wal/by-timeline.js';
import { followedSegments } from '../../../src/postgres/wal/scan/followed-segments.js';
import { allTimelines, branchesOf, type Timeline } from '../../../src/postgres/wal/timelines.js';

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
const split = (target: RecoveryTarget, candidates: readonly Candidate[], known = timelines, newest = 2) =>
  byTimeline(target, candidates, newest, known);

describe('F24: after a recovery to an earlier instant', () => {
  it('latest begins with the backup that leads to the newest timeline, and says which newer one does not', () => {
    expect(split({ kind: 'latest' }, [abandoned, before])).toEqual({
      live: [before],
      left: [abandoned],
      passedOver: [expect.stringMatching(/abandoned is not used: .* timeline 1, and the newest is 2/)],
    });
    expect(split({ kind: 'latest' }, [fresh, abandoned, before]).live).toEqual([fresh, before]);
  });

  it('latest is refused where only a backup of the given up past is there; an instant is not', () => {
    expect(() => split({ kind: 'latest' }, [abandoned])).toThrow(
      expect.objectContaining({
        code: 'wal-gap',
        message: expect.stringContaining('newest timeline, 2') as unknown,
        hint: expect.stringContaining('--to backup:abandoned') as unknown,
      }),
    );
    expect(split({ kind: 'time', time: '2026-11-21T12:30:00Z' }, [abandoned])).toMatchObject({ left: [abandoned] });
  });

  it('with one timeline every backup leads there, and nothing is said', () => {
    expect(split({ kind: 'latest' }, [abandoned, before], [], 1)).toEqual({
      live: [abandoned, before],
      left: [],
      passedOver: [],
    });
  });
});

describe('timelines', () => {
  /** 1, left for 2, left for 4; 3 left 1 elsewhere. */
  const [first, second, third, fourth] = [
    { id: 1, history: [] },
    { id: 2, history: [{ timeline: 1, switchLsn: '0/4000100' }] },
    { id: 3, history: [{ timeline: 1, switchLsn: '0/3000100' }] },
    {
      id: 4,
      history: [
        { timeline: 1, switchLsn: '0/4000100' },
        { timeline: 2, switchLsn: '0/6000000' },
      ],
    },
  ] as const;

  it('W4: ancestors that no history file names are known, and beside the followed one all others are branches', () => {
    expect(allTimelines([fourth, third], [5])).toEqual([first, second, third, fourth, { id: 5, history: [] }]);
    expect(
      branchesOf(fourth, [first, second, third, fourth]).map(({ timeline: { id }, at, parting, successor }) => [
        id,
        at,
        parting,
        successor?.id,
      ]),
    ).toEqual([
      [1, '0/4000100', '0/4000100', 2],
      [2, '0/6000000', '0/6000000', 4],
      [3, '0/3000100', '0/3000100', 4],
    ]);
  });

  it('W6: a segment is read from the newest timeline that has it, and what a recovery left is not read on', () => {
    const present = new Map(
      [segment(2), segment(3), segment(4), segment(5), segment(4, 2), segment(5, 2), segment(6, 4)].map(
        (name) => [name, 'archive'] as const,
      ),
    );
    const read = (timeline: Timeline): string[] =>
      followedSegments(present, timeline, 16 * 1024 * 1024, { from: 2n, to: null }).map(({ name }) => name);
    expect(read(first)).toEqual([segment(2), segment(3), segment(4), segment(5)]);
    expect(read(fourth)).toEqual([segment(2), segment(3), segment(4, 2), segment(5, 2), segment(6, 4)]);
    present.delete(segment(4, 2));
    // Up to the switch it is the same WAL, and no further.
    expect(followedSegments(present, second, 16 * 1024 * 1024, { from: 4n, to: null })).toEqual([
      { name: segment(4), number: 4n, from: 'archive', until: 0x4000100n },
    ]);
  });

  it('W4: what is typed after --timeline is read, and nothing else', () => {
    expect(['latest', 'backup', '2', '4294967295'].map(parseTimelineChoice)).toEqual([
      'latest',
      'backup',
      2,
      4294967295,
    ]);
    for (const wrong of ['', '0', '-1', '2.5', '0x2', 'newest', '4294967296'])
      expect(() => parseTimelineChoice(wrong)).toThrow(expect.objectContaining({ code: 'target-invalid' }));
  });

  it('W4: a plan says in words which history is followed', () => {
    expect(historyInWords({ newest: 1, path: [{ timeline: 1, until: null }] })).toBeNull();
    expect(historyInWords({ newest: 2, path: [{ timeline: 1, until: null }] })).toBe(
      '1, which a recovery has left; the newest is 2',
    );
    expect(
      historyInWords({
        newest: 2,
        path: [
          { timeline: 1, until: '0/4000100' },
          { timeline: 2, until: null },
        ],
      }),
    ).toBe('2, the newest; it leaves timeline 1 at 0/4000100');
  });
});
