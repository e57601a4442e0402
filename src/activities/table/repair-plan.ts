import { mayApprove, needsApproval, linesToAdd, whyNobodyApproves } from '../../domain/approval/approval-policy.js';
import { RepriseError } from '../../domain/errors.js';
import {
  changedRows,
  type ChangeSetDigest,
  type ChangeSetHeader,
  type ConflictReason,
  isRepairPlan,
  type RepairBinding,
  type RepairPlan,
  type RowChange,
} from '../../domain/table/repair.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { withTableSide } from '../../postgres/compare/table-side.js';
import { changedSince, takenValues } from '../../postgres/repair/apply-changes.js';
import {
  type ChangeSetEntry,
  type ReadChangeSet,
  reversedEntries,
  withChangeSet,
  writeChangeSet,
} from '../../postgres/repair/change-set-file.js';
import { readRows } from '../../postgres/repair/rows-file.js';
import { readTableFacts, type TableFacts } from '../../postgres/repair/table-facts.js';
import { planDigest } from '../../records/digest.js';
import { openHostState } from '../../records/host-state.js';
import { openRepairFiles, type RepairFiles } from '../../records/repair-files.js';
import type { ActivityRun } from '../activity-wrapper.js';
import type { RepairRequest } from '../api.js';
import type { ClusterContext } from '../cluster-context.js';
import { afterRepairOf, blockingOf } from './blocking.js';
import { readColumnsThen, stateChanges, transactionOf, usedBackups } from './damage.js';
import { changesFor, effectsOf } from './make-changes.js';
import { pathExists } from '../../files/paths.js';
import { asRepair, changesOnly, systemIdentifierOf, APPLIED, type Applied, rowsIn } from './repair-session.js';

export async function makeRepairPlan(
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
    ...afterRepairOf(cluster, order),
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
    const rowsNow = await rowsIn(client, table);
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
