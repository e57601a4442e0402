import { shortDigest } from '../../domain/approval/approval-policy.js';
import { RepriseError } from '../../domain/errors.js';
import { mediaReport } from '../../domain/media/media-text.js';
import { type MediaOutcome, type MediaPlan, isMediaPlan } from '../../domain/media/media.js';
import { mediaOrder, mediaVerificationOrder } from '../../domain/operation/orders.js';
import type { LostCounts } from '../../media/lost.js';
import { MediaScan } from '../../media/scan.js';
import { verifyAll } from '../../media/verify.js';
import { openHostState } from '../../records/host-state.js';
import { type ActivityRun, withOrder, wrapActivity } from '../activity-wrapper.js';
import type { HostActivities, MediaRequest, PlannedStep } from '../api.js';
import { authorizePlan, closePlansOf } from '../approval/authorize.js';
import { claimPlanned, requireOwnOperation } from '../approval/own-operation.js';
import { type ClusterContext, openClusterContext, record } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { applyApproved, objectsIn } from './apply.js';
import { mediaOf, openPlace, workOf } from './places.js';
import { countAll, makeMediaPlan } from './plan.js';

const OUTCOME = 'media-outcome';
/** What copies were made without, for the report. */
const LOST = 'media-lost';

/** Recovery of a cluster's media, and copies made equal: plan, approval, execution, check. */
export function mediaActivities(
  deps: HostDependencies,
): Pick<HostActivities, 'planMedia' | 'recheckMedia' | 'applyMedia' | 'finishMedia' | 'closeMedia'> {
  // The step that changes follows at once, as a rule on the same worker; on another one, it lists again.
  let latest: { readonly plan: string; readonly scan: MediaScan } | null = null;
  return {
    planMedia: wrapActivity(
      'planMedia',
      withOrder(mediaOrder, async (request, run) => {
        const clusterContext = await openClusterContext(deps, request.cluster);
        await claimPlanned(clusterContext, request);
        const plan = await makeMediaPlan(clusterContext, request, run);
        refuseUnconfirmed(plan, request);
        await openHostState(clusterContext.host.stateDir).savePlan(plan);
        await record(
          clusterContext,
          request,
          `plan/${plan.digest}`,
          {
            kind: 'journal',
            workflowId: request.workflowId,
            step: 'plan',
            text: `plan ${shortDigest(plan)} of ${plan.binding.action} for ${plan.binding.media}`,
          },
          request.requester,
        );
        return plan;
      }),
    ),
    recheckMedia: wrapActivity(
      'recheckMedia',
      withOrder(mediaOrder, async (request, run) => {
        const clusterContext = await openClusterContext(deps, request.cluster);
        // Begun already: what is done is no longer to be done, so the plan made now is another one.
        if (
          (await openHostState(clusterContext.host.stateDir).usedBy(request.plan))?.operationId === request.operationId
        )
          return { digest: request.plan };
        const scan = new MediaScan();
        const { digest } = await makeMediaPlan(clusterContext, request, run, scan);
        if (digest === request.plan) latest = { plan: digest, scan };
        return { digest };
      }),
    ),
    applyMedia: wrapActivity('applyMedia', async (step, run) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      // What an interrupted attempt left is listed anew, perhaps days later.
      const scansFirst = (await openHostState(clusterContext.host.stateDir).usedBy(step.plan)) !== null;
      const { binding, createdAt } = await authorizePlan(clusterContext, step, isMediaPlan);
      // The first object changed cannot be taken back by leaving off.
      await openHostState(clusterContext.host.stateDir).markBegun(step.plan);
      const found = latest?.plan === step.plan ? latest.scan.fresh : null;
      latest = null;
      const lost = await applyApproved(
        clusterContext,
        {
          name: binding.media,
          work: workOf(clusterContext, binding),
          bounds: { scannedAt: createdAt, most: binding.counts },
          scansFirst,
          found,
        },
        run,
      );
      await openHostState(clusterContext.host.stateDir).recordDone(step.operationId, LOST, lost);
    }),
    finishMedia: wrapActivity('finishMedia', async (step, run) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      const state = openHostState(clusterContext.host.stateDir);
      const earlier = await state.onceDone<MediaOutcome>(step.operationId, OUTCOME);
      if (earlier) return earlier.result;
      const outcome = await finish(clusterContext, step, await authorizePlan(clusterContext, step, isMediaPlan), run);
      await state.recordDone(step.operationId, OUTCOME, outcome);
      await closePlansOf(clusterContext, step.operationId);
      return outcome;
    }),
    closeMedia: wrapActivity('closeMedia', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      await requireOwnOperation(clusterContext, step);
      await closePlansOf(clusterContext, step.operationId);
    }),
  };
}

/**
 * Objects are removed only by a plan that people approve, or, where the cluster has no policy for it, by who confirmed it.
 * The configuration of this host decides: the one of the command line may be another.
 * @throws RepriseError `confirmation-needed`
 */
function refuseUnconfirmed({ binding, observed }: MediaPlan, { confirmed }: MediaRequest): void {
  if (observed.approval !== null || confirmed === true || binding.counts.remove.objects === 0) return;
  const { media, cluster, task } = binding;
  const into = task.into === undefined ? '' : ` --into ${task.into}`;
  throw new RepriseError(
    'confirmation-needed',
    `this would remove ${binding.counts.remove.objects} objects: ${cluster} has no approval policy for ${binding.action}, and nobody confirmed it`,
    `confirm it on the command line: reprise media sync ${media}${into} --delete; or add a policy under approvals of ${cluster}`,
  );
}

/** Looks again at everything: nothing may be left to do, unless somebody wrote meanwhile. */
async function finish(
  clusterContext: ClusterContext,
  step: PlannedStep,
  plan: MediaPlan,
  run: ActivityRun,
): Promise<MediaOutcome> {
  const { counts } = await countAll(workOf(clusterContext, plan.binding), run);
  const left = objectsIn(counts);
  const state = openHostState(clusterContext.host.stateDir);
  const lost = (await state.onceDone<LostCounts>(step.operationId, LOST))?.result ?? {};
  const found = {
    ...{ done: plan.binding.counts, left, untouched: plan.observed.untouched },
    ...(Object.keys(lost).length > 0 ? { lost } : {}),
  };
  const approvals = (await state.approvals(plan.digest)).map(({ by, reason, at }) => ({
    by,
    reason,
    at,
  }));
  const report = await clusterContext.catalogue.writeIncidentDocument(
    step.operationId,
    mediaReport(plan, found, approvals, new Date().toISOString()),
  );
  await record(clusterContext, step, 'media-outcome', {
    kind: 'journal',
    workflowId: step.workflowId,
    step: plan.binding.action,
    text: `${plan.binding.media}: done, ${left} changes left`,
  });
  return { ...found, report };
}

/** Media read and looked at; nothing is changed. */
export function mediaVerifying(deps: HostDependencies): Pick<HostActivities, 'verifyMedia'> {
  return {
    verifyMedia: wrapActivity(
      'verifyMedia',
      withOrder(mediaVerificationOrder, async (step, run) => {
        const clusterContext = await openClusterContext(deps, step.cluster);
        const media = mediaOf(clusterContext, step.order.media);
        const verdict = await verifyAll(openPlace(clusterContext, media), {
          concurrency: media.concurrency,
          sample: step.order.sample,
          signal: run.signal,
          report: (done) => run.report({ phase: 'verify', done, unit: 'files' }),
        });
        const text = `media ${media.name}: ${verdict.objects} objects, ${verdict.read} read whole (${verdict.unchecked} without a checksum to compare with), ${verdict.decoded} images decoded, ${verdict.problems} problems`;
        await record(clusterContext, step, 'verify-media', {
          kind: 'journal',
          workflowId: step.workflowId,
          step: 'verify',
          text,
        });
        return verdict;
      }),
    ),
  };
}
