import { describe, expect, it } from '@jest/globals';
import { forecastSpace } from '../../../src/domain/storage/forecast.js';

const now = new Date('2026-11-21T02:00:00Z');
const daysAgo = (days: number): string => new Date(now.getTime() - days * 86_400_000).toISOString();
/** One backup of 100 bytes a day for so many days. */
const daily = (days: number) => Array.from({ length: days }, (_, index) => ({ at: daysAgo(days - index), bytes: 100 }));

describe('disk forecast', () => {
  it('counts the days until what is free is used at the pace of the last fortnight', () => {
    const found = forecastSpace([{ events: daily(40), keepDays: null }], 1000, now);
    expect(found?.bytesPerDay).toBeCloseTo(100, 5);
    expect(found?.daysLeft).toBeCloseTo(10, 5);
  });

  it('a repository that rotation keeps at one size is never full', () => {
    const events = daily(40).flatMap(({ at, bytes }) => [
      { at, bytes },
      { at, bytes: -bytes },
    ]);
    expect(forecastSpace([{ events, keepDays: 14 }], 1000, now)).toMatchObject({ daysLeft: null });
  });

  it('a young one fills up only where its final size does not fit', () => {
    const young = { events: daily(4), keepDays: 14 };
    // 15 times 100 when retention begins, of which 400 are there.
    expect(forecastSpace([young], 1100, now)).toMatchObject({ daysLeft: null });
    expect(forecastSpace([young], 1099, now)?.daysLeft).toBeCloseTo(10.99, 1);
  });

  it('all policies of one place count, and one without a rule of days has no final size', () => {
    expect(
      forecastSpace(
        [
          { events: daily(4), keepDays: 14 },
          { events: daily(4), keepDays: null },
        ],
        2200,
        now,
      )?.daysLeft,
    ).toBeCloseTo(11, 1);
  });

  it('less than a day tells nothing', () => {
    expect(forecastSpace([{ events: [{ at: daysAgo(0.9), bytes: 100 }], keepDays: 14 }], 1000, now)).toBeNull();
    expect(forecastSpace([], 1000, now)).toBeNull();
  });
});
