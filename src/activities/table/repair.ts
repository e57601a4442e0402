import {
  mayApprove,
  needsApproval,
  linesToAdd,
  shortDigest,
  whyNobodyApproves,
} from '../../domain/approval/approval-policy.js';
import type { ClusterConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { repairOrder, type RepairOrder } from '../../domain/operation/orders.js';
import { undoHooksOf } from '../../domain/plan/hooks.js';
import {
  type AppliedChanges,
  type ChangeCounts,
  changedRows,
  type ChangeSetDigest,
  type ChangeSetHeader,
  type ConflictReason,
  isRepairPlan,
  type RepairBinding,
  type RepairOutcome,
  type RepairPlan,
  type RowChange,
} from '../../domain/table/repair.js';
import { repairReport, repairTitle } from '../../domain/table/repair-text.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { withTableSide } from '../../postgres/compare/table-side.js';
import { countTable } from '../../postgres/content/copy-rows.js';
import {
  applyChanges,
  changedSince,
  endTransaction,
  takenValues,
  transactionEnd,
} from '../../postgres/repair/apply-changes.js';
import {
  type ChangeSetEntry,
  type ReadChangeSet,
  reversedEntries,
  withChangeSet,
  writeChangeSet,
} from '../../postgres/repair/change-set-file.js';
import { closeRepairLogin, openRepairLogin, type RepairLogin } from '../../postgres/repair/repair-login.js';
import { readRows } from '../../postgres/repair/rows-file.js';
import { readTableFacts, type TableFacts } from '../../postgres/repair/table-facts.js';
import { planDigest } from '../../records/digest.js';
import { type HostState, openHostState } from '../../records/host-state.js';
import {
  noteBatch,
  openRepairFiles,
  readBatch,
  removeOldRepairs,
  type RepairFiles,
} from '../../records/repair-files.js';
import { type ActivityRun, withOrder, wrapActivity } from '../activity-wrapper.js';
import type { PlannedStep, RepairActivities, RepairRequest } from '../api.js';
import { authorizePlan, closePlansOf } from '../approval/authorize.js';
import { claimPlanned, requireOwnOperation } from '../approval/own-operation.js';
import { type ClusterContext, openClusterContext, record } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { collectRows, findTransaction, readColumnsThen, stateChanges, transactionOf, usedBackups } from './damage.js';
import { freezeActivities } from './freeze.js';
import { dropRepairRole } from './left-roles.js';
import { changesFor, effectsOf } from './make-changes.js';
import { pathExists } from '../../files/paths.js';
import type pg from 'pg';

/** Names in the host's ledger. */
const [APPLIED, OUTCOME, STARTED] = ['repair-applied', 'repair-outcome', 'repair-started'];

/** The repair of a table: damage, plan, approval, changes, report. */
export function repairActivities(deps: HostDependencies): RepairActivities {
  return {
    ...freezeActivities(deps),
    findTransaction: wrapActivity(
      'findTransaction',
      withOrder(repairOrder, async (request, run) => {
        const clusterContext = await openClusterContext(deps, request.cluster);
        await claimPlanned(clusterContext, request);
        return findTransaction(clusterContext, request, run);
      }),
    ),
    collectRows: wrapActivity(
      'collectRows',
      withOrder(repairOrder, async (request, run) => {
        const clusterContext = await openClusterContext(deps, request.cluster);
        await requireOwnOperation(clusterContext, request);
        return { exact: await collectRows(clusterContext, request, run) };
      }),
    ),
    planRepair: wrapActivity(
      'planRepair',
      withOrder(repairOrder, async (request, run) => {
        const clusterContext = await openClusterContext(deps, request.cluster);
        await claimPlanned(clusterContext, request);
        await removeOldRepairs(clusterContext.host.stateDir);
        const plan = await makeRepairPlan(clusterContext, request, run);
        await openHostState(clusterContext.host.stateDir).savePlan(plan);
        const text = `plan ${shortDigest(plan)}: ${repairTitle(plan.binding)}, ${changedRows(plan.binding.changes)} rows, ${plan.binding.changes.conflicts} conflicts`;
        const body = { kind: 'journal' as const, workflowId: request.workflowId, step: 'plan', text };
        await record(clusterContext, request, `plan/${plan.digest}`, body, request.requester);
        return plan;
      }),
    ),
    recheckRepair: wrapActivity(
      'recheckRepair',
      withOrder(repairOrder, async ({ plan, ...request }) =>
        recheck(await openClusterContext(deps, request.cluster), { ...request, plan }),
      ),
    ),
    applyRepair: wrapActivity('applyRepair', async (step, run) =>
      apply(await openClusterContext(deps, step.cluster), step, run),
    ),
    finishRepair: wrapActivity('finishRepair', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      const state = openHostState(clusterContext.host.stateDir);
      const earlier = await state.onceDone<RepairOutcome>(step.operationId, OUTCOME);
      if (earlier !== null) return earlier.result;
      const outcome = await finish(clusterContext, step);
      await state.recordDone(step.operationId, OUTCOME, outcome);
      // Hooks are taken back by the plan that ran them: such a plan is closed after that.
      if ((await repairHooks(state, step.plan)).length === 0) await closePlansOf(clusterContext, step.operationId);
      return outcome;
    }),
    closeRepair: wrapActivity('closeRepair', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      await requireOwnOperation(clusterContext, step);
      // Where the server is down, the sweep does it later.
      await dropRepairRole(clusterContext, step.operationId).catch(() => false);
      await closePlansOf(clusterContext, step.operationId);
    }),
  };
}

async function repairHooks(state: HostState, digest: string): Promise<readonly string[]> {
  const plan = await state.readPlan(digest);
  return plan !== null && isRepairPlan(plan) ? plan.binding.hooks : [];
}

async function makeRepairPlan(
  clusterContext: ClusterContext,
  request: RepairRequest,
  run: ActivityRun,
): Promise<RepairPlan> {
  const { cluster, deps, host } = clusterContext;
  const { order, operationId, requester } = request;
  const policy = cluster.approvals['table-repair'];
  if (policy === undefined && needsApproval('table-repair'))
    throw new RepriseError(
      'policy-missing',
      `no policy says who may approve table-repair for ${cluster.name}`,
      linesToAdd('table-repair', cluster.name),
    );
  const files = await openRepairFiles(host.stateDir, operationId);
  const facts = await withClient(cluster.connection, order.database, (client) => readTableFacts(client, order.table));
  const { changes, key, rowsNow } = await makeChanges(clusterContext, request, files, facts, run);
  const transaction = await transactionOf(clusterContext, operationId);
  const binding: RepairBinding = {
    action: 'table-repair',
    operationId,
    cluster: cluster.name,
    targetHost: deps.host,
    order,
    systemIdentifier: await systemIdentifierOf(clusterContext),
    backups: await usedBackups(files),
    ...{ key, changes, effects: effectsOf(facts) },
    ...blockingOf(cluster, order),
    ...{ configDigest: deps.config.digest, requester },
  };
  const createdAt = new Date();
  const nobody = policy === undefined ? null : whyNobodyApproves(policy, requester);
  return {
    digest: planDigest(binding),
    binding,
    observed: {
      damagedAt: transaction === null ? null : new Date(transaction.commit.time / 1000).toISOString(),
      rowsNow,
      file: files.changes,
      fileUntil: files.until,
      approval: policy === undefined ? null : { approvers: policy.approvers, from: mayApprove(policy, requester) },
      warnings: [...(nobody === null ? [] : [nobody]), ...warningsOf(binding)],
    },
    createdAt: createdAt.toISOString(),
    approveBy: new Date(createdAt.getTime() + (policy?.approveWithinSeconds ?? 3600) * 1000).toISOString(),
  };
}

/** How others are kept from writing to the table meanwhile. */
function blockingOf(
  { tables = {}, hooks: configured }: ClusterConfig,
  { database, table }: RepairOrder,
): Pick<RepairBinding, 'freeze' | 'hooks' | 'undoHooks'> {
  const name = formatTableName(table);
  const found = Object.values(tables).find((one) => one.database === database && formatTableName(one.table) === name);
  const hooks = found?.hooks ?? [];
  const undoHooks = undoHooksOf(hooks, configured);
  return { freeze: found?.freeze ?? null, hooks, ...(undoHooks === undefined ? {} : { undoHooks }) };
}

function warningsOf({ order, changes: { conflicts }, key, freeze }: RepairBinding): readonly string[] {
  return [
    ...(conflicts > 0
      ? [
          `${conflicts} damaged rows changed for another reason too, and stay as they are: read them in the file, and say what becomes of them with --conflicts`,
        ]
      : []),
    ...(key.length === 0 ? ['the table has no key: equal rows are counted, and cannot be told apart'] : []),
    freeze === null
      ? 'the table takes writes meanwhile: a row that somebody changes between this plan and the repair stops the repair'
      : 'the table takes writes until the repair begins: a row that somebody changes until then has another plan made',
    ...(order.batchRows === undefined
      ? []
      : ['done in batches: rows that somebody changes meanwhile are left out and counted']),
  ];
}

async function systemIdentifierOf({ cluster }: ClusterContext): Promise<string> {
  return withClient(cluster.connection, cluster.connection.maintenanceDatabase, async (client) => {
    const { rows } = await client.query<{ id: string }>(
      'SELECT system_identifier::text AS id FROM pg_catalog.pg_control_system()',
    );
    return rows[0]?.id ?? '';
  });
}

interface MadeChanges {
  readonly changes: ChangeSetDigest;
  readonly key: readonly string[];
  readonly rowsNow: number;
}

async function makeChanges(
  clusterContext: ClusterContext,
  request: RepairRequest,
  files: RepairFiles,
  facts: TableFacts,
  { signal, report }: ActivityRun,
): Promise<MadeChanges> {
  const { cluster, user } = clusterContext;
  const { order } = request;
  const { database, table, source } = order;
  report({ phase: 'compare with the table as it is', done: 0, unit: 'steps' });
  return withClient(cluster.connection, database, async (client) => {
    const rowsNow =
      (await countTable(client, table.schema, table.table, true)) ??
      (await countTable(client, table.schema, table.table, false)) ??
      0;
    if (source.kind === 'state') {
      return { ...(await lookedUp(clusterContext, request, files, facts, await stateChanges(files))), rowsNow };
    }
    if (source.kind === 'repair') return { ...(await takeBack(clusterContext, request, files, facts)), rowsNow };
    const header: ChangeSetHeader = {
      ...{ database, table, columns: await readColumnsThen(files, order, facts.columns) },
      key: order.key ?? facts.key,
    };
    const rows = (path: string) => () => readRows(path);
    const count = (await countRows(files.good)) + (await countRows(files.bad));
    const damaged = { header, order, facts, count, good: rows(files.good), bad: rows(files.bad) };
    const found = await withTableSide(client, table, 'in production', (side) =>
      writeChangeSet(files.found, header, changesFor(damaged, side, signal), user),
    );
    return { ...(await lookedUp(clusterContext, request, files, facts, found)), rowsNow };
  });
}

/**
 * The changes that were found, each looked up in the table by the server's own rules: what those would not let through is a conflict, such
 * as a row that came back with an equal key in another text.
 */
async function lookedUp(
  clusterContext: ClusterContext,
  { order, operationId }: RepairRequest,
  files: RepairFiles,
  facts: TableFacts,
  found: ChangeSetDigest,
): Promise<Omit<MadeChanges, 'rowsNow'>> {
  return withChangeSet(files.found, found, async (changes) => {
    const { header } = changes;
    const reasons = new Map<number, ConflictReason | null>();
    if (changedRows(found) > 0)
      await asRepair(clusterContext, order, operationId, facts, async (client) => {
        for (const at of await changedSince(client, header, facts, changesOnly(changes))) reasons.set(at, null);
        // Numbered as they are, without those that cannot be made anyway.
        const rest = await numbersOf(changes, reasons);
        const made = without(changesOnly(changes), new Set(reasons.keys()));
        for (const at of await takenValues(client, header, facts, made)) reasons.set(rest[at] ?? -1, 'not-unique');
      });
    const entries = orConflict(changes.entries(), reasons, header);
    return { changes: await writeChangeSet(files.changes, header, entries, clusterContext.user), key: header.key };
  });
}

/** Numbers of the changes that are left, in order. */
async function numbersOf(changes: ReadChangeSet, leftOut: ReadonlyMap<number, unknown>): Promise<readonly number[]> {
  const numbers: number[] = [];
  let at = 0;
  for await (const _ of changesOnly(changes)) {
    if (!leftOut.has(at)) numbers.push(at);
    at++;
  }
  return numbers;
}

async function* without(changes: AsyncIterable<RowChange>, leftOut: ReadonlySet<number>): AsyncGenerator<RowChange> {
  let at = 0;
  for await (const change of changes) if (!leftOut.has(at++)) yield change;
}

async function countRows(path: string): Promise<number> {
  let count = 0;
  for await (const _ of readRows(path)) count++;
  return count;
}

/** The reverse of an earlier repair; rows that changed since stay as they are. */
async function takeBack(
  clusterContext: ClusterContext,
  request: RepairRequest,
  files: RepairFiles,
  facts: TableFacts,
): Promise<Omit<MadeChanges, 'rowsNow'>> {
  const { host, user } = clusterContext;
  const { source } = request.order;
  const earlierId = source.kind === 'repair' ? source.operationId : '';
  const state = openHostState(host.stateDir);
  const done = await state.onceDone<Applied>(earlierId, APPLIED);
  const plan = (await state.plans()).find(
    (one) => isRepairPlan(one) && one.binding.operationId === earlierId && one.digest === done?.result.plan,
  );
  if (done === null || plan === undefined || !isRepairPlan(plan))
    throw new RepriseError(
      'not-found',
      `there is no repair ${earlierId} on host ${host.name} that was carried out`,
      'see the repairs: reprise incident list',
    );
  const { table } = plan.binding.order;
  if (
    table.schema !== request.order.table.schema ||
    table.table !== request.order.table.table ||
    plan.binding.order.database !== request.order.database
  )
    throw new RepriseError('usage', `repair ${earlierId} was of another table`, 'name the table that it was of');
  const earlier = await openRepairFiles(host.stateDir, earlierId);
  if (!(await pathExists(earlier.changes)))
    throw new RepriseError(
      'not-found',
      `what repair ${earlierId} changed is kept no more`,
      'repair the table from a backup: reprise table repair --to TARGET',
    );
  const left = new Set(done.result.left);
  return withChangeSet(earlier.changes, plan.binding.changes, async (changes) => {
    const stale = await asRepair(clusterContext, request.order, request.operationId, facts, (client) =>
      changedSince(client, changes.header, facts, reversedEntries(changes.entries(), left)),
    );
    const digest = await writeChangeSet(
      files.changes,
      changes.header,
      orConflict(reversedEntries(changes.entries(), left), new Map(stale.map((at) => [at, null])), changes.header),
      user,
    );
    return { changes: digest, key: changes.header.key };
  });
}

/** `stale`: numbers of the changes, conflicts not counted, that could not be made; why, where it is not that a row changed. */
async function* orConflict(
  changes: AsyncIterable<ChangeSetEntry>,
  stale: ReadonlyMap<number, ConflictReason | null>,
  { columns, key }: ChangeSetHeader,
): AsyncGenerator<ChangeSetEntry> {
  let at = 0;
  for await (const change of changes) {
    const number = change.op === 'conflict' ? -1 : at++;
    if (change.op === 'conflict' || !stale.has(number)) yield change;
    else {
      const reason = stale.get(number) ?? (change.op === 'insert' ? 'there-again' : 'changed-since');
      const good = 'after' in change ? change.after : null;
      const bad = 'before' in change ? change.before : null;
      const row = good ?? bad ?? [];
      yield {
        ...{ op: 'conflict', reason, now: null, good, bad },
        key: key.map((name) => row[columns.indexOf(name)] ?? null),
      };
    }
  }
}

/** With a session that has no more rights than the owner of the table. */
async function asRepair<T>(
  { cluster }: ClusterContext,
  { database, table }: RepairOrder,
  operationId: string,
  facts: TableFacts,
  use: (client: pg.Client) => Promise<T>,
): Promise<T> {
  return withClient(cluster.connection, database, async (superuser) => {
    const login: RepairLogin = await openRepairLogin(superuser, cluster.connection, { operationId, table }, facts);
    try {
      return await withClient(login.connection, database, use, login.options);
    } finally {
      await closeRepairLogin(superuser, operationId);
    }
  });
}

/** Every row is still as the plan saw it, or another plan is made. */
async function recheck(
  clusterContext: ClusterContext,
  request: RepairRequest & { readonly plan: string },
): Promise<{ digest: string; changed: readonly string[] }> {
  const state = openHostState(clusterContext.host.stateDir);
  // Rows that the repair itself has changed are not as the plan saw them.
  if (await state.hasBegun(request.plan)) return { digest: request.plan, changed: [] };
  const { binding, facts, files } = await opened(clusterContext, request.plan, request.operationId);
  const changed = await withChangeSet(files.changes, binding.changes, (changes) =>
    asRepair(clusterContext, binding.order, request.operationId, facts, (client) =>
      changedSince(client, changes.header, facts, changesOnly(changes)),
    ),
  );
  if (changed.length === 0) return { digest: request.plan, changed: [] };
  return { digest: '', changed: [`${changed.length} rows changed since the plan was made`] };
}

async function opened(clusterContext: ClusterContext, digest: string, operationId: string) {
  const { cluster, host } = clusterContext;
  const plan = await openHostState(host.stateDir).readPlan(digest);
  if (plan === null || !isRepairPlan(plan))
    throw new RepriseError(
      'plan-unknown',
      `plan ${digest.slice(0, 12)} is no plan of this host for a repair`,
      'start the repair again: reprise table repair',
    );
  const { order } = plan.binding;
  const facts = await withClient(cluster.connection, order.database, (client) => readTableFacts(client, order.table));
  return { plan, binding: plan.binding, facts, files: await openRepairFiles(host.stateDir, operationId) };
}

async function* changesOnly(changes: ReadChangeSet): AsyncGenerator<RowChange> {
  for await (const entry of changes.entries()) if (entry.op !== 'conflict') yield entry;
}

/** What was carried out, for the report and for who takes it back. */
interface Applied extends AppliedChanges {
  readonly plan: string;
}

/** Makes the changes of an approved plan, in one transaction or in batches; repeated, it goes on where it was. */
async function apply(clusterContext: ClusterContext, step: PlannedStep, run: ActivityRun): Promise<ChangeCounts> {
  const { host } = clusterContext;
  const state = openHostState(host.stateDir);
  const done = await state.onceDone<Applied>(step.operationId, APPLIED, step.plan);
  if (done !== null) return countsOf(done.result);
  const { binding } = await authorizePlan(clusterContext, step, isRepairPlan);
  await state.recordDone(step.operationId, STARTED, new Date().toISOString(), step.plan);
  const { facts, files } = await opened(clusterContext, step.plan, step.operationId);
  if ((await systemIdentifierOf(clusterContext)) !== binding.systemIdentifier)
    throw new RepriseError(
      'identity-mismatch',
      `${clusterContext.cluster.name} is another cluster than the plan was made for`,
      'make a new plan',
    );
  await state.markBegun(step.plan);
  const applied = await withChangeSet(files.changes, binding.changes, (changes) =>
    asRepair(clusterContext, binding.order, step.operationId, facts, async (client) => {
      const total: { -readonly [K in keyof AppliedChanges]: AppliedChanges[K] } = {
        insert: 0,
        update: 0,
        delete: 0,
        left: [],
      };
      let [batch, from] = [0, 0];
      for await (const rows of batchesOf(changesOnly(changes), binding.order.batchRows)) {
        run.signal.throwIfAborted();
        run.report({ phase: 'change the rows', done: from, total: changedRows(binding.changes), unit: 'steps' });
        const one = await oneBatch(
          client,
          { changes, facts, files, step, batch: batch++, from, order: binding.order },
          rows.entries,
        );
        total.insert += one.insert;
        total.update += one.update;
        total.delete += one.delete;
        total.left = [...total.left, ...one.left];
        from += rows.count();
      }
      return total;
    }),
  );
  await state.recordDone(step.operationId, APPLIED, { ...applied, plan: step.plan }, step.plan);
  await state.recordDone(step.operationId, APPLIED, { ...applied, plan: step.plan });
  return countsOf(applied);
}

const countsOf = ({ insert, update, delete: removed, left }: AppliedChanges): ChangeCounts => ({
  ...{ insert, update, delete: removed, conflicts: left.length },
});

/** Rows of one transaction, and how many they were once they were read. */
async function* batchesOf(
  changes: AsyncGenerator<RowChange>,
  size = Number.POSITIVE_INFINITY,
): AsyncGenerator<{ readonly entries: AsyncIterable<RowChange>; readonly count: () => number }> {
  let next = await changes.next();
  while (next.done !== true) {
    let count = 0;
    const entries = (async function* () {
      while (next.done !== true && count < size) {
        count++;
        yield next.value;
        next = await changes.next();
      }
    })();
    yield { entries, count: () => count };
    // One that was committed before is passed over.
    for await (const _ of entries);
  }
}

interface Batch {
  readonly changes: ReadChangeSet;
  readonly facts: TableFacts;
  readonly files: RepairFiles;
  readonly step: PlannedStep;
  readonly batch: number;
  readonly from: number;
  readonly order: RepairOrder;
}

async function oneBatch(
  client: pg.Client,
  { changes, facts, files, step, batch, from, order }: Batch,
  rows: AsyncIterable<RowChange>,
): Promise<AppliedChanges> {
  const noted = await readBatch(files, step.plan, batch);
  if (noted !== null && (await hasCommitted(client, noted.xid))) return noted.done;
  return applyChanges(client, changes.header, facts, rows, {
    fireTriggers: order.fireTriggers === true,
    onChanged: order.batchRows === undefined ? 'stop' : 'leave',
    from,
    beforeCommit: (xid, done) => noteBatch(files, step.plan, batch, { xid, done }),
  });
}

/** @throws RepriseError `busy` while it runs; `internal` where the server has forgotten it */
async function hasCommitted(client: pg.Client, xid: string): Promise<boolean> {
  switch (await transactionEnd(client, xid)) {
    case 'committed':
      return true;
    case 'aborted':
      return false;
    case 'in progress':
      await endTransaction(client, xid);
      throw new RepriseError('busy', `transaction ${xid} of an earlier attempt still runs: it was told to end`);
    case 'unknown':
      throw new RepriseError(
        'internal',
        `the server does not know any more whether transaction ${xid} was committed`,
        'compare the table with the change set of the plan by hand, before anything is changed again',
      );
  }
}

/** Looks whether every row is as approved, and writes the report. */
async function finish(clusterContext: ClusterContext, step: PlannedStep): Promise<RepairOutcome> {
  const { cluster, host, catalogue } = clusterContext;
  const state = openHostState(host.stateDir);
  const { plan, binding, facts, files } = await opened(clusterContext, step.plan, step.operationId);
  const applied = await state.onceDone<Applied>(step.operationId, APPLIED, step.plan);
  if (applied === null) throw new RepriseError('plan-unknown', 'the rows were not changed yet', 'continue the repair');
  const { order } = binding;
  const left = new Set(applied.result.left);
  const since = await withChangeSet(files.changes, binding.changes, (changes) =>
    asRepair(clusterContext, order, step.operationId, facts, (client) =>
      changedSince(client, changes.header, facts, reversedEntries(changes.entries(), left)),
    ),
  );
  const rowsAfter = await withClient(cluster.connection, order.database, async (client) => {
    const { schema, table } = order.table;
    return (await countTable(client, schema, table, true)) ?? (await countTable(client, schema, table, false)) ?? 0;
  });
  const found = {
    ...{ database: order.database, table: order.table, done: countsOf(applied.result), rowsAfter },
    rowsBefore: plan.observed.rowsNow,
    checks: [{ name: 'rows are as approved', status: since.length === 0 ? 'ok' : `${since.length} changed since` }],
    startedAt: (await state.onceDone<string>(step.operationId, STARTED, step.plan))?.result ?? plan.createdAt,
    finishedAt: new Date().toISOString(),
  };
  const approvals = await state.approvals(plan.digest);
  const report = await catalogue.writeIncidentDocument(step.operationId, repairReport(plan, found, approvals));
  const text = `${repairTitle(binding)}: ${changedRows(found.done)} rows changed`;
  await record(clusterContext, step, 'repair-outcome', {
    kind: 'journal',
    workflowId: step.workflowId,
    step: 'table-repair',
    text,
  });
  return { ...found, report };
}
