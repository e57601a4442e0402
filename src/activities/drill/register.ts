import { RepriseError } from '../../domain/errors.js';
import type { DrillOutcome, RegisterEntry } from '../../domain/drill/drill.js';
import { closedBy, entryOf, overdueEntry } from '../../domain/drill/register.js';
import { wrapActivity } from '../activity-wrapper.js';
import type { HostActivities, StepInput } from '../api.js';
import { claimOperation, requireOwnOperation } from '../approval/own-operation.js';
import { type ClusterContext, openClusterContext, record } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';

/** The quality register: what drills that failed, or did not take place, have left to do. */
export function registerActivities(
  deps: HostDependencies,
): Pick<HostActivities, 'recordUnplannedDrill' | 'recordOverdueDrill'> {
  return {
    recordUnplannedDrill: wrapActivity('recordUnplannedDrill', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      await claimOperation(clusterContext, step);
      await requireOwnOperation(clusterContext, step);
      const { operationId: drillId, workflowId, cluster, startedAt, finishedAt, reason } = step;
      const entry = await recordDrill(
        clusterContext,
        step,
        {
          ...{ drillId, workflowId, cluster, startedAt, finishedAt, reason: `there was no plan: ${reason}` },
          ...{ verdict: 'incomplete', seed: '', restores: [], checks: [], notTested: [] },
          ...{ signOff: null, rpoSeconds: null, evidence: null },
        },
        { policies: [], cancelled: false },
      );
      if (entry === null) throw new RepriseError('internal', 'a drill without a plan opened no entry');
      return entry;
    }),
    recordOverdueDrill: wrapActivity('recordOverdueDrill', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      const { drill } = clusterContext.cluster;
      if (drill === undefined) return null;
      const { drills, register, firstRecordAt } = await clusterContext.catalogue.state();
      const overdue = {
        ...{ cluster: step.cluster, dueAt: step.dueAt, owner: ownerOf(deps) },
        signOffSeconds: drill.signOff?.withinSeconds,
      };
      const entry = overdueEntry(overdue, drills, firstRecordAt, step.now);
      if (entry === null) return null;
      const known = register.find(({ id }) => id === entry.id);
      if (known !== undefined) return { entry: known, isNew: false };
      await claimOperation(clusterContext, step);
      await record(clusterContext, step, `register/opened/${entry.id}`, { kind: 'register', entry });
      return { entry, isNew: true };
    }),
  };
}

/**
 * Records what a drill came to, opens the entry of one that did not pass, and closes those that it makes good. Repeated, it adds
 * nothing. `policies`: what the drill was to restore; `cancelled`: by a person.
 * @returns the entry that it opened
 */
export async function recordDrill(
  clusterContext: ClusterContext,
  step: Pick<StepInput, 'operationId'>,
  outcome: DrillOutcome,
  of: { readonly policies: readonly string[]; readonly cancelled: boolean },
): Promise<RegisterEntry | null> {
  const { catalogue, deps } = clusterContext;
  await record(clusterContext, step, 'drill', { kind: 'drill', outcome });
  const entry = entryOf(outcome, { ...of, owner: ownerOf(deps) });
  if (entry !== null) await record(clusterContext, step, `register/opened/${entry.id}`, { kind: 'register', entry });
  for (const closed of closedBy(outcome, (await catalogue.state()).register))
    await record(clusterContext, step, `register/closed/${closed.id}`, { kind: 'register', entry: closed });
  return entry;
}

/** Who is responsible for drills. */
const ownerOf = ({ config }: HostDependencies): string | null => config.raci['drill']?.[0] ?? null;
