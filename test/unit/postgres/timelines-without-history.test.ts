import { expect, test } from '@jest/globals';
import {
  historyWarnings,
  requireHistories,
  timelinesWithoutHistory,
} from '../../../src/postgres/wal/timelines-without-history.js';

const segment = (timeline: number, number: number): string =>
  [timeline, 0, number].map((part) => part.toString(16).toUpperCase().padStart(8, '0')).join('');
const from = (timeline: number, switchLsn = '0/3000000') => ({ timeline, switchLsn });

test('W5: timelines of archived segments without a history are found, with their first segment', () => {
  const segments = [segment(1, 1), segment(2, 3), segment(3, 5), segment(3, 4), segment(4, 6), '00000005.history'];
  const known = [{ id: 2, history: [from(1)] }];
  expect(timelinesWithoutHistory(segments, known, 1)).toEqual([
    { id: 3, first: segment(3, 4) },
    { id: 4, first: segment(4, 6) },
  ]);
  // An ancestor is told of by the later history, and a backup's own timeline is known by the backup.
  expect(timelinesWithoutHistory(segments, [{ id: 4, history: [from(1), from(2)] }], 3)).toEqual([]);
  // A history without a line.
  expect(timelinesWithoutHistory([segment(2, 3)], [{ id: 2, history: [] }], 1)).toEqual([
    { id: 2, first: segment(2, 3) },
  ]);
});

test('W5: latest is refused where such a timeline is later than the one that is followed; any plan says so', () => {
  const unknown = [{ id: 3, first: segment(3, 4) }];
  expect(() => requireHistories(2, unknown)).toThrow(
    expect.objectContaining({
      code: 'wal-gap',
      message: expect.stringContaining('00000003.history is missing'),
      hint: expect.stringContaining('or name a target on timeline 2'),
    }),
  );
  expect(() => requireHistories(4, unknown)).not.toThrow();
  expect(historyWarnings(unknown)).toEqual([
    `WAL of timeline 3 is in the archive (from ${segment(3, 4)} on), and its 00000003.history is missing: nothing of it is recovered`,
  ]);
});
