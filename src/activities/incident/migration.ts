import { compareDefinitions, missingNames, SINCE_BEFORE } from '../../domain/backup/recorded-objects.js';
import type { ConnectionConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import {
  beforeMigrations,
  type LastMigrations,
  lastMigrations,
  type MigrationFindings,
  type MigrationTime,
  migratedTables,
} from '../../domain/incident/migration.js';
import {
  type MigrationIncidentOrder,
  migrationIncidentOrder,
  readOrder,
  type RecoveryOrder,
  recoveryOrder,
  type RepairOrder,
  repairOrder,
} from '../../domain/operation/orders.js';
import { MOST_TRANSACTIONS } from '../../domain/operation/wal-transactions.js';
import type { Suspects } from '../../domain/table/incident.js';
import { visible, shellWord } from '../../domain/text/text.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { countTables } from '../../postgres/content/inventory.js';
import { readDatabaseObjects } from '../../postgres/content/read-objects.js';
import { knownMigrations, type MigrationRecord, readApplied } from '../../postgres/content/migration-tables.js';
import type { ActivityRun } from '../activity-wrapper.js';
import { withOrder, wrapActivity } from '../activity-wrapper.js';
import type { InstanceStep, MigrationIncidentActivities } from '../api.js';
import { claimOperation, requireOwnOperation } from '../approval/own-operation.js';
import { type ClusterContext, openClusterContext } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { readableInstance } from '../temporary/temporary-instance.js';
import { suspectsIn } from './suspects.js';
import { writeMigrationReport } from './migration-report.js';

/** What people read, and what a history keeps, stays small. */
const [SHOWN_TABLES, SHOWN_OBJECTS, SHOWN_TRANSACTIONS] = [40, 60, 10];

/** An incident of a migration that went wrong, on the host of its cluster. */
export function migrationIncidentActivities(deps: HostDependencies): MigrationIncidentActivities {
  return {
    findMigration: wrapActivity(
      'findMigration',
      withOrder(migrationIncidentOrder, async (step, run) => {
        const clusterContext = await openClusterContext(deps, step.cluster);
        await claimOperation(clusterContext, step);
        return findMigration(clusterContext, step.order, run);
      }),
    ),
    compareMigration: wrapActivity(
      'compareMigration',
      withOrder(migrationIncidentOrder, async (step: InstanceStep & { order: MigrationIncidentOrder }, run) =>
        compareMigration(await openClusterContext(deps, step.cluster), step, run),
      ),
    ),
    findMigrationTransactions: wrapActivity(
      'findMigrationTransactions',
      withOrder(migrationIncidentOrder, async ({ order, from, cluster }, run) =>
        transactionsSince(await openClusterContext(deps, cluster), order, from, run),
      ),
    ),
    readMigrationChoice: wrapActivity(
      'readMigrationChoice',
      withOrder(migrationIncidentOrder, async ({ order, choice, kind, ...step }) => {
        await requireOwnOperation(await openClusterContext(deps, step.cluster), step);
        return readChoice(order, kind, choice);
      }),
    ),
    writeMigrationReport: wrapActivity(
      'writeMigrationReport',
      withOrder(migrationIncidentOrder, async (step) => {
        const clusterContext = await openClusterContext(deps, step.cluster);
        await requireOwnOperation(clusterContext, step);
        return writeMigrationReport(clusterContext, step);
      }),
    ),
  };
}

/**
 * When a database was migrated. Where the tool does not say when it began, the WAL is read for that.
 * @throws RepriseError `not-found` where nobody wrote it down
 */
export async function findMigration(
  clusterContext: ClusterContext,
  { database, at, policy }: MigrationIncidentOrder,
  run: ActivityRun,
): Promise<MigrationTime> {
  const { cluster } = clusterContext;
  if (at !== undefined) return { before: at, source: 'operator', migrations: [], recordedIn: null };
  const configured = cluster.migrations?.[database];
  const source = { connection: cluster.connection, checksRole: cluster.checksRole };
  const found: MigrationRecord | null =
    configured === undefined
      ? await knownMigrations(source, database)
      : {
          recordedIn: 'the query of the configuration',
          migrations: await readApplied(source, { database, ...configured }),
        };
  const last = found === null ? null : lastMigrations(found.migrations);
  if (found === null || last === null)
    throw new RepriseError(
      'not-found',
      `nothing says when database ${visible(database)} was migrated`,
      `name the time at which the migration began: --at TIME; or write clusters.${cluster.name}.migrations.${database}: { query: "SELECT name, applied FROM ..." }`,
    );
  const changes = last.begunAt === null ? await changesUntil(clusterContext, { database, policy }, last, run) : [];
  return {
    ...beforeMigrations(last, changes),
    ...{ source: configured === undefined ? 'table' : 'query', recordedIn: found.recordedIn },
  };
}

/** When transactions were committed that dropped, truncated or rewrote a table; none where the WAL cannot be read. */
async function changesUntil(
  clusterContext: ClusterContext,
  { database, policy }: Pick<MigrationIncidentOrder, 'database' | 'policy'>,
  { migrations, notBefore: from }: LastMigrations,
  run: ActivityRun,
): Promise<readonly string[]> {
  const to = migrations[0]?.at ?? from;
  // Those that touched tables as a whole come first.
  const request = { database, from, to, limit: MOST_TRANSACTIONS, policy };
  const { transactions } = await suspectsIn(clusterContext, request, run);
  return transactions.filter(({ actions }) => actions.length > 0).map(({ committedAt }) => committedAt);
}

async function compareMigration(
  clusterContext: ClusterContext,
  step: InstanceStep & { readonly order: MigrationIncidentOrder },
  run: ActivityRun,
): Promise<MigrationFindings> {
  const { report, signal } = run;
  const { database } = step.order;
  const { connection, content } = await readableInstance(clusterContext, step, { database, table: null }, run);
  report({ phase: 'count the rows before the migration', done: 0, total: 2, unit: 'steps' });
  const before = await stateOf(connection, database);
  signal.throwIfAborted();
  report({ phase: 'count the rows in production', done: 1, total: 2, unit: 'steps' });
  const now = await stateOf(clusterContext.cluster.connection, database);
  const { tables, same } = migratedTables(before.counts, now.counts);
  const objects = [
    ...missingNames('extension', before.objects.extensions, now.objects.extensions),
    ...compareDefinitions(before.objects, now.objects, SINCE_BEFORE),
  ].map(({ text }) => text);
  return {
    ...{ target: content.restore.target, tables: tables.slice(0, SHOWN_TABLES), changed: tables.length, same },
    objects: objects.slice(0, SHOWN_OBJECTS),
    moreObjects: Math.max(0, objects.length - SHOWN_OBJECTS),
  };
}

function stateOf(connection: ConnectionConfig, database: string) {
  return withClient(connection, database, async (client) => ({
    counts: await countTables(client, database),
    objects: await readDatabaseObjects(client, database, { hashes: false }),
  }));
}

/** The first ones: what a migration did comes before what the application did afterwards. */
async function transactionsSince(
  clusterContext: ClusterContext,
  { database, policy }: MigrationIncidentOrder,
  from: string,
  run: ActivityRun,
): Promise<Suspects> {
  const to = new Date().toISOString();
  const found = await suspectsIn(clusterContext, { database, from, to, limit: SHOWN_TRANSACTIONS, policy }, run);
  const transactions = found.transactions.toSorted((one, other) => (one.committedAt < other.committedAt ? -1 : 1));
  return { ...found, transactions };
}

/** @throws RepriseError `usage` for what is about another database, or would replace the whole cluster */
function readChoice(
  order: MigrationIncidentOrder,
  kind: 'repair' | 'recovery',
  choice: object,
): RepairOrder | RecoveryOrder {
  const chosen = kind === 'repair' ? readOrder(repairOrder, choice) : readOrder(recoveryOrder, choice);
  if (chosen.database === order.database) return chosen;
  const about = chosen.database === undefined ? 'the whole cluster' : `database ${visible(chosen.database)}`;
  throw new RepriseError(
    'usage',
    `the incident is about database ${visible(order.database)}, and the ${kind} about ${about}`,
    kind === 'repair'
      ? 'start the repair without --incident'
      : `add --database ${shellWord(order.database)}, or start the recovery without --incident`,
  );
}
