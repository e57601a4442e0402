import type { ConnectionConfig } from '../../domain/config.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { type LocateOrder, locateOrder } from '../../domain/operation/orders.js';
import { MOST_TRANSACTIONS } from '../../domain/operation/wal-transactions.js';
import { type LocateStop, stopsFor, type TableCommit, type TableState } from '../../domain/table/locate.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { visible } from '../../domain/text/text.js';
import { compareLsn } from '../../domain/target/wal.js';
import { hasRows, hasValue } from '../../postgres/content/table-condition.js';
import { microsecondsOf } from '../../postgres/wal/transactions/instants.js';
import { listTransactions } from '../../postgres/wal/transactions/list-transactions.js';
import { readRelationNames, RelationNames } from '../../postgres/wal/transactions/relation-names.js';
import { type ActivityRun, withOrder, wrapActivity } from '../activity-wrapper.js';
import type { CommitRange, InstanceStep, LocateActivities, OrderedStep } from '../api.js';
import { type ClusterContext, openClusterContext } from '../cluster-context.js';
import { withClusterWal } from '../cluster-wal.js';
import type { HostDependencies } from '../dependencies.js';
import { namesFor } from '../inspection/wal-transactions.js';
import { instanceServer, readableInstance } from '../temporary/temporary-instance.js';
import { askInvariant, invariantNamed } from './invariants.js';
import { planLocate } from './locate-plan.js';

type Step = OrderedStep<LocateOrder>;
type Probe = InstanceStep & { readonly order: LocateOrder };
type Commits = Probe & { readonly policy: string; readonly range: CommitRange };

/** Commits of one table that are told apart; of more the most damaging. */
const MOST_COMMITS = 20 * MOST_TRANSACTIONS;

/** The search for the newest coherent state of a table. */
export function locateActivities(deps: HostDependencies): LocateActivities {
  return {
    planLocate: wrapActivity(
      'planLocate',
      withOrder(locateOrder, async ({ cluster, order }: Step, run) => {
        const clusterContext = await openClusterContext(deps, cluster);
        const look = () => productionState(clusterContext, order);
        return planLocate(clusterContext, order, run, look);
      }),
    ),
    probeTable: wrapActivity(
      'probeTable',
      withOrder(locateOrder, async (step: Probe, run) =>
        probeTable(await openClusterContext(deps, step.cluster), step, run),
      ),
    ),
    findCommits: wrapActivity(
      'findCommits',
      withOrder(locateOrder, async (step: Commits, run) =>
        findCommits(await openClusterContext(deps, step.cluster), step, run),
      ),
    ),
  };
}

async function probeTable(clusterContext: ClusterContext, step: Probe, run: ActivityRun): Promise<TableState> {
  const { database, table, condition } = step.order;
  return orAbsent(async () => {
    // A query may read other tables too.
    const read = { database, table: condition.kind === 'invariant' ? null : table };
    const { connection } = await readableInstance(clusterContext, step, read, run);
    return stateOf(clusterContext, connection, step.order);
  });
}

/** A database or a table that was dropped is a state too; what a query names beside the table has to be there. */
async function productionState(clusterContext: ClusterContext, order: LocateOrder): Promise<TableState> {
  const { connection } = clusterContext.cluster;
  if (order.condition.kind !== 'invariant') return stateOf(clusterContext, connection, order);
  return orAbsent(() => stateOf(clusterContext, connection, order));
}

/**
 * What was not there at that instant is a state like others: the column, or what a query of the configuration names. Production tells
 * whether it is a slip.
 */
async function orAbsent(look: () => Promise<TableState>): Promise<TableState> {
  try {
    return await look();
  } catch (error) {
    if (!isRepriseError(error)) throw error;
    const isSchema = UNDEFINED.includes(String(error.details['sqlState']));
    if (!isSchema && error.code !== 'usage') throw error;
    return { holds: false, absent: true, figure: isSchema ? 'what it asks about is not there' : error.message };
  }
}

/** SQLSTATEs of a database, a schema, a table, a column and a function that are not there. */
const UNDEFINED: readonly string[] = ['3D000', '3F000', '42P01', '42703', '42883'];

async function stateOf(
  { cluster }: ClusterContext,
  connection: ConnectionConfig,
  { database, table, condition }: LocateOrder,
): Promise<TableState> {
  switch (condition.kind) {
    case 'min-rows':
      return hasRows(connection, database, table, condition.rows);
    case 'key':
      return hasValue(connection, database, table, condition);
    case 'invariant':
      return askInvariant(connection, cluster, database, invariantNamed(cluster, database, table, condition.name));
  }
}

/** Commits that touched the table in a part of the WAL, and at which of them one replay stops. */
async function findCommits(
  clusterContext: ClusterContext,
  step: Commits,
  run: ActivityRun,
): Promise<{ readonly total: number; readonly stops: readonly LocateStop[]; readonly notes: readonly string[] }> {
  const { order, range, policy } = step;
  const { database, table, condition } = order;
  const { connection, content } = await instanceServer(clusterContext, step, run);
  const timeline = content.restore.recovery?.timeline;
  return withClusterWal(
    clusterContext,
    run,
    { policy, timeline: typeof timeline === 'number' ? timeline : null },
    async (wal) => {
      // Names of then and of now: a table that was rewritten or truncated between has another file.
      const then = await readRelationNames(connection, database);
      const { names: now } = await namesFor(clusterContext, { database }, wal.course.systemIdentifier);
      const tables = new Set([then, now].flatMap((names) => names.tablesNamed(database, table)));
      const oid = then.databaseOid(database);
      if (tables.size === 0 || oid === undefined) throw notThere(order);
      const listed = await listTransactions(
        wal.reader,
        wal.course,
        RelationNames.merged(then, now),
        {
          ...{ from: microsecondsOf(range.from), to: microsecondsOf(range.to), minRows: 1, limit: MOST_COMMITS },
          ...{ database: oid, tables },
        },
        wal.hasServersOwn,
      );
      const commits = listed.transactions
        .filter(({ lsn }) => compareLsn(lsn, range.afterLsn) >= 0)
        .filter(({ lsn }) => range.beforeLsn === null || compareLsn(lsn, range.beforeLsn) < 0)
        .toSorted((a, b) => compareLsn(a.lsn, b.lsn))
        .map(({ xid, committedAt, lsn, inserted, updated, deleted, actions }): TableCommit => {
          const counts = { inserted, updated, deleted };
          return { xid, committedAt, lsn, ...counts, actions: actions.map(({ action }) => action) };
        });
      return {
        // Of commits that were left out the WAL gives no number.
        ...stopsFor(condition, commits, listed.more > 0 ? null : (range.rows ?? null)),
        notes: [
          ...(listed.more > 0
            ? [
                `${listed.more} commits that changed fewer rows than all others were left out: name a shorter range with --from and --to`,
              ]
            : []),
          ...listed.missing.map(({ fromLsn, toLsn, kind }) =>
            kind === 'after'
              ? `the WAL from ${fromLsn} on is not archived yet: what committed there was not looked at`
              : `the WAL from ${fromLsn} to ${toLsn} is missing: what committed there was not looked at`,
          ),
        ],
      };
    },
  );
}

function notThere({ database, table }: LocateOrder): RepriseError {
  return new RepriseError(
    'not-found',
    `there is no table ${visible(formatTableName(table))} in database ${visible(database)}, neither then nor now`,
    'see how it is written: psql -c "\\dt *.*"',
  );
}
