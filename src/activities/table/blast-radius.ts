import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { type BlastRadiusOrder, blastRadiusOrder, type RepairOrder } from '../../domain/operation/orders.js';
import type { BlastRadius, DamagedRow, DamagedRows, UndoDamage } from '../../domain/table/blast-radius.js';
import type { ChangeSetHeader, ConflictReason, RowText } from '../../domain/table/repair.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { visible } from '../../domain/text/text.js';
import { removeTree } from '../../files/remove-tree.js';
import { withTableSide } from '../../postgres/compare/table-side.js';
import { withClient } from '../../postgres/connection/with-client.js';
import type { ChangeSetEntry } from '../../postgres/repair/change-set-file.js';
import { readRows } from '../../postgres/repair/rows-file.js';
import { readTableFacts } from '../../postgres/repair/table-facts.js';
import { microsecondsOf } from '../../postgres/wal/transactions/instants.js';
import { type LaterChanges, laterChanges } from '../../postgres/wal/transactions/later-changes.js';
import { readRelationNames, RelationNames } from '../../postgres/wal/transactions/relation-names.js';
import { keepComparedRows, keptUntil, removeOldComparisons } from '../../records/compared-tables.js';
import { openHostState } from '../../records/host-state.js';
import { openRepairFiles, type RepairFiles } from '../../records/repair-files.js';
import { type ActivityRun, withOrder, wrapActivity } from '../activity-wrapper.js';
import type { BlastRadiusActivities, FollowedRows, InstanceStep, OrderedStep, WeighedDamage } from '../api.js';
import { requireOwnOperation } from '../approval/own-operation.js';
import { type ClusterContext, openClusterContext } from '../cluster-context.js';
import { withClusterWal } from '../cluster-wal.js';
import type { HostDependencies } from '../dependencies.js';
import { namesFor } from '../inspection/wal-transactions.js';
import { instanceServer } from '../temporary/temporary-instance.js';
import { readColumnsThen } from './columns-then.js';
import { transactionOf } from './damage.js';
import { changesFor } from './make-changes.js';
import { referringRows } from './referring-rows.js';

type Step = OrderedStep<BlastRadiusOrder>;

/** Names of what the host notes once. */
const [FOLLOWED, WEIGHED] = ['blast-followed', 'blast-weighed'];
/** So many conflicts are kept with their keys. */
const MOST_CONFLICTS = 10_000;
/** What production says where a table, or one column of it, is not there as it was, or may not be read: undoing is no way back then. */
const NO_UNDO: ReadonlySet<string> = new Set([
  ...['not-found', 'capability-missing', 'database-unreachable', 'privilege-missing', 'usage'],
]);

/** What a transaction did to a table, and what came after it. */
export function blastRadiusActivities(deps: HostDependencies): BlastRadiusActivities {
  return {
    followRows: wrapActivity(
      'followRows',
      withOrder(blastRadiusOrder, async (step: Step & InstanceStep, run) =>
        once(await openClusterContext(deps, step.cluster), step, FOLLOWED, (clusterContext) =>
          followRows(clusterContext, step, run),
        ),
      ),
    ),
    weighDamage: wrapActivity(
      'weighDamage',
      withOrder(blastRadiusOrder, async (step: Step, run) =>
        once(await openClusterContext(deps, step.cluster), step, WEIGHED, (clusterContext) =>
          weighDamage(clusterContext, step, run),
        ),
      ),
    ),
  };
}

/** Found done where an earlier attempt did it: hours of WAL are not read twice. */
async function once<T>(
  clusterContext: ClusterContext,
  step: Step,
  what: string,
  work: (clusterContext: ClusterContext) => Promise<T>,
): Promise<T> {
  await requireOwnOperation(clusterContext, step);
  const state = openHostState(clusterContext.host.stateDir);
  const done = await state.onceDone<T>(step.operationId, what);
  if (done !== null) return done.result;
  const result = await work(clusterContext);
  await state.recordDone(step.operationId, what, result);
  return result;
}

async function followRows(
  clusterContext: ClusterContext,
  step: Step & InstanceStep,
  run: ActivityRun,
): Promise<FollowedRows> {
  const { order, operationId } = step;
  const { database, table, policy, to } = order;
  const transaction = await transactionOf(clusterContext, operationId);
  if (transaction === null) throw new RepriseError('usage', 'the transaction was not looked for');
  const { places } = await openRepairFiles(clusterContext.host.stateDir, operationId);
  const { connection } = await instanceServer(clusterContext, step, run);
  return withClusterWal(clusterContext, run, { policy }, async ({ reader, course, hasServersOwn }) => {
    // Names of just before and of now: a table that was rewritten or truncated since has another file, and one that was dropped no name.
    const then = await readRelationNames(connection);
    const { names: now } = await namesFor(clusterContext, {}, course.systemIdentifier);
    const tables = new Set([then, now].flatMap((names) => names.tablesNamed(database, table)));
    const oid = then.databaseOid(database);
    if (tables.size === 0 || oid === undefined)
      throw new RepriseError(
        'not-found',
        `there is no table ${formatTableName(table)} in database ${visible(database)}, neither then nor now`,
        'see how it is written: psql -c "\\dt *.*"',
      );
    const later = await laterChanges(
      reader,
      course,
      {
        ...{ transaction, places, tables, database: oid, names: RelationNames.merged(then, now) },
        to: to === undefined ? Date.now() * 1000 : microsecondsOf(to),
      },
      hasServersOwn,
    );
    const { followed, rows, transactions, more, atLeast, missing } = later;
    return {
      transaction: later.transaction,
      later: {
        ...{ followed, rows, transactions, more, atLeast, missing },
        ...{ table: later.table, database: later.database },
      },
      notes: notesOf(later),
    };
  });
}

function notesOf({ followed, atLeast, cuts, moved, missing, transaction }: LaterChanges): readonly string[] {
  return [
    ...cuts.map(
      ({ xid, committedAt, rows }) =>
        `transaction ${xid} gave the table another file at ${committedAt} (TRUNCATE, DROP, or a rewrite such as VACUUM FULL): its ${rows} rows there are not followed any further`,
    ),
    ...(moved > 0
      ? [
          `${moved} rows were moved to another partition later, which is not known any more: they are not followed there`,
        ]
      : []),
    ...(atLeast ? [`more rows than ${followed} are not followed: at least so many were touched later`] : []),
    ...(transaction?.atLeast === true ? ['the WAL does not have all of the transaction: it did at least this'] : []),
    ...missing.map(({ fromLsn, toLsn, kind }) =>
      kind === 'after'
        ? `the WAL from ${fromLsn} on is not archived yet: what committed there is not counted`
        : `the WAL from ${fromLsn} to ${toLsn} is missing: what committed there is not counted`,
    ),
  ];
}

/** The rows before it and after it against the table as it is. Production is read, by COPY alone. */
async function weighDamage(clusterContext: ClusterContext, step: Step, run: ActivityRun): Promise<WeighedDamage> {
  const { host } = clusterContext;
  const { operationId } = step;
  const files = await openRepairFiles(host.stateDir, operationId);
  const now = new Date();
  const until = keptUntil(now);
  const { undo, references, rows, notes } = await weighed(clusterContext, step, files, run);
  await removeOldComparisons(host.stateDir, now);
  const file = await keepComparedRows(host.stateDir, { operationId, until, ...rows });
  // All of the rows were needed for the comparison alone.
  await removeTree(files.directory);
  return { undo, references, notes, file, fileUntil: until };
}

interface Weighed extends Pick<BlastRadius, 'undo' | 'references' | 'notes'> {
  readonly rows: Pick<DamagedRows, 'key' | 'conflicts' | 'samples'>;
}

async function weighed(
  { cluster }: ClusterContext,
  { order: asked }: Step,
  files: RepairFiles,
  { signal, report }: ActivityRun,
): Promise<Weighed> {
  const { database, table, xid, samples } = asked;
  const order: RepairOrder = { database, table, source: { kind: 'transaction', xid }, strategy: 'undo' };
  report({ phase: 'compare with the table as it is', done: 0, unit: 'steps' });
  try {
    return await withClient(cluster.connection, database, async (client) => {
      const facts = await readTableFacts(client, table);
      const columns = await readColumnsThen(files, order, facts.columns);
      const header: ChangeSetHeader = { database, table, columns, key: facts.key };
      const rowsOf = (path: string) => (): AsyncIterable<RowText> => readRows(path);
      const [good, bad] = [rowsOf(files.good), rowsOf(files.bad)];
      const count = (await countRows(good())) + (await countRows(bad()));
      return withTableSide(client, table, 'in production', async (side) => {
        const tally = new UndoTally(header, samples);
        for await (const entry of changesFor({ header, order, facts, count, good, bad }, side, signal))
          tally.add(entry);
        const { references, isAll } = await referringRows(facts, side, columns, [good, bad], signal);
        return {
          ...tally.result(),
          references,
          notes: [
            ...(header.key.length === 0
              ? ['the table has no key: equal rows are counted, and cannot be told apart']
              : []),
            ...(isAll ? [] : ['references were counted for some of its rows only: there are at least so many']),
          ],
        };
      });
    });
  } catch (error) {
    if (!isRepriseError(error) || !NO_UNDO.has(error.code)) throw error;
    return {
      undo: { changes: null, reasons: {}, because: error.message },
      references: null,
      rows: { key: [], conflicts: [], samples: [] },
      notes: [],
    };
  }
}

async function countRows(rows: AsyncIterable<RowText>): Promise<number> {
  let count = 0;
  for await (const _ of rows) count++;
  return count;
}

/** Counts what undoing would do, and keeps the keys of some rows. */
class UndoTally {
  private readonly changes = { insert: 0, update: 0, delete: 0, conflicts: 0 };
  private readonly reasons: Partial<Record<ConflictReason, number>> = {};
  private readonly conflicts: DamagedRow[] = [];
  private readonly samples: DamagedRow[] = [];
  private readonly key: readonly number[];

  constructor(
    private readonly header: ChangeSetHeader,
    private readonly most: number,
  ) {
    this.key = header.key.map((name) => header.columns.indexOf(name));
  }

  add(entry: ChangeSetEntry): void {
    if (entry.op === 'conflict') {
      const { reason, good, bad } = entry;
      this.changes.conflicts++;
      this.reasons[reason] = (this.reasons[reason] ?? 0) + 1;
      if (this.conflicts.length < MOST_CONFLICTS)
        this.conflicts.push({ did: didOf(good, bad), key: this.keyOf(good ?? bad ?? []), conflict: reason });
      return;
    }
    this.changes[entry.op]++;
    if (this.samples.length >= this.most) return;
    const [good, bad] = ['after' in entry ? entry.after : null, 'before' in entry ? entry.before : null];
    this.samples.push({ did: didOf(good, bad), key: this.keyOf(good ?? bad ?? []), conflict: null });
  }

  private keyOf(row: RowText): RowText {
    return this.key.map((at) => row[at] ?? null);
  }

  result(): { readonly undo: UndoDamage; readonly rows: Weighed['rows'] } {
    const { changes, reasons, conflicts, samples, header } = this;
    return { undo: { changes, reasons, because: null }, rows: { key: header.key, conflicts, samples } };
  }
}

/** What the damage did, by the row before it and after it. */
function didOf(good: RowText | null, bad: RowText | null): DamagedRow['did'] {
  if (good === null) return 'inserted';
  return bad === null ? 'deleted' : 'updated';
}
