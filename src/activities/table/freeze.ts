import { isRepriseError } from '../../domain/errors.js';
import { type Finding, ok, problem, warning } from '../../domain/findings.js';
import { holdWorkflowId } from '../../domain/operation/names.js';
import type { HoldOrder } from '../../domain/operation/orders.js';
import { isBlockingPlan, isHoldPlan } from '../../domain/table/hold.js';
import { releaseCommand } from '../../domain/table/hold-text.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { freezeNewParts, freezeTable, openParts, type OwnParts, unfreezeTable } from '../../postgres/repair/freeze.js';
import { crashPoint } from '../../process/jobs/crash-points.js';
import { type FrozenTable, type FrozenTables, openFrozenTables } from '../../records/frozen-tables.js';
import { openHostState } from '../../records/host-state.js';
import { openOperationLedger } from '../../records/operation-ledger.js';
import { wrapActivity } from '../activity-wrapper.js';
import type { RepairActivities } from '../api.js';
import { authorizePlan } from '../approval/authorize.js';
import { requireOwnOperation } from '../approval/own-operation.js';
import { type ClusterContext, openClusterContext, record } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { hostOf } from '../config-lookup.js';
import type { HasClosed } from '../workflow-closed.js';
import { blockedSince } from './blocking.js';
import { requireSameCluster } from './repair-session.js';

/** In the host's ledger: when the table was frozen by a plan, and when what was frozen then was opened again. */
export const FROZEN = 'table-frozen';
export const openedStep = (frozenAt: string): string => `table-opened ${frozenAt}`;

/** Blocks the writes of others to the table of an approved plan, and opens them again. */
export function freezeActivities(deps: HostDependencies): Pick<RepairActivities, 'freezeTable' | 'unfreezeTable'> {
  return {
    freezeTable: wrapActivity('freezeTable', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      const plan = await authorizePlan(clusterContext, step, isBlockingPlan);
      const { binding } = plan;
      const { cluster, host } = clusterContext;
      const { freeze: means, order } = binding;
      if (means === null) return;
      await requireSameCluster(clusterContext, binding);
      const { database, table } = order;
      const frozen = openFrozenTables(host.stateDir);
      const firstRunId = (await openOperationLedger(host.stateDir).claimOf(step.operationId))?.firstRunId ?? null;
      const mine = { cluster: cluster.name, operationId: step.operationId, workflowId: step.workflowId, firstRunId };
      await withClient(cluster.connection, database, (client) =>
        freezeTable(client, { table, means }, step.workflowId, async ({ oids, taken }) => {
          // An attempt before this one may have taken them already, or another operation has left them to this one.
          const earlier = await frozen.of(step.operationId);
          const known = earlier?.taken ?? [];
          const at = earlier?.at ?? new Date().toISOString();
          const until = isHoldPlan(plan) ? endOf(at, plan.binding.order) : null;
          await frozen.save({ ...mine, database, table, means, at, until, oids, taken: [...known, ...taken] });
          crashPoint('freeze:noted');
        }),
      );
      crashPoint('freeze:frozen');
      const since = (await frozen.of(step.operationId))?.at ?? '';
      await openHostState(host.stateDir).recordDone(step.operationId, FROZEN, since, step.plan);
      await note(clusterContext, step, `freeze/${since}`, `writes to ${formatTableName(table)} are blocked`);
    }),
    unfreezeTable: wrapActivity('unfreezeTable', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      await requireOwnOperation(clusterContext, step);
      const frozen = await openFrozenTables(clusterContext.host.stateDir).of(step.operationId);
      if (frozen !== null) await unfreeze(clusterContext, frozen);
    }),
  };
}

/** When a hold that began then is over. */
const endOf = (at: string, { forSeconds }: HoldOrder): string | null =>
  forSeconds === undefined ? null : new Date(Date.parse(at) + forSeconds * 1000).toISOString();

async function unfreeze(clusterContext: ClusterContext, frozen: FrozenTable): Promise<void> {
  const { cluster, host } = clusterContext;
  const { database, table, means, operationId, at } = frozen;
  const tables = openFrozenTables(host.stateDir);
  let text = `writes to ${formatTableName(table)} are open again`;
  /** Read while nobody else freezes or unfreezes: another operation may have left here what it took. */
  const mine = async (): Promise<OwnParts | null> => {
    const own = await tables.of(operationId);
    // Somebody else, such as a sweep, has opened it meanwhile.
    if (own === null) return null;
    const others = (await tables.all()).filter((one) => needsBlockOf(own, one));
    const other = others.find((one) => formatTableName(one.table) === formatTableName(own.table));
    // What this one took, that one gives back.
    if (other !== undefined) {
      await tables.save({ ...other, taken: [...other.taken, ...own.taken] });
      await tables.release(operationId);
      text = `writes to ${formatTableName(table)} stay blocked by ${other.workflowId}`;
      return null;
    }
    const taken = await leaveToOthers(tables, own, others);
    // Seen by whoever opens the table next: this one does not need the block, whether it comes to an end here or is tried again.
    await tables.save({ ...own, taken, opening: true });
    return { ...own, taken, kept: others.flatMap(({ oids }) => oids) };
  };
  try {
    await withClient(cluster.connection, database, (client) => unfreezeTable(client, { table, means }, mine));
  } catch (error) {
    // The database is gone, and the block with it.
    if (!isRepriseError(error) || error.details?.['sqlState'] !== '3D000') throw error;
  }
  crashPoint('freeze:opened');
  await note(clusterContext, frozen, `unfreeze/${at}`, text);
  await openHostState(host.stateDir).recordDone(operationId, openedStep(at), new Date().toISOString());
  await tables.release(operationId);
}

/** Whether another operation keeps the very same table frozen by the same means, or a part of it, or one of which it is a part. */
const needsBlockOf = (own: FrozenTable, other: FrozenTable): boolean =>
  other.operationId !== own.operationId &&
  other.opening !== true &&
  other.cluster === own.cluster &&
  other.database === own.database &&
  other.means.by === own.means.by &&
  (formatTableName(other.table) === formatTableName(own.table) || other.oids.some((oid) => own.oids.includes(oid)));

/** Rights of parts that others keep from the same roles are given back by those; returns the rest. */
async function leaveToOthers(
  tables: FrozenTables,
  own: FrozenTable,
  others: readonly FrozenTable[],
): Promise<FrozenTable['taken']> {
  let rest = own.taken;
  for (const other of others) {
    const { oids, means } = other;
    const isTheirs = ({ oid, grantee }: FrozenTable['taken'][number]): boolean =>
      means.by === 'revoke' && oids.includes(oid) && means.roles.includes(grantee ?? 'PUBLIC');
    const theirs = rest.filter(isTheirs);
    if (theirs.length > 0) await tables.save({ ...other, taken: [...other.taken, ...theirs] });
    rest = rest.filter((one) => !isTheirs(one));
  }
  return rest;
}

function note(
  clusterContext: ClusterContext,
  step: { readonly operationId: string; readonly workflowId: string },
  key: string,
  text: string,
): Promise<unknown> {
  const body = { kind: 'journal' as const, workflowId: step.workflowId, step: 'freeze', text };
  return record(clusterContext, step, key, body);
}

/** Frozen for so long without an end of its own, a table was probably forgotten. */
const LONG_MS = 86_400_000;
/** Opening it may have to wait for whoever has the table. */
const GRACE_MS = 300_000;

/** The tables of a cluster that take no writes; one that takes none for longer than it should, or takes some, is a warning. */
export async function frozenFindings({ host, cluster }: ClusterContext): Promise<readonly Finding[]> {
  const frozen = (await openFrozenTables(host.stateDir).all()).filter((one) => one.cluster === cluster.name);
  return Promise.all(
    frozen.map(async (one) => {
      const { database, table, operationId, workflowId, at, until, opening } = one;
      const check = `cluster/${cluster.name}/frozen/${operationId}`;
      const isHold = workflowId.startsWith(holdWorkflowId(cluster.name, ''));
      const fix = isHold ? releaseCommand(workflowId) : `see what it waits for: reprise status ${workflowId}`;
      const name = `${formatTableName(table)} in ${database}`;
      // A server that does not answer is a finding of its own.
      const open = await withClient(cluster.connection, database, (client) => openParts(client, one)).catch(() => []);
      if (open.length > 0 && opening !== true)
        return warning(
          check,
          `${name} is to take no writes since ${at} (${workflowId}), but ${open.slice(0, 10).join(', ')} takes some: it was replaced, or changed, since`,
          `${fix}; then freeze it again`,
        );
      const end = until ?? (isHold ? 'somebody releases it' : 'its repair ends');
      const message = `${name} takes no writes since ${at}, until ${end}: ${workflowId}`;
      const over = until == null ? Date.parse(at) + LONG_MS : Date.parse(until) + GRACE_MS;
      return Date.now() < over ? ok(check, message) : warning(check, message, fix);
    }),
  );
}

/** Blocks the writes to partitions that came since their table was frozen; tried again later where somebody holds one. */
export async function keepFrozen(deps: HostDependencies, hasClosed: HasClosed): Promise<void> {
  const tables = openFrozenTables(hostOf(deps).stateDir);
  for (const frozen of await tables.all()) {
    const { cluster, database, operationId, opening } = frozen;
    if (opening === true || deps.config.clusters[cluster] === undefined || (await hasClosed(frozen)) === true) continue;
    const clusterContext = await openClusterContext(deps, cluster);
    const now = async (): Promise<FrozenTable | null> => {
      const own = await tables.of(operationId);
      return own === null || own.opening === true ? null : own;
    };
    try {
      await withClient(clusterContext.cluster.connection, database, async (client) => {
        if ((await openParts(client, frozen)).length === 0) return;
        let parts = 0;
        const added = await freezeNewParts(client, frozen, frozen.workflowId, now, async ({ oids, taken }) => {
          const own = await now();
          if (own !== null) await tables.save({ ...own, oids, taken: [...own.taken, ...taken] });
          parts = oids.length;
        });
        const text = `writes to ${added.slice(0, 10).join(', ')}, which came since, are blocked too`;
        if (added.length > 0) await note(clusterContext, frozen, `freeze/${frozen.at}/${parts}`, text);
      });
    } catch (error) {
      // A server that is away, or a partition that somebody holds, is seen by `check`.
      if (!isRepriseError(error)) throw error;
    }
  }
}

/**
 * Blocks of incidents that have ended without releasing the table, as one does that was terminated. Nothing opens it by itself: a repair of
 * the incident may still need the block, and whoever ended the incident knows what the rows are worth.
 */
export async function orphanedHoldFindings(
  { host, cluster }: ClusterContext,
  hasClosed: HasClosed,
): Promise<readonly Finding[]> {
  const holds = (await openHostState(host.stateDir).openPlans()).filter(isHoldPlan);
  const found: Finding[] = [];
  for (const { binding, observed } of holds) {
    const { incident } = observed;
    const { operationId, order } = binding;
    if (binding.cluster !== cluster.name || incident === undefined) continue;
    const blocked = await blockedSince(host.stateDir, binding);
    if (blocked === null || (await hasClosed({ workflowId: incident, firstRunId: null })) !== true) continue;
    const workflowId = holdWorkflowId(cluster.name, operationId);
    found.push(
      problem(
        `cluster/${cluster.name}/frozen/${operationId}/incident`,
        `${formatTableName(order.table)} in ${order.database} takes no writes since ${blocked.since}, for ${incident}, which has ended without releasing it: nothing opens it by itself`,
        `${releaseCommand(workflowId)}; or go on with the repair first: the table stays blocked meanwhile`,
      ),
    );
  }
  return found;
}

/** Operations that keep a table of this host's clusters frozen although their workflow has ended. */
export async function frozenOver(deps: HostDependencies, hasClosed: HasClosed): Promise<readonly string[]> {
  const over: string[] = [];
  for (const frozen of await openFrozenTables(hostOf(deps).stateDir).all())
    if ((await hasClosed(frozen)) === true) over.push(frozen.operationId);
  return over;
}

/** Opens the tables of a cluster again that operations which have ended left frozen; returns the operations. */
export async function sweepFrozen(clusterContext: ClusterContext, hasClosed: HasClosed): Promise<readonly string[]> {
  const { host, cluster } = clusterContext;
  const released: string[] = [];
  for (const frozen of await openFrozenTables(host.stateDir).all()) {
    if (frozen.cluster !== cluster.name || (await hasClosed(frozen)) !== true) continue;
    try {
      await unfreeze(clusterContext, frozen);
      released.push(frozen.operationId);
    } catch (error) {
      // A server that is away keeps nothing else from being released; the next sweep tries again.
      if (!isRepriseError(error)) throw error;
    }
  }
  return released;
}
