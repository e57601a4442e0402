import type { Backup } from '../../domain/backup/backup.js';
import type { ConnectionConfig, PolicyConfig } from '../../domain/config.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { type LocateOrder, locateOrder } from '../../domain/operation/orders.js';
import { MOST_TRANSACTIONS } from '../../domain/operation/wal-transactions.js';
import { type BelongsTo, recordedRows } from '../../domain/table/history.js';
import {
  chooseStops,
  type LocateBackup,
  type LocatePlan,
  type LocateStop,
  mayBreak,
  type TableCommit,
  type TableState,
  weightOf,
} from '../../domain/table/locate.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { visible } from '../../domain/text/text.js';
import { compareLsn } from '../../domain/target/wal.js';
import { hasRows, hasValue } from '../../postgres/content/table-condition.js';
import { microsecondsOf } from '../../postgres/wal/transactions/instants.js';
import { listTransactions } from '../../postgres/wal/transactions/list-transactions.js';
import { readRelationNames, RelationNames } from '../../postgres/wal/transactions/relation-names.js';
import { type ActivityRun, withOrder, wrapActivity } from '../activity-wrapper.js';
import type { CommitRange, InstanceStep, LocateActivities, OrderedStep } from '../api.js';
import { type ClusterContext, currentBackups, engineFor, openClusterContext, policyOf } from '../cluster-context.js';
import { withClusterWal } from '../cluster-wal.js';
import { policiesHere } from '../config-lookup.js';
import type { HostDependencies } from '../dependencies.js';
import { rowsOf } from '../inspection/table-history.js';
import { namesFor } from '../inspection/wal-transactions.js';
import { instanceServer, readableInstance } from '../temporary/temporary-instance.js';
import { askInvariant, invariantNamed } from './invariants.js';

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
      withOrder(locateOrder, async (step: Step, run) =>
        planLocate(await openClusterContext(deps, step.cluster), step.order, run),
      ),
    ),
    probeTable: wrapActivity(
      'probeTable',
      withOrder(locateOrder, async (step: Probe) => {
        const clusterContext = await openClusterContext(deps, step.cluster);
        const { database, table, condition } = step.order;
        // A query may read other tables too.
        const read = { database, table: condition.kind === 'invariant' ? null : table };
        const { connection } = await readableInstance(clusterContext, step, read);
        return stateOf(clusterContext, connection, step.order);
      }),
    ),
    findCommits: wrapActivity(
      'findCommits',
      withOrder(locateOrder, async (step: Commits, run) =>
        findCommits(await openClusterContext(deps, step.cluster), step, run),
      ),
    ),
  };
}

/**
 * The states to look at: physical backups of the policy that archives WAL, and dumps from before the first of them, of which nothing later
 * could be told.
 */
async function planLocate(clusterContext: ClusterContext, order: LocateOrder, run: ActivityRun): Promise<LocatePlan> {
  const { cluster } = clusterContext;
  // Refused before anything is looked at.
  if (order.condition.kind === 'invariant') invariantNamed(cluster, order.database, order.table, order.condition.name);
  const policies = await policiesFor(clusterContext, order);
  const now = await productionState(clusterContext, order);
  const walPolicies = policies.filter((policy) => engineFor(clusterContext, policy).capabilities.archivesWal);
  if (walPolicies.length > 1)
    throw new RepriseError(
      'usage',
      `several policies of cluster ${clusterContext.cluster.name} archive WAL`,
      `name one: --policy ${walPolicies.map(({ name }) => name).join(' or --policy ')}`,
    );
  const [walPolicy] = walPolicies;
  const backups = (await currentBackups(clusterContext, run, policies))
    .filter((backup) => isUsable(backup, order))
    .toSorted((a, b) => Date.parse(momentOf(a)) - Date.parse(momentOf(b)));
  const firstWithWal = backups.findIndex(({ policy }) => policy === walPolicy?.name);
  const probes = backups.filter(
    ({ policy }, index) => policy === walPolicy?.name || firstWithWal === -1 || index < firstWithWal,
  );
  if (probes.length === 0)
    throw new RepriseError(
      'no-usable-backup',
      `no backup of ${clusterContext.cluster.name} in that range can be looked into`,
      `list the backups: reprise backup list ${clusterContext.cluster.name}`,
    );
  const belongs = await rowsOf(clusterContext, order.database, order.table);
  return { backups: probes.map((one) => probeOf(one, order, belongs)), walPolicy: walPolicy?.name ?? null, now };
}

async function policiesFor(clusterContext: ClusterContext, { policy }: LocateOrder): Promise<readonly PolicyConfig[]> {
  if (policy !== undefined) return [policyOf(clusterContext, policy)];
  const here = await policiesHere(clusterContext.deps, clusterContext.cluster);
  return here.filter(({ enabled }) => enabled);
}

/** The instant that a backup holds: a dump its beginning, a physical one its end. */
const momentOf = (backup: Backup): string =>
  backup.database === undefined ? (backup.finishedAt ?? backup.startedAt) : backup.startedAt;

function isUsable(backup: Backup, { database, from, to }: LocateOrder): boolean {
  const { status, partial, otherCluster, database: only } = backup;
  if (status !== 'complete' || partial !== undefined || otherCluster !== undefined) return false;
  if (only !== undefined && only !== database) return false;
  const at = Date.parse(momentOf(backup));
  return (from === undefined || at >= Date.parse(from)) && (to === undefined || at <= Date.parse(to));
}

function probeOf(backup: Backup, { database, condition }: LocateOrder, belongs: BelongsTo): LocateBackup {
  const { id, policy, startedAt } = backup;
  const recorded = condition.kind === 'min-rows' ? recordedRows(backup, database, belongs) : null;
  return {
    ...{ id, policy, startedAt, at: momentOf(backup) },
    recorded:
      recorded === null || condition.kind !== 'min-rows'
        ? null
        : { holds: recorded.rows >= condition.rows, figure: `${recorded.rows} rows` },
  };
}

/** Null where production does not answer: a search does not need it. */
async function productionState(clusterContext: ClusterContext, order: LocateOrder): Promise<TableState | null> {
  try {
    return await stateOf(clusterContext, clusterContext.cluster.connection, order);
  } catch (error) {
    if (isRepriseError(error) && error.code === 'database-unreachable') return null;
    throw error;
  }
}

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
  const { connection, content } = await instanceServer(clusterContext, step);
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
        .map((one): TableCommit => {
          const { xid, committedAt, lsn, inserted, updated, deleted } = one;
          return {
            xid,
            committedAt,
            lsn,
            inserted,
            updated,
            deleted,
            actions: one.actions.map(({ action }) => action),
          };
        })
        .filter((commit) => mayBreak(condition, commit));
      const stops = chooseStops(commits.map((commit) => weightOf(condition, commit)));
      return {
        total: commits.length,
        stops: stops.flatMap((index): LocateStop[] => {
          const commit = commits[index];
          return commit === undefined ? [] : [{ ...commit, index }];
        }),
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
    `there is no table ${formatTableName(table)} in database ${visible(database)}, neither then nor now`,
    'see how it is written: psql -c "\\dt *.*"',
  );
}
