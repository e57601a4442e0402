import { isRepriseError } from '../domain/errors.js';
import { type Finding, ok, warning } from '../domain/findings.js';
import { recoverWorkflowId } from '../domain/operation/names.js';
import type { PinLine } from '../domain/operation/inspections.js';
import { operationsInUse } from '../process/jobs/supervisor.js';
import { removeOldComparisons } from '../records/compared-tables.js';
import { openHostState } from '../records/host-state.js';
import { openOperationLedger } from '../records/operation-ledger.js';
import { removeOldRepairs } from '../records/repair-files.js';
import { openRunHooks } from '../records/run-hooks.js';
import { openTemporaryInstances, type TemporaryInstance } from '../records/temporary-instances.js';
import { closePlansOf } from './approval/authorize.js';
import { type ClusterContext, openClusterContext, openClusterContexts, record } from './cluster-context.js';
import { hostOf } from './config-lookup.js';
import type { HostDependencies } from './dependencies.js';
import { forgetGrantsOf } from './lock-grant.js';
import { hookFindings, hooksOver, sweepHooks } from './recovery/left-hooks.js';
import { leftChanges } from './table/left-changes.js';
import { dropRoleAtEnd, sweepQueryRoles, sweepRepairRoles } from './table/left-roles.js';
import { frozenFindings, frozenOver, orphanedHoldFindings, sweepFrozen } from './table/freeze.js';
import { isOver, removeInstance } from './temporary/instances.js';
import type { HasClosed, Owner } from './workflow-closed.js';

/** What one operation still holds on this host and in the records of a cluster. */
interface Held {
  readonly operationId: string;
  readonly owner: Owner;
  readonly isPinned: boolean;
}

/**
 * The second chance of every clean-up: what operations hold whose workflows have ended without releasing it, because they
 * were terminated, or their host was away. Temporary instances with the tools that fill them, tables they keep frozen, hooks they have run, then pins, plans, grants of the
 * cluster lock, and logins of repairs and queries. What has another job running is left alone. Returns the operations that were released.
 */
export async function sweepCluster(clusterContext: ClusterContext, hasClosed: HasClosed): Promise<readonly string[]> {
  const { host } = clusterContext;
  const released = new Set([
    ...(await sweepInstances(clusterContext, hasClosed)),
    ...(await sweepFrozen(clusterContext, hasClosed)),
    ...(await sweepHooks(clusterContext, hasClosed)),
  ]);
  const inUse = [...(await operationsInUse(host.stateDir, 0))];
  for (const held of await heldOperations(clusterContext)) {
    if (isInUse(held, inUse)) continue;
    if ((await hasClosed(held.owner)) !== true) continue;
    if (await release(clusterContext, held)) released.add(held.operationId);
  }
  for (const operationId of await sweepRepairRoles(clusterContext, hasClosed)) released.add(operationId);
  await sweepQueryRoles(clusterContext);
  return [...released];
}

/** {@link sweepCluster} for every cluster of a host. */
export async function sweepHost(deps: HostDependencies, hasClosed: HasClosed): Promise<readonly string[]> {
  const released: string[] = [];
  const { stateDir } = hostOf(deps);
  await removeOldComparisons(stateDir, new Date());
  await removeOldRepairs(stateDir, new Date());
  for (const clusterContext of await openClusterContexts(deps))
    released.push(...(await sweepCluster(clusterContext, hasClosed)));
  // Staging, temporary instances, and what a cluster is recovered to, are on a host that need not be the cluster's.
  const here = new Set(
    [...(await openTemporaryInstances(stateDir).all()), ...(await openRunHooks(stateDir).all())].map(
      ({ cluster }) => cluster,
    ),
  );
  for (const { name, host, drill } of Object.values(deps.config.clusters))
    if (host !== deps.host && (drill?.host === deps.host || here.has(name)))
      released.push(...(await sweepCluster(await openClusterContext(deps, name), hasClosed)));
  return released;
}

/**
 * What of a host nobody needs any more: temporary instances by their directories, blocks of tables, hooks, and what else operations hold that
 * have ended. Reads nothing but this host's state, where there are none.
 */
export async function leftOver(deps: HostDependencies, hasClosed: HasClosed): Promise<ReadonlySet<string>> {
  const over = new Set<string>();
  for (const instance of await openTemporaryInstances(hostOf(deps).stateDir).all())
    if ((await isOver(instance, hasClosed)) === true) over.add(instance.dataDir);
  for (const operationId of await frozenOver(deps, hasClosed)) over.add(`frozen by ${operationId}`);
  const ledger = openOperationLedger(hostOf(deps).stateDir);
  for (const { name, host } of Object.values(deps.config.clusters))
    for (const { operationId, workflowId, firstRunId } of host === deps.host ? await ledger.open(name) : [])
      if (workflowId !== null && (await hasClosed({ workflowId, firstRunId })) === true)
        over.add(`held by ${operationId}`);
  for (const hook of await hooksOver(deps, hasClosed)) over.add(`hook ${hook}`);
  return over;
}

/** Temporary instances that nobody needs any more: their workflow has ended, or their time is over. */
async function sweepInstances(clusterContext: ClusterContext, hasClosed: HasClosed): Promise<readonly string[]> {
  const { host, cluster } = clusterContext;
  const removed: string[] = [];
  for (const instance of await openTemporaryInstances(host.stateDir).all()) {
    if (instance.cluster !== cluster.name) continue;
    if ((await isOver(instance, hasClosed)) !== true) continue;
    // Written down first: the removal may be refused, and is tried again then.
    await record(clusterContext, instance, `sweep/${instance.dataDir}`, {
      kind: 'journal',
      workflowId: instance.workflowId ?? '',
      step: 'sweep',
      text: `the temporary instance in ${instance.dataDir} is removed: ${instance.workflowId ?? instance.operationId} has ended, or its time is over`,
    });
    try {
      await removeInstance(clusterContext, instance);
      removed.push(instance.operationId);
    } catch (error) {
      // Something else is in its place: that keeps nothing else from being released, and doctor says it.
      if (!isRepriseError(error)) throw error;
    }
  }
  return removed;
}

const isInUse = ({ operationId }: Pick<TemporaryInstance, 'operationId'>, inUse: readonly string[]): boolean =>
  inUse.some((one) => one === operationId || one.startsWith(`${operationId}/`));

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
  await forgetGrantsOf(host.stateDir, cluster.name, { operationId, workflowId: owner.workflowId });
  // As long as a server does not answer, the operation is found again: it may have a login of the repair.
  const isDropped = await dropRoleAtEnd(clusterContext, operationId);
  if (isPinned || (open && isDropped))
    await record(clusterContext, { operationId }, `sweep/${Date.now()}`, {
      kind: 'journal',
      workflowId: owner.workflowId,
      step: 'sweep',
      text: `${owner.workflowId} has ended without releasing what it held: pins and plans of operation ${operationId} are released`,
    });
  if (isPinned) await record(clusterContext, { operationId }, `unpin/${Date.now()}`, { kind: 'unpin' });
  if (!isDropped) return isPinned;
  if (open) await leftChanges(clusterContext, { operationId, workflowId: owner.workflowId });
  // Last: what fails before is found again.
  await closePlansOf(clusterContext, operationId);
  return isPinned || open;
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

/** Tables of a cluster that take no writes, and hooks that were not taken back. */
export async function blockedFindings(
  clusterContext: ClusterContext,
  hasClosed: HasClosed,
): Promise<readonly Finding[]> {
  return [
    ...(await frozenFindings(clusterContext)),
    ...(await orphanedHoldFindings(clusterContext, hasClosed)),
    ...(await hookFindings(clusterContext)),
  ];
}

const LONG_MS = 24 * 3_600_000;

/** What operations keep on a host, after what ended ones left was released: pins, tables without writes, hooks. */
export async function pinFindings(deps: HostDependencies, hasClosed: HasClosed): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const clusterContext of await openClusterContexts(deps)) {
    const check = `cluster/${clusterContext.cluster.name}/pins`;
    for (const operationId of await sweepCluster(clusterContext, hasClosed))
      findings.push(ok(check, `released what the ended operation ${operationId} still held`));
    findings.push(...(await blockedFindings(clusterContext, hasClosed)));
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
