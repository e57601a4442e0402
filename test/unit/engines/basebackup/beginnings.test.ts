import { expect, it } from '@jest/globals';
import { usableBeginnings } from '../../../../src/engines/basebackup/wal/wal-archive.js';

const [two, three, four] = ['000000010000000000000002', '000000010000000000000003', '000000010000000000000004'];

it('F23: a segment that is only begun counts as the last of its timeline, and is a gap before another one', () => {
  expect(usableBeginnings([two, `${three}.partial`])).toEqual([three]);
  expect(usableBeginnings([two, `${three}.partial`, four])).toEqual([]);
  expect(usableBeginnings([`${three}.partial`, `${four}.partial`])).toEqual([four]);
  expect(usableBeginnings([three, `${three}.partial`])).toEqual([]);
  // A promotion leaves the old timeline in the middle of a segment.
  expect(
    usableBeginnings([`${three}.partial`, '00000002.history', '000000020000000000000003', '000000020000000000000004']),
  ).toEqual([three]);
});
