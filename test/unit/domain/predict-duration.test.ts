import { describe, expect, it } from '@jest/globals';
import { type MeasuredRestore, measuredRecovery, predictSeconds } from '../../../src/domain/plan/predict-duration.js';
import { samplePlan } from '../records/samples.js';

const GB = 1e9;

const restored = (sizeBytes: number, restoreSeconds: number, more: Partial<MeasuredRestore> = {}): MeasuredRestore => ({
  ...{ id: `${sizeBytes}/${restoreSeconds}`, engine: 'pgbackrest', method: 'data-directory' },
  ...{ at: '2026-04-05T02:00:00Z', sizeBytes, walBytes: null, restoreSeconds, replaySeconds: 10, otherSeconds: null },
  ...more,
});
const predict = (measured: readonly MeasuredRestore[], sizeBytes: number, walBytes: number | null = null) =>
  predictSeconds(measured, { sizeBytes, walBytes });

describe('how long a restore will take', () => {
  it('P4: nothing measured, nothing predicted', () => {
    expect(predict([], GB)).toBeNull();
  });

  it('P4: one restore is the measure for the next of its size, with a wide range', () => {
    expect(predict([restored(10 * GB, 90)], 10 * GB)).toEqual({ p50: 100, p90: 150, samples: 1 });
    // Larger ones take longer.
    expect(predict([restored(10 * GB, 90)], 20 * GB)?.p50).toBe(190);
  });

  it('P4: three sizes give what any restore takes and what a byte takes: within 25 % of others, small and large', () => {
    const truth = (bytes: number) => 30 + bytes / 1e8;
    // Each measured 10 % too high or too low.
    const measured = [1, 10, 100].map((size, index) =>
      restored(size * GB, truth(size * GB) * (index === 1 ? 0.9 : 1.1)),
    );
    for (const size of [0.5, 5, 50, 500]) {
      const said = predict(measured, size * GB)?.p50 ?? 0;
      expect(Math.abs(said / (truth(size * GB) + 10) - 1)).toBeLessThan(0.25);
    }
  });

  it('P4: one restore that took ten times as long moves the middle little, and the range much', () => {
    const usual = Array.from({ length: 8 }, (_, index) => restored(10 * GB, 90, { id: `${index}` }));
    expect(predict(usual, 10 * GB)).toEqual({ p50: 100, p90: 118, samples: 8 });
    const said = predict([...usual, restored(10 * GB, 900)], 10 * GB);
    expect(said?.p50).toBe(100);
    expect(said?.p90).toBeGreaterThan(200);
  });

  it('P4: WAL is measured by its own bytes, and the steps of a recovery come on top', () => {
    const measured = [
      restored(10 * GB, 90, { walBytes: GB, replaySeconds: 15 }),
      restored(10 * GB, 90, { walBytes: 10 * GB, replaySeconds: 105, otherSeconds: 20 }),
    ];
    expect(predict(measured, 10 * GB, 5 * GB)?.p50).toBe(90 + 55 + 20);
    expect(predict(measured, 10 * GB, 0)?.p50).toBe(90 + 5 + 20);
  });

  it('P4: the steps beside restore and replay grow with the size where they were seen to, and are the usual ones where sizes are alike', () => {
    const other = (sizeBytes: number, otherSeconds: number) =>
      restored(sizeBytes, sizeBytes / 1e8, { otherSeconds, id: `${sizeBytes}/${otherSeconds}` });
    // Checks read every table: 5 seconds and a second for each gigabyte.
    expect(predict([other(10 * GB, 15), other(100 * GB, 105)], 50 * GB)?.p50).toBe(500 + 10 + 55);
    expect(predict([other(10 * GB, 15), other(10 * GB, 17)], 50 * GB)?.p50).toBe(500 + 10 + 16);
  });

  it('P4: only the newest restores count: disks and networks change', () => {
    const old = Array.from({ length: 30 }, (_, index) => restored(GB, 1000, { at: `2020-01-01T00:00:${10 + index}Z` }));
    const recent = Array.from({ length: 20 }, (_, index) =>
      restored(GB, 40, { at: `2026-01-01T00:00:${10 + index}Z` }),
    );
    expect(predict([...recent, ...old], GB)).toMatchObject({ p50: 50, samples: 20 });
  });

  it('P4: of a recovery, the steps until it was checked and took writes are measured, without waiting for people', () => {
    const plan = samplePlan();
    const phases = [
      { name: 'wait for approval', seconds: 1000 },
      { name: 'stop the old server', seconds: 2 },
      { name: 'restore files', seconds: 60 },
      { name: 'replay WAL', seconds: 20 },
      { name: 'run checks', seconds: 5 },
      { name: 'promote', seconds: 3 },
      { name: 'take and verify a fresh backup', seconds: 500 },
    ];
    expect(measuredRecovery(plan, { phases }, { id: 'x', at: '2026-04-05T02:00:00Z' })).toMatchObject({
      ...{ engine: plan.binding.engine, sizeBytes: plan.observed.sizeBytes },
      ...{ restoreSeconds: 60, replaySeconds: 20, otherSeconds: 10 },
    });
    // The plan is made outside of the steps, twice: people wait for that as well.
    const told = { id: 'x', at: '2026-04-05T02:00:00Z', wholeSeconds: 97 };
    expect(measuredRecovery(plan, { phases }, told)).toMatchObject({ replaySeconds: 20, otherSeconds: 17 });
    expect(measuredRecovery(plan, { phases }, { ...told, wholeSeconds: 1 })).toMatchObject({ otherSeconds: 10 });
  });
});
