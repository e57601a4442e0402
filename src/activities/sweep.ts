import { join } from 'node:path';
import type { Context } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import { type Finding, ok, warning } from '../domain/findings.js';
import { isClosedStatus } from '../domain/operation/executions.js';
import { recoverWorkflowId } from '../domain/operation/names.js';
import type { PinLine } from '../domain/operation/inspections.js';
import { serviceOf } from '../postgres/server/service.js';
import { removeTree } from '../files/remove-tree.js';
import { processesIn } from '../postgres/server/postmaster.js';
import { operationsInUse } from '../process/jobs/supervisor.js';
import { openHostState } from '../records/host-state.js';
import { openOperationLedger } from '../records/operation-ledger.js';
import { closePlansOf } from './approval/authorize.js';
import { scratchOf } from './backup/restore-test.js';
import { type ClusterContext, openClusterContexts, postgresBinOf, record } from './cluster-context.js';
import type { HostDependencies } from './dependencies.js';
import { forgetGrantsOf } from './lock-grant.js';

/** A workflow that an operation belongs to; without the execution, whichever is the latest. */
export interface Owner {
  readonly workflowId: string;
  readonly firstRunId: string | null;
}

/** Whether the workflow has ended; null where Temporal does not know, and then everything is kept. */
export type HasClosed = (owner: Owner) => Promise<boolean | null>;

/** Asks Temporal. One that is paused, not found, or out of reach has not ended. */
export function closedByTemporal(client: Client): HasClosed {
  return async ({ workflowId, firstRunId }) => {
    try {
      const { status, raw } = await client.workflow.getHandle(workflowId).describe();
      const latest = raw.workflowExecutionInfo?.firstRunId;
      // The id was given to a later execution: the one that is asked for has ended before.
      if (firstRunId !== null && latest && latest !== firstRunId) return true;
      return isClosedStatus(status.name);
    } catch {
      return null;
    }
  };
}

/** The same for an activity; one that runs without a worker knows no Temporal. */
export function closedAsToldBy(context: Context): HasClosed {
  try {
    return closedByTemporal(context.client);
  } catch {
    return () => Promise.resolve(null);
  }
}

/** What one operation still holds on this host and in the records of a cluster. */
interface Held {
  readonly operationId: string;
  readonly owner: Owner;
  readonly isPinned: boolean;
}

/**
 * The second chance of every clean-up: what operations hold whose workflows have ended without releasing it, because they
 * were terminated, or their host was away. Pins, plans, grants of the cluster lock, scratch directories. What has a job
 * running is left alone. Returns the operations that were released.
 */
export async function sweepCluster(clusterContext: ClusterContext, hasClosed: HasClosed): Promise<readonly string[]> {
  const { host } = clusterContext;
  const inUse = [...(await operationsInUse(host.stateDir, 0))];
  const released: string[] = [];
  for (const held of await heldOperations(clusterContext)) {
    const { operationId } = held;
    if (inUse.some((one) => one === operationId || one.startsWith(`${operationId}/`))) continue;
    if ((await hasClosed(held.owner)) !== true) continue;
    if (await release(clusterContext, held)) released.push(operationId);
  }
  return released;
}

/** {@link sweepCluster} for every cluster of a host. */
export async function sweepHost(deps: HostDependencies, hasClosed: HasClosed): Promise<readonly string[]> {
  const released: string[] = [];
  for (const clusterContext of await openClusterContexts(deps))
    released.push(...(await sweepCluster(clusterContext, hasClosed)));
  return released;
}

async function heldOperations(clusterContext: ClusterContext): Promise<readonly Held[]> {
  const { host, cluster, catalogue } = clusterContext;
  const { pins } = await catalogue.state();
  const held = new Map<string, Held>();
  for (const { operationId, workflowId, firstRunId } of await openOperationLedger(host.stateDir).open(cluster.name))
    if (workflowId !== null)
      held.set(operationId, { operationId, owner: { workflowId, firstRunId }, isPinned: pins.has(operationId) });
  for (const operationId of pins.keys())
    if (!held.has(operationId))
      held.set(operationId, { operationId, owner: await ownerOfPin(clusterContext, operationId), isPinned: true });
  return [...held.values()];
}

/** Pins from before they named their workflow are of recoveries. */
async function ownerOfPin({ host, cluster, catalogue }: ClusterContext, operationId: string): Promise<Owner> {
  const { pins } = await catalogue.state();
  const told = pins.get(operationId)?.workflowId;
  const claim = await openOperationLedger(host.stateDir).claimOf(operationId.split('/prove/')[0] ?? operationId);
  if (claim?.workflowId) return { workflowId: claim.workflowId, firstRunId: claim.firstRunId };
  return { workflowId: told ?? recoverWorkflowId(cluster.name, operationId), firstRunId: null };
}

/** True where there was something left to release. */
async function release(clusterContext: ClusterContext, { operationId, owner, isPinned }: Held): Promise<boolean> {
  const { host, cluster } = clusterContext;
  const open = (await openHostState(host.stateDir).openPlans()).some(
    ({ binding }) => binding.operationId === operationId && binding.cluster === cluster.name,
  );
  await removeScratch(clusterContext, operationId);
  await forgetGrantsOf(host.stateDir, cluster.name, { operationId, workflowId: owner.workflowId });
  if (isPinned || open)
    await record(clusterContext, { operationId }, `sweep/${Date.now()}`, {
      kind: 'journal',
      workflowId: owner.workflowId,
      step: 'sweep',
      text: `${owner.workflowId} has ended without releasing what it held: pins and plans of operation ${operationId} are released`,
    });
  if (isPinned) await record(clusterContext, { operationId }, `unpin/${Date.now()}`, { kind: 'unpin' });
  // Last: what fails before is found again.
  await closePlansOf(clusterContext, operationId);
  return isPinned || open;
}

/** Copies that a verification restored, and their servers. */
async function removeScratch(clusterContext: ClusterContext, operationId: string): Promise<void> {
  const root = scratchOf(clusterContext.host, operationId);
  const dataDir = join(root, 'data');
  if ((await processesIn(dataDir)).length > 0)
    await serviceOf(
      { dataDir, service: { kind: 'pg_ctl' } },
      await postgresBinOf(clusterContext),
      clusterContext.user,
    ).stop('immediate');
  await removeTree(root);
}

/** Who keeps what from rotation, since when. */
export async function pinLines({ cluster, catalogue }: ClusterContext): Promise<readonly PinLine[]> {
  return [...(await catalogue.state()).pins.values()].map(({ operationId, workflowId, backupIds, walFrom, at }) => ({
    cluster: cluster.name,
    operationId,
    workflowId: workflowId ?? null,
    backupIds,
    walFrom,
    since: at,
  }));
}

const LONG_MS = 24 * 3_600_000;

/** What is pinned on a host, after what ended operations left was released. */
export async function pinFindings(deps: HostDependencies, hasClosed: HasClosed): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const clusterContext of await openClusterContexts(deps)) {
    const check = `cluster/${clusterContext.cluster.name}/pins`;
    for (const operationId of await sweepCluster(clusterContext, hasClosed))
      findings.push(ok(check, `released what the ended operation ${operationId} still held`));
    for (const { operationId, workflowId, backupIds, walFrom, since } of await pinLines(clusterContext)) {
      const what = [...backupIds, ...(walFrom === null ? [] : [`WAL from ${walFrom}`])].join(', ');
      const message = `${what} kept from rotation by ${workflowId ?? `operation ${operationId}`} since ${since}`;
      findings.push(
        Date.now() - Date.parse(since) < LONG_MS
          ? ok(check, message)
          : warning(
              check,
              message,
              `end the operation if nobody needs it: reprise reject ${workflowId ?? operationId}`,
            ),
      );
    }
  }
  return findings;
}
