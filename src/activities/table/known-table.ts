import { distance } from 'fastest-levenshtein';
import type { Backup } from '../../domain/backup/backup.js';
import { isTable } from '../../domain/table/history.js';
import { isRecorded, type KnownTable, recordedDatabases, recordedTables } from '../../domain/table/known-table.js';
import { formatTableName, type TableName } from '../../domain/table/table-name.js';
import { withClient, withMaintenance } from '../../postgres/connection/with-client.js';
import { type NamedRelation, namedRelations } from '../../postgres/content/table-names.js';
import { absentDatabases, walkDatabases } from '../../postgres/server/databases.js';
import type { ActivityRun } from '../activity-wrapper.js';
import { type ClusterContext, currentBackups } from '../cluster-context.js';
import { orProblem } from './or-problem.js';

/** A person waits for the answer, and an incident is opened without it. */
const CONNECT: { readonly connectTimeoutMs: number } = { connectTimeoutMs: 5000 };
/** So many names like it are offered. */
const NEAR = 3;

/** A table, or a database, as somebody named it. */
interface Named {
  readonly database: string;
  readonly table?: TableName | undefined;
}

/** Where it is, by names alone: in production, and in what the backups recorded. Nothing is counted. */
export async function findKnown(
  clusterContext: ClusterContext,
  { database, table }: Named,
  run: ActivityRun,
): Promise<KnownTable> {
  const { connection } = clusterContext.cluster;
  const problems: string[] = [];
  const orNull = <T>(what: string, look: () => Promise<T>): Promise<T | null> => orProblem(problems, what, look, null);
  const live = await orNull('production was not asked', () => liveNames(connection, database));
  const backups = await orNull('the backups could not be read', () => currentBackups(clusterContext, run));
  const isDatabase = isKnownDatabase(live, backups, database);
  const near = nearNames(live, backups ?? [], { database, table });
  if (table === undefined)
    return {
      production: live && live.relations !== null,
      backups: backups && recordedDatabases(backups).includes(database),
      ...{ database: isDatabase, near, problems },
    };
  const same = live?.relations?.find(isTable(table));
  if (same?.otherKind != null) problems.push(`${formatTableName(table)} is a ${same.otherKind}`);
  return {
    production: live && same !== undefined && same.otherKind === null,
    backups: backups && isRecorded(backups, database, table),
    ...{ database: isDatabase, near, problems },
  };
}

interface LiveNames {
  readonly databases: readonly string[];
  /** Null: the database is not there. */
  readonly relations: readonly NamedRelation[] | null;
}

async function liveNames(connection: ClusterContext['cluster']['connection'], database: string): Promise<LiveNames> {
  const { databases, isThere } = await withMaintenance(
    connection,
    async (client) => ({
      databases: (await walkDatabases(client)).usable,
      isThere: (await absentDatabases(client, [database])).length === 0,
    }),
    CONNECT,
  );
  return { databases, relations: isThere ? await withClient(connection, database, namedRelations, CONNECT) : null };
}

function isKnownDatabase(live: LiveNames | null, backups: readonly Backup[] | null, database: string): boolean | null {
  if (live?.relations != null) return true;
  if (backups !== null && recordedDatabases(backups).includes(database)) return true;
  return live === null || backups === null ? null : false;
}

function nearNames(live: LiveNames | null, backups: readonly Backup[], { database, table }: Named): readonly string[] {
  const recorded = recordedTables(backups, database);
  if (table === undefined || (live?.relations == null && recorded.length === 0))
    return nearest(database, [...(live?.databases ?? []), ...recordedDatabases(backups)]);
  const tables = (live?.relations ?? []).filter(({ otherKind }) => otherKind === null);
  // The same table in another schema is the likeliest.
  const elsewhere = [...tables, ...recorded].filter((one) => one.table === table.table).map(formatTableName);
  const like = nearest(formatTableName(table), [...tables, ...recorded].map(formatTableName));
  return [...new Set([...elsewhere, ...like])].slice(0, NEAR);
}

/** At most half of the letters are others. */
function nearest(word: string, names: readonly string[]): readonly string[] {
  const limit = Math.max(2, Math.floor(word.length / 2));
  return [...new Set(names)]
    .map((name) => ({ name, edits: distance(word.toLowerCase(), name.toLowerCase()) }))
    .filter(({ edits }) => edits <= limit)
    .toSorted((one, other) => one.edits - other.edits)
    .slice(0, NEAR)
    .map(({ name }) => name);
}
