import { describe, expect, it } from '@jest/globals';
import { stepNames } from '../../../src/domain/plan/recovery-step-names.js';
import { describeResidualState } from '../../../src/domain/plan/residual-state.js';
import type { PlannedMedia } from '../../../src/domain/plan/planned-media.js';
import { samplePlan } from '../records/samples.js';

const media: PlannedMedia = {
  name: 'photos',
  instant: '2026-11-21T01:00:00.000Z',
  counts: { undelete: { objects: 1, bytes: 1 }, overwrite: { objects: 0, bytes: 0 }, copy: { objects: 0, bytes: 0 } },
  digest: 'd',
};

describe('what a recovery leaves that ended before its end', () => {
  it('K2: the command to go on goes to the same target: without it, the next plan would replay the mistake', () => {
    const plan = samplePlan({
      target: { kind: 'time', time: '2026-11-21T08:00:00.000Z' },
      policy: 'physical',
      pause: true,
    });
    expect(describeResidualState(plan, ['replay WAL'])).toContain(
      `\`reprise recover ${plan.binding.cluster} --to 2026-11-21T08:00:00.000Z --policy physical --pause\``,
    );
  });

  it('a backup that was named is named again, not the newest one', () => {
    const plan = samplePlan({ target: { kind: 'end-of-backup' } });
    expect(describeResidualState(plan, ['restore files'])).toContain(` --to backup:${plan.binding.backups[0]?.id} `);
  });

  it('K1: media that were brought back already are named, with the way back, and asked for again', () => {
    const plan = samplePlan({ method: 'databases', media });
    expect(describeResidualState(plan, ['restore beside the live databases'])).not.toContain('photos are');
    const left = describeResidualState(plan, ['restore beside the live databases', stepNames.media]);
    expect(left).toContain('The media photos were recovered to 2026-11-21T01:00:00.000Z, in part or completely');
    expect(left).toContain(' --with-media photos`');
  });

  it('a step that may have been refused before it moved anything is not said to have moved it', () => {
    const plan = samplePlan({ method: 'data-directory', replaces: [{ what: '/data', keptAs: '/data.aside' }] });
    expect(describeResidualState(plan, [stepNames.moveOldData])).toContain('may be kept as /data.aside');
    expect(describeResidualState(plan, [stepNames.moveOldData, 'restore files'])).toContain('is kept as /data.aside');
    expect(describeResidualState(plan, [])).toBe('Nothing was changed.');
    const overwritten = samplePlan({ method: 'data-directory', replaces: [{ what: '/data', keptAs: null }] });
    expect(describeResidualState(overwritten, [stepNames.moveOldData, 'restore files'])).toContain(
      '/data is overwritten and cannot be restored.',
    );
  });
});
