import { notCovered } from '../approval/approval-policy.js';
import type { ClusterConfig } from '../config.js';
import { RepriseError } from '../errors.js';
import type { MediaPlan } from '../media/media.js';
import { formatTarget } from '../target/target.js';
import type { PlanningRequest } from './plan-terms.js';
import { type PlannedMedia, hasInstant } from './planned-media.js';

/**
 * Why media cannot be recovered together with the database; null where they can.
 * @param stateAt the instant whose data comes back, where it is known before the recovery
 */
export function mediaRefusal(
  { order: { withMedia: name, target, into }, requester }: PlanningRequest,
  cluster: Pick<ClusterConfig, 'name' | 'approvals'>,
  stateAt: string | null,
): RepriseError | null {
  if (into !== 'in-place')
    return new RepriseError(
      'conflict',
      `media are recovered in place, but the database would be recovered into ${into}`,
      `omit --with-media, then: reprise media recover ${name} --to TIME --into NAME`,
    );
  if (stateAt === null || !hasInstant(target))
    return new RepriseError(
      'target-invalid',
      `the point in time of ${formatTarget(target)} is not known before the recovery: media cannot be recovered to the same point in time`,
      'name it: --to TIME, or --to backup:ID',
    );
  // One approval is asked for, of the recovery: nobody approves by it what only others may.
  const { recover, 'media-recover': guard } = cluster.approvals;
  const problem = recover && guard ? notCovered(recover, guard, requester) : null;
  if (problem === null) return null;
  return new RepriseError(
    'policy-missing',
    `one approval cannot cover both: by media-recover of ${cluster.name}, ${problem}`,
    'let recover and media-recover name the same people, or recover first, then: reprise media recover',
  );
}

/** The part of a recovery's plan that is about media. */
export function plannedMedia({ digest, binding }: MediaPlan, name: string, instant: string): PlannedMedia {
  const { undelete, overwrite, copy } = binding.counts;
  return { name, instant, counts: { undelete, overwrite, copy }, digest };
}
