import { RepriseError } from '../../domain/errors.js';
import { isRestoreTurn } from '../../domain/backup/restore-turn.js';
import type { VerificationOrder } from '../../domain/operation/orders.js';
import { verificationOrder } from '../../domain/operation/orders.js';
import { type ActivityRun, callingWorkflow, withOrder, wrapActivity } from '../activity-wrapper.js';
import { claimOperation } from '../approval/own-operation.js';
import type { HostActivities, StepInput } from '../api.js';
import {
  type ClusterContext,
  currentBackups,
  engineContext,
  engineFor,
  forBackup,
  openClusterContext,
  policyOf,
  record,
} from '../cluster-context.js';
import { isLeaving } from '../../process/jobs/jobs.js';
import type { HostDependencies } from '../dependencies.js';
import { quarantine } from '../recovery/damaged-backup.js';
import { testRestore } from './restore-test.js';

export function verifyingActivities(deps: HostDependencies): Pick<HostActivities, 'proveBackup'> {
  return {
    proveBackup: wrapActivity(
      'proveBackup',
      withOrder(verificationOrder, async (step, run) => {
        const clusterContext = await openClusterContext(deps, step.cluster);
        await claimOperation(clusterContext, step);
        return verifyAndRecord(clusterContext, step, step.order, run);
      }),
    ),
  };
}

/** Verifies one backup and records the result: a proof, or a quarantine, after which it is not used any more. */
export async function verifyAndRecord(
  present: ClusterContext,
  step: StepInput,
  order: VerificationOrder,
  run: ActivityRun,
): Promise<{ ok: boolean; detail: string }> {
  const { backupId } = order;
  const known = await currentBackups(present, run);
  const backup = known.find(({ id }) => id === backupId);
  if (!backup)
    throw new RepriseError(
      'not-found',
      `there is no backup ${backupId}`,
      `reprise backup list ${present.cluster.name}`,
    );
  if (backup.status === 'missing')
    throw new RepriseError(
      'not-found',
      `${backupId} is recorded, but its files are gone`,
      'take a new backup: reprise backup run',
    );
  if (backup.partial !== undefined)
    return { ok: false, detail: `it is only a part of the database, and stays listed as partial: ${backup.partial}` };
  const clusterContext = forBackup(present, backup);
  const policy = policyOf(clusterContext, backup.policy);
  const context = await engineContext(clusterContext, policy, run, `${step.operationId}/prove/${backup.label}`, [], {
    retry: step.retry,
  });
  const restore = order.restore || (order.inTurn === true && isRestoreTurn(backup, known, policy.restoreEvery));
  // Rotation must not remove the backup while it is read.
  const pinned = { operationId: `${step.operationId}/prove/${backup.label}` };
  // Each attempt's own record: one found from before an `unpin` would pin nothing.
  await record(clusterContext, pinned, `pin/${Date.now()}`, {
    kind: 'pin',
    backupIds: [backupId],
    walFrom: backup.wal?.start ?? null,
    workflowId: callingWorkflow() ?? step.workflowId,
  });
  try {
    const read = await engineFor(clusterContext, policy).verify(context, backup);
    const verdict = read.ok && restore ? await testRestore(clusterContext, context, backup, known) : read;
    if (verdict.ok) {
      const proof = {
        level: restore ? ('restored' as const) : ('verified' as const),
        at: new Date().toISOString(),
      };
      await record(clusterContext, step, `proof/${backupId}/${restore ? 'restore' : 'verify'}`, {
        kind: 'proof',
        backupId,
        proof,
        detail: verdict.detail,
      });
    } else {
      await quarantine(clusterContext, step, backupId, verdict.detail);
    }
    return { ok: verdict.ok, detail: verdict.detail };
  } finally {
    // A tool that goes on without its worker still reads the backup.
    if (!isLeaving(run)) await record(clusterContext, pinned, `unpin/${Date.now()}`, { kind: 'unpin' });
  }
}
