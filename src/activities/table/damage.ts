import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import type { RepairOrder } from '../../domain/operation/orders.js';
import type { PlannedRestore } from '../../domain/drill/drill.js';
import type { PlannedBackup } from '../../domain/plan/plan.js';
import type { ChangeSetDigest, RowChange, RowText } from '../../domain/table/repair.js';
import { requireWalOfServer } from '../../domain/table/same-cluster.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { eachLine, valuesOf } from '../../postgres/compare/copied-lines.js';
import { withComparison } from '../../postgres/compare/comparison.js';
import { type TableSide, withTableSide } from '../../postgres/compare/table-side.js';
import { writeChangeSet } from '../../postgres/repair/change-set-file.js';
import { withRowsFile } from '../../postgres/repair/rows-file.js';
import { isExactKey, readTableFacts, type StoredColumn, type TableFacts } from '../../postgres/repair/table-facts.js';
import type { RelationFile } from '../../postgres/wal/transactions/record-text.js';
import {
  notInRows,
  readChanges,
  type RowPlace,
  type TransactionChanges,
  writeChanges,
} from '../../postgres/wal/transactions/transaction-changes.js';
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

type InstanceBackup = PlannedRestore['backups'][number];

/** Names of what the host notes once. */
const TRANSACTION = 'repair-transaction';
const STATE_CHANGES = 'changes.json';
const BACKUPS = 'backups.json';
/** So many rows are read at once by their places. */
const PLACES = 2000;

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
    `see how: reprise table compare; undo the change of the definition first, or recover the database: reprise recover CLUSTER --database ${database} --to TIME`,
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

/**
 * The versions that the transaction ended, read just before its end, or those that it made, read just after it. False where the WAL does
 * not tell them row by row, or where nobody may be asked for them without rights of a superuser for code of others.
 */
async function readByPlaces(
  connection: ConnectionConfig,
  state: 'good' | 'bad',
  { database, table }: RepairOrder,
  transaction: TransactionChanges,
  files: RepairFiles,
  owner: ClusterContext['user'],
  run: ActivityRun,
): Promise<boolean> {
  const { facts, leaves, reader } = await withClient(connection, database, async (client) => {
    const found = await readTableFacts(client, table);
    return {
      facts: found,
      leaves: await relationFiles(client, found.oid),
      reader: await readerOf(client, connection, found),
    };
  });
  const isOther = leaves.some(({ file }) =>
    state === 'good'
      ? notInRows(transaction, { before: file, after: null }) !== null
      : notInRows(transaction, { before: null, after: file }) !== null,
  );
  if (isOther || reader === null) return false;
  return withClient(reader, database, (client) =>
    withTableSide(client, table, 'in the temporary instance', (side) =>
      withRowsFile(files[state], owner, async (write) => {
        const columns = facts.columns.map((one) => one.name);
        await noteColumns(files, columns, facts.columns);
        for (const { name, file } of leaves) {
          const places = await touched(files.places, file, state);
          for (let at = 0; at < places.length; at += PLACES) {
            run.report({ phase: 'read the damaged rows', done: at, total: places.length, unit: 'steps' });
            const wanted = places.slice(at, at + PLACES);
            const rows = await rowsAt(side, name, columns, wanted, run.signal);
            if (rows.length < wanted.length) return false;
            for (const row of rows) await write(row);
          }
        }
        return true;
      }),
    ),
  );
}

type ColumnThen = Pick<StoredColumn, 'name' | 'type'>;

/** In the order in which the rows have them. */
function noteColumns(files: RepairFiles, names: readonly string[], columns: readonly ColumnThen[]): Promise<void> {
  const then = names.map((name) => ({ name, type: columns.find((one) => one.name === name)?.type ?? '' }));
  return replaceJson(files.columns, then);
}

/**
 * Names of the columns of the rows that were read, in their order.
 * @throws RepriseError `capability-missing` where the table has other columns, or of other types, by now
 */
export async function readColumnsThen(
  files: RepairFiles,
  { database }: RepairOrder,
  now: readonly ColumnThen[],
): Promise<readonly string[]> {
  const then = ((await readJson(files.columns)) ?? []) as readonly ColumnThen[];
  const isAmong = ({ name, type }: ColumnThen, columns: readonly ColumnThen[]): boolean =>
    columns.some((one) => one.name === name && one.type === type);
  const other = [...then.filter((one) => !isAmong(one, now)), ...now.filter((one) => !isAmong(one, then))];
  if (other.length === 0) return then.map(({ name }) => name);
  const names = [...new Set(other.map(({ name }) => JSON.stringify(name)))].join(', ');
  throw new RepriseError(
    'capability-missing',
    `the table has other columns than at the time of the damage (${names}), so that its rows cannot be put back as they were`,
    `undo the change of the definition first, or recover the database: reprise recover CLUSTER --database ${database} --to TIME`,
  );
}

/**
 * Who may ask for rows by a query: planning it runs functions in expressions of indexes and statistics. A superuser where there are none,
 * or where superusers own them; else the owner of the table, whose code that is; null where the owner may not log in.
 */
async function readerOf(
  client: pg.ClientBase,
  connection: ConnectionConfig,
  { oid, owner, ownerIsSuperuser, foreignCode }: TableFacts,
): Promise<ConnectionConfig | null> {
  const { rows } = await client.query<{ plain: boolean; login: boolean }>(
    `SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = ANY (t.oids) AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL))
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_statistic_ext s WHERE s.stxrelid = ANY (t.oids)
                               AND pg_catalog.to_jsonb(s) ->> 'stxexprs' IS NOT NULL) AS plain,
            (SELECT rolcanlogin FROM pg_catalog.pg_roles WHERE rolname = $2) AS login
       FROM (SELECT pg_catalog.array_agg(relid::oid) || $1::oid AS oids FROM pg_catalog.pg_partition_tree($1::oid::regclass)) t`,
    [oid, owner],
  );
  const { plain = false, login = false } = rows[0] ?? {};
  if (plain || (ownerIsSuperuser && foreignCode.length === 0)) return connection;
  return !ownerIsSuperuser && login ? { ...connection, user: owner } : null;
}

interface Leaf {
  readonly name: string;
  readonly file: RelationFile;
}

async function relationFiles(client: pg.ClientBase, oid: number): Promise<readonly Leaf[]> {
  const { rows } = await client.query<{ name: string; tablespace: number; database: number; file: number }>(
    `SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, d.oid AS database, pg_catalog.pg_relation_filenode(c.oid) AS file,
            coalesce(nullif(c.reltablespace, 0), d.dattablespace) AS tablespace
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace,
            pg_catalog.pg_database d
      WHERE d.datname = pg_catalog.current_database() AND c.relkind = 'r'
        AND (c.oid = $1 OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree($1::oid::regclass)))
      ORDER BY 1`,
    [oid],
  );
  return rows.map(({ name, tablespace, database, file }) => ({ name, file: { tablespace, database, file } }));
}

/** Places of versions that were there before the transaction and not after it, or the reverse. */
async function touched(path: string, file: RelationFile, state: 'good' | 'bad'): Promise<readonly string[]> {
  const [wanted, between] = [new Set<string>(), new Set<string>()];
  const note = (into: Set<string>, place: RowPlace | null): void => {
    if (place !== null) into.add(`(${place.block},${place.offset})`);
  };
  for await (const change of readChanges(path, file)) {
    note(state === 'good' ? wanted : between, change.old);
    note(state === 'good' ? between : wanted, change.new);
  }
  // What the transaction made and ended itself, nobody else ever saw.
  return [...wanted].filter((place) => !between.has(place));
}

async function rowsAt(
  { client, decode }: TableSide,
  leaf: string,
  columns: readonly string[],
  places: readonly string[],
  signal: AbortSignal,
): Promise<readonly RowText[]> {
  await client.query('SET LOCAL constraint_exclusion TO off');
  const names = columns.map((name) => pg.escapeIdentifier(name)).join(', ');
  const list = `'{${places.map((place) => `"${place}"`).join(',')}}'::pg_catalog.tid[]`;
  const rows: RowText[] = [];
  // By COPY, which writes each value by its type's own output, and no cast of somebody.
  await eachLine(
    client,
    `(SELECT ${names} FROM ONLY ${leaf} WHERE ctid = ANY (${list}))`,
    signal,
    (bytes, start, end) => rows.push(valuesOf(bytes.subarray(start, end), columns.length, decode)),
  );
  return rows;
}
