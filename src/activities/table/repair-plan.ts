import { mayApprove, needsApproval, linesToAdd, whyNobodyApproves } from '../../domain/approval/approval-policy.js';
import { RepriseError } from '../../domain/errors.js';
import {
  changedRows,
  type ChangeSetDigest,
  type ChangeSetHeader,
  type ConflictReason,
  type RepairBinding,
  type RepairPlan,
  type RowChange,
} from '../../domain/table/repair.js';
import { takeConflictsCommand } from '../../domain/table/repair-text.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { withTableSide } from '../../postgres/compare/table-side.js';
import {
  type ChangeSetEntry,
  type ReadChangeSet,
  withChangeSet,
  writeChangeSet,
} from '../../postgres/repair/change-set-file.js';
import { planConflicts, type PlanConflicts } from '../../postgres/repair/plan-conflicts.js';
import { readRows } from '../../postgres/repair/rows-file.js';
import { readTableFacts, type TableFacts } from '../../postgres/repair/table-facts.js';
import { planDigest } from '../../records/digest.js';
import { openRepairFiles, type RepairFiles } from '../../records/repair-files.js';
import type { ActivityRun } from '../activity-wrapper.js';
import type { RepairRequest } from '../api.js';
import type { ClusterContext } from '../cluster-context.js';
import { type ActiveHold, afterRepairOf, blockingOfRepair } from './blocking.js';
import { readColumnsThen } from './columns-then.js';
import { stateChanges, transactionOf, usedBackups } from './damage.js';
import { keysInOtherText, newVersions, pairedChanges } from './equal-keys.js';
import { changesFor, effectsOf } from './make-changes.js';
import { holdingRows, otherTablesOf, staleViews } from './other-tables.js';
import { backupsOfOthers } from '../../domain/table/same-cluster.js';
import { asRepair, changesOnly, systemIdentifierOf, rowsIn } from './repair-session.js';
import { onlyDone, takenBack } from './take-back.js';

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
  const { changes, key, rowsNow, damaged } = await makeChanges(clusterContext, request, files, facts, run);
  const transaction = await transactionOf(clusterContext, operationId);
  const { blocking, holds } = await blockingOfRepair(clusterContext, order);
  const binding: RepairBinding = {
    action: 'table-repair',
    operationId,
    cluster: cluster.name,
    targetHost: deps.host,
    order,
    systemIdentifier: await systemIdentifierOf(clusterContext),
    backups: await usedBackups(files),
    ...{ key, changes, effects: effectsOf(facts) },
    ...blocking,
    ...afterRepairOf(cluster, order),
    ...{ configDigest: deps.config.digest, requester },
  };
  const used = binding.backups.map(({ id }) => id);
  const others = backupsOfOthers(used, (await clusterContext.catalogue.state()).backups, binding.systemIdentifier);
  const createdAt = new Date();
  const nobody = policy === undefined ? null : whyNobodyApproves(policy, requester);
  const repaired = { cluster: cluster.name, order, facts };
  return {
    digest: planDigest(binding),
    binding,
    observed: {
      damagedAt: transaction === null ? null : new Date(transaction.commit.time / 1000).toISOString(),
      rowsNow,
      file: files.changes,
      fileUntil: files.until,
      approval: policy === undefined ? null : { approvers: policy.approvers, from: mayApprove(policy, requester) },
      ...(holds.length === 0 ? {} : { heldBy: holds.map(({ workflowId }) => workflowId) }),
      warnings: [
        ...(nobody === null ? [] : [nobody]),
        ...others,
        ...untouched(order, damaged),
        ...(order.source.kind === 'repair' ? await onlyDone(clusterContext, order.source.operationId) : []),
        ...(await otherTablesOf(cluster.connection, repaired, transaction)),
        ...(await holdingRows(cluster.connection, repaired, files.changes, changes, run.signal)),
        ...(await staleViews(cluster.connection, repaired, changes)),
        ...warningsOf(binding, holds),
      ],
    },
    createdAt: createdAt.toISOString(),
    approveBy: new Date(createdAt.getTime() + (policy?.approveWithinSeconds ?? 3600) * 1000).toISOString(),
  };
}

/** A number that was mistyped, or one of another table. */
function untouched(
  { source, table, database, scope }: RepairRequest['order'],
  damaged: number | null,
): readonly string[] {
  if (source.kind !== 'transaction' || damaged !== 0) return [];
  const rows = scope === undefined ? 'row' : 'such row';
  return [
    `transaction ${source.xid} changed no ${rows} of ${formatTableName(table)} in ${database}: see what it did with \`reprise table blast-radius\`, and who changed the table with \`reprise wal transactions\``,
  ];
}

function warningsOf(binding: RepairBinding, holds: readonly ActiveHold[]): readonly string[] {
  const { order, key, freeze } = binding;
  return [
    ...conflictWarnings(binding),
    ...(key.length === 0 ? ['the table has no key: equal rows are counted, and cannot be told apart'] : []),
    ...writesMeanwhile(freeze, holds),
    ...(order.batchRows === undefined
      ? []
      : ['done in batches: rows that somebody changes meanwhile are left out and counted']),
  ];
}

function conflictWarnings(binding: RepairBinding): readonly string[] {
  const { conflicts } = binding.changes;
  if (conflicts === 0) return [];
  if (takeConflictsCommand(binding) === null)
    return [
      `${conflicts} rows stay as they are, because they changed for another reason too, or because the table does not take them: the file lists them with their keys and reasons`,
    ];
  return [
    `${conflicts} damaged rows changed for another reason too, and stay as they are: the file lists them with their keys; to put them right too, decline this plan and make another one with --conflicts take`,
  ];
}

function writesMeanwhile(freeze: RepairBinding['freeze'], holds: readonly ActiveHold[]): readonly string[] {
  if (holds.length > 0)
    return holds.map(
      ({ workflowId, since, until }) =>
        `${workflowId} keeps the table frozen since ${since}${until === null ? '' : `, until ${until}`}, and goes on after the repair: where it has released the table before, another plan is made`,
    );
  return [
    freeze === null
      ? 'the table takes writes meanwhile: a row that somebody changes between this plan and the repair stops the repair'
      : 'the table takes writes until the repair begins: where somebody changes one of these rows before, nothing is changed, and another plan is made',
  ];
}

interface MadeChanges {
  readonly changes: ChangeSetDigest;
  readonly key: readonly string[];
  readonly rowsNow: number;
  /** Row versions that were read before and after the damage; null where production itself was compared. */
  readonly damaged: number | null;
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
      const { candidates, ...digest } = await stateChanges(files);
      const found = candidates ? await pairedChanges(clusterContext, request, files, facts, digest) : digest;
      return { ...(await lookedUp(clusterContext, request, files, facts, found)), rowsNow, damaged: null };
    }
    if (source.kind === 'repair') {
      const found = await takenBack(clusterContext, request, source.operationId, files);
      return { ...(await lookedUp(clusterContext, request, files, facts, found)), rowsNow, damaged: null };
    }
    const header: ChangeSetHeader = {
      ...{ database, table, columns: await readColumnsThen(files, order, facts.columns) },
      key: order.key ?? facts.key,
    };
    const rows = (path: string) => () => readRows(path);
    const count = (await countRows(files.good)) + (await countRows(files.bad));
    const [good, bad] = [rows(files.good), rows(files.bad)];
    const alike = await keysInOtherText(clusterContext, request, facts, header, { good, bad });
    const damaged = { header, order, facts, count, good, bad, alike };
    const found = await withTableSide(client, table, 'in production', (side) =>
      writeChangeSet(files.found, header, changesFor(damaged, side, signal), user),
    );
    return { ...(await lookedUp(clusterContext, request, files, facts, found)), rowsNow, damaged: count };
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
): Promise<Omit<MadeChanges, 'rowsNow' | 'damaged'>> {
  return withChangeSet(files.found, found, async (changes) => {
    const { header } = changes;
    const conflicts: PlanConflicts =
      changedRows(found) === 0
        ? { reasons: new Map(), together: new Set(), renamed: new Map() }
        : await asRepair(clusterContext, order, operationId, facts, (client) =>
            planConflicts(client, header, facts, changesOnly(changes), { fireTriggers: order.fireTriggers === true }),
          );
    const entries = asPlanned(changes, conflicts, order.batchRows !== undefined);
    return { changes: await writeChangeSet(files.changes, header, entries, clusterContext.user), key: header.key };
  });
}

/**
 * The changes as they are planned: what stands against one makes a conflict of it. Where they are made in batches, those that need each other come
 * first, and are marked: a batch does not end between them.
 */
async function* asPlanned(
  changes: ReadChangeSet,
  { reasons, together, renamed }: PlanConflicts,
  batches: boolean,
): AsyncGenerator<ChangeSetEntry> {
  const { header, entries } = changes;
  const versions = await newVersions(changesOnly(changes), renamed);
  const isFirst = (number: number): boolean => batches && together.has(number);
  for (const first of batches && together.size > 0 ? [true, false] : [false]) {
    let at = 0;
    for await (const one of entries()) {
      const number = one.op === 'conflict' ? -1 : at++;
      if (isFirst(number) !== first || renamed.has(number)) continue;
      const after = versions.get(number);
      const entry = one.op === 'delete' && after !== undefined ? { ...one, op: 'update' as const, after } : one;
      const reason = reasons.get(number);
      if (entry.op === 'conflict' || reason === undefined)
        yield first ? { ...(entry as RowChange), together: true } : entry;
      else yield conflictOf(entry, reason, header);
    }
  }
}

function conflictOf(
  change: RowChange,
  reason: ConflictReason | null,
  { key, columns }: ChangeSetHeader,
): ChangeSetEntry {
  const good = 'after' in change ? change.after : null;
  const bad = 'before' in change ? change.before : null;
  const row = good ?? bad ?? [];
  return {
    ...{ op: 'conflict', now: null, good, bad },
    reason: reason ?? (change.op === 'insert' ? 'there-again' : 'changed-since'),
    key: key.map((name) => row[columns.indexOf(name)] ?? null),
  };
}

async function countRows(path: string): Promise<number> {
  let count = 0;
  for await (const _ of readRows(path)) count++;
  return count;
}
