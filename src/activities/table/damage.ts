import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ConnectionConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import type { RepairOrder } from '../../domain/operation/orders.js';
import type { PlannedRestore } from '../../domain/drill/drill.js';
import type { PlannedBackup } from '../../domain/plan/plan.js';
import type { ChangeSetDigest, RowChange, RowText } from '../../domain/table/repair.js';
import { requireWalOfServer } from '../../domain/table/same-cluster.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { withComparison } from '../../postgres/compare/comparison.js';
import { writeChangeSet } from '../../postgres/repair/change-set-file.js';
import { withRowsFile } from '../../postgres/repair/rows-file.js';
import { isExactKey, readTableFacts } from '../../postgres/repair/table-facts.js';
import { type TransactionChanges, writeChanges } from '../../postgres/wal/transactions/transaction-changes.js';
import { openHostState } from '../../records/host-state.js';
import { readJson, replaceJson } from '../../records/state-files.js';
import { openRepairFiles, type RepairFiles } from '../../records/repair-files.js';
import type { ActivityRun } from '../activity-wrapper.js';
import type { FoundTransaction, RepairRequest } from '../api.js';
import type { ClusterContext } from '../cluster-context.js';
import { withClusterWal } from '../cluster-wal.js';
import { strategyDoes } from './equal-keys.js';
import { requireOwnEpoch, requireTableNow } from './table-now.js';
import { readableInstance } from '../temporary/temporary-instance.js';
import { systemIdentifierOf } from './repair-session.js';
import { noteColumns } from './columns-then.js';
import { readByPlaces } from './rows-by-place.js';
import { shellWord } from '../../domain/text/text.js';

type InstanceBackup = PlannedRestore['backups'][number];

/** Names of what the host notes once. */
const TRANSACTION = 'repair-transaction';
const STATE_CHANGES = 'changes.json';
const BACKUPS = 'backups.json';

/** What is noted of a transaction. */
export const transactionOf = async (
  { host }: ClusterContext,
  operationId: string,
): Promise<TransactionChanges | null> =>
  (await openHostState(host.stateDir).onceDone<TransactionChanges>(operationId, TRANSACTION))?.result ?? null;

/**
 * Finds a transaction in the WAL, and notes which row versions it ended and made.
 * @throws RepriseError what `withClusterWal` and `writeChanges` throw
 */
export async function findTransaction(
  clusterContext: ClusterContext,
  request: RepairRequest,
  run: ActivityRun,
): Promise<FoundTransaction> {
  const { host } = clusterContext;
  const { source } = request.order;
  if (source.kind !== 'transaction') throw new RepriseError('usage', 'no transaction is named');
  const state = openHostState(host.stateDir);
  const { operationId } = request;
  if ((await transactionOf(clusterContext, operationId)) === null) {
    await requireTableNow(clusterContext, { operationId, ...request.order });
    await requireOwnEpoch(clusterContext, source.xid);
    const files = await openRepairFiles(host.stateDir, operationId);
    const server = await systemIdentifierOf(clusterContext);
    const changes = await withClusterWal(
      clusterContext,
      run,
      { policy: source.policy },
      async ({ reader, course, policy }) => {
        requireWalOfServer(
          { name: clusterContext.cluster.name, policy: policy.name },
          { wal: course.systemIdentifier, server },
        );
        await rm(files.places, { force: true });
        return writeChanges(reader, course, source.xid, files.places);
      },
    );
    await state.recordDone(operationId, TRANSACTION, changes);
  }
  const found = (await transactionOf(clusterContext, operationId)) as TransactionChanges;
  return {
    committedAt: new Date(found.commit.time / 1000).toISOString(),
    rows: found.files.reduce((sum, { inserted, updated, deleted }) => sum + inserted + updated + deleted, 0),
    exact: found.whole,
  };
}

/** `candidates`: all rows that differ, whatever strategy and scope are, as some of them may be one row under equal keys. */
type StateChanges = ChangeSetDigest & { readonly candidates?: boolean };

/** The change set that {@link collectRows} wrote for a state. */
export async function stateChanges(files: RepairFiles): Promise<StateChanges> {
  const digest = (await readJson(join(files.directory, STATE_CHANGES))) as StateChanges | null;
  if (digest === null) throw new RepriseError('plan-stale', 'nothing was compared yet', 'start the repair again');
  return digest;
}

/** From which backups the rows were read. */
export async function usedBackups(files: RepairFiles): Promise<readonly PlannedBackup[]> {
  return ((await readJson(join(files.directory, BACKUPS))) ?? []) as readonly PlannedBackup[];
}

type Collected = RepairRequest & {
  readonly from: readonly { readonly instance: string; readonly state: 'good' | 'bad' }[];
};

/** Reads the damaged rows in temporary instances of the operation; false where they cannot be told one by one. */
export async function collectRows(
  clusterContext: ClusterContext,
  request: Collected,
  run: ActivityRun,
): Promise<boolean> {
  const { host, user } = clusterContext;
  const { order, from } = request;
  const files = await openRepairFiles(host.stateDir, request.operationId);
  const servers = await Promise.all(
    from.map(async ({ instance, state }) => ({
      state,
      ...(await readableInstance(clusterContext, { ...request, instance }, order, run)),
    })),
  );
  await replaceJson(
    join(files.directory, BACKUPS),
    // Both instances are made from one backup as a rule.
    [
      ...new Map(
        servers.flatMap(({ content }) => content.restore.backups).map((backup) => [backup.id, plannedBackup(backup)]),
      ).values(),
    ],
  );
  const [first, second] = servers;
  if (first === undefined) throw new RepriseError('usage', 'no temporary instance is named');
  if (second !== undefined) {
    await compareStates(first.connection, second.connection, order, files, user, run);
    return true;
  }
  if (order.source.kind === 'state') {
    await writeStateChanges(clusterContext, first.connection, request, files, run);
    return true;
  }
  const transaction = await transactionOf(clusterContext, request.operationId);
  if (transaction === null) throw new RepriseError('usage', 'the transaction was not looked for');
  return readByPlaces(first.connection, first.state, order, transaction, files, user, run);
}

function plannedBackup({ id, label, finishedAt, content }: InstanceBackup): PlannedBackup {
  return { id, label, finishedAt, type: '', hash: content };
}

/** What two instances have differently, in two files: each row as it was, and as it was afterwards. */
async function compareStates(
  good: ConnectionConfig,
  bad: ConnectionConfig,
  order: RepairOrder,
  files: RepairFiles,
  owner: ClusterContext['user'],
  { signal, report }: ActivityRun,
): Promise<void> {
  const { database, table, key, scope } = order;
  const then = await withClient(good, database, (client) => readTableFacts(client, table));
  // Where equal keys have more than one text, both states of a row have to be there: the scope is looked at when they are one.
  const within = isExactKey(then, key ?? then.key) ? scope : undefined;
  await withClient(good, database, (left) =>
    withClient(bad, database, (right) =>
      withComparison(
        { left, right, table, key, scope: within, signal, report: comparing(report) },
        async (comparison) => {
          requireWhole(comparison.schema.length, order);
          await noteColumns(files, comparison.terms.columns, then.columns);
          await withRowsFile(files.good, owner, (writeGood) =>
            withRowsFile(files.bad, owner, async (writeBad) => {
              for await (const { before, after, times } of comparison.differences())
                for (let time = 0; time < times; time++) {
                  if (before !== null) await writeGood(before);
                  if (after !== null) await writeBad(after);
                }
            }),
          );
        },
      ),
    ),
  );
}

const comparing =
  (report: ActivityRun['report']) =>
  ({ phase, done, total }: { phase: string; done: number; total: number }): void =>
    report({ phase: `compare: ${phase}`, done, ...(total > 0 ? { total } : {}), unit: 'steps' });

function requireWhole(differences: number, { database }: RepairOrder): void {
  if (differences === 0) return;
  throw new RepriseError(
    'capability-missing',
    'the definition of the table is not the same in both states, so that rows cannot be put back as they were',
    `see how: reprise table compare; undo the change of the definition first, or recover the database: reprise recover CLUSTER --database ${shellWord(database)} --to TIME`,
  );
}

/** Differences between an instance and production, as the strategy corrects them. */
async function writeStateChanges(
  clusterContext: ClusterContext,
  good: ConnectionConfig,
  { order }: RepairRequest,
  files: RepairFiles,
  { signal, report }: ActivityRun,
): Promise<void> {
  const { database, table, key: asked, scope, strategy } = order;
  const { cluster, user } = clusterContext;
  const facts = await withClient(cluster.connection, database, (client) => readTableFacts(client, table));
  const candidates = !isExactKey(facts, asked ?? facts.key);
  const within = candidates ? undefined : scope;
  const digest = await withClient(good, database, (left) =>
    withClient(cluster.connection, database, (right) =>
      withComparison(
        { left, right, table, key: asked, scope: within, signal, report: comparing(report) },
        async (comparison) => {
          requireWhole(comparison.schema.length, order);
          const { columns, key } = comparison.terms;
          if (!candidates && !isExactKey(facts, key)) throw otherKey(key);
          const header = { database, table, columns, key };
          const [path, does] = candidates ? [files.candidates, 'replace' as const] : [files.found, strategy];
          return writeChangeSet(path, header, corrections(comparison.differences(), does), user);
        },
      ),
    ),
  );
  const made: StateChanges = { ...digest, candidates };
  await replaceJson(join(files.directory, STATE_CHANGES), made);
}

function otherKey(key: readonly string[]): RepriseError {
  const names = key.map((name) => JSON.stringify(name)).join(', ');
  return new RepriseError(
    'usage',
    `the rows would be told apart by ${names}, which is not the key of the table in production`,
    `name the columns that tell rows apart: --key ${key[0] ?? 'COLUMN'}`,
  );
}

async function* corrections(
  differences: AsyncIterable<{
    readonly before: RowText | null;
    readonly after: RowText | null;
    readonly times: number;
  }>,
  strategy: RepairOrder['strategy'],
): AsyncGenerator<RowChange> {
  const { insert: inserts, update: updates, delete: deletes } = strategyDoes(strategy);
  for await (const { before, after, times } of differences)
    for (let time = 0; time < times; time++) {
      if (before !== null && after !== null && updates) yield { op: 'update', before: after, after: before };
      if (before !== null && after === null && inserts) yield { op: 'insert', after: before };
      if (before === null && after !== null && deletes) yield { op: 'delete', before: after };
    }
}
