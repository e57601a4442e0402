import { type LostTrait, type MediaChange, type MediaCount, mediaChanges } from '../../domain/media/media.js';
import { isRepriseError } from '../../domain/errors.js';
import type { MediaAction } from '../../media/action.js';
import type { LostCounts } from '../../media/lost.js';
import { applyAll } from '../../media/apply.js';
import { type MediaBounds, within } from '../../media/bounds.js';
import type { MediaPlace } from '../../media/place.js';
import { summarise } from '../../media/summary.js';
import { type MediaRun, actionsOf } from '../../media/carry-out.js';
import type { ActivityRun } from '../activity-wrapper.js';
import { mediaOf } from './places.js';
import type { ClusterContext } from '../cluster-context.js';

export interface Approved {
  /** Name under `media` in the config. */
  readonly name: string;
  readonly work: MediaRun;
  readonly bounds: MediaBounds;
  /** The objects may have changed since the plan: everything is listed and compared with the bounds before the first change. */
  readonly scansFirst: boolean;
  /** By a scan that has just ended and found the plan unchanged. */
  readonly found?: readonly MediaAction[] | null;
}

/**
 * Changes what was approved and no more, and goes on where an earlier attempt stopped.
 * @returns copies that this attempt made without a part of what describes them
 * @throws RepriseError `plan-stale` beyond the bounds; what {@link applyAll} throws
 */
export async function applyApproved(
  clusterContext: ClusterContext,
  { name, work, bounds, scansFirst, found = null }: Approved,
  run: ActivityRun,
): Promise<LostCounts> {
  const { concurrency, singleCopyBytes } = mediaOf(clusterContext, name);
  if (work.kind === 'sync') await markSource(work.from);
  const total = objectsIn(bounds.most);
  if (scansFirst)
    await summarise(within(actionsOf(work, run.cursor), bounds), (done) =>
      run.report({ phase: 'list', done, unit: 'files' }),
    );
  const lost: Partial<Record<LostTrait, number>> = {};
  await applyAll(work, {
    bounds,
    leftOut: (trait) => void (lost[trait] = (lost[trait] ?? 0) + 1),
    concurrency,
    singleCopyBytes,
    after: run.cursor,
    signal: run.signal,
    found: scansFirst || run.cursor !== undefined ? null : found,
    report: (done, key) => {
      run.keep(key);
      if (done % 100 === 0) run.report({ phase: 'media', done, total, unit: 'files' });
    },
  });
  return lost;
}

/** Objects to be changed, of all kinds. */
export function objectsIn(counts: Readonly<Record<MediaChange, MediaCount>>): number {
  return mediaChanges.reduce((sum, name) => sum + counts[name].objects, 0);
}

/**
 * A source is read only, and would never be made known: on the next run its empty mount point would look like a source whose
 * files were all removed. Where this host may not write there, it is not known.
 */
async function markSource({ storage }: MediaPlace): Promise<void> {
  await storage.prepare('').catch((error: unknown) => {
    if (!isRepriseError(error) || error.code === 'repository-mismatch') throw error;
  });
}
