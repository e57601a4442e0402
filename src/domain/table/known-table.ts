import type { Backup } from '../backup/backup.js';
import { isTable } from './history.js';
import { formatTableName, parseTableName, type TableName } from './table-name.js';

/** Whether a table is anywhere, as far as names tell. */
export interface KnownTable {
  /** It is in production now; null: that could not be found out. */
  readonly production: boolean | null;
  /** A backup has it; null: the backups do not say. */
  readonly backups: boolean | null;
  /** The database is in production, or a backup has it; null: not known. */
  readonly database: boolean | null;
  /** Names that are like it and are there, the nearest first: of tables, and where the database is nowhere, of databases. */
  readonly near: readonly string[];
  /** What could not be found out, and why; and what has the name and is no table. */
  readonly problems: readonly string[];
}

/** Tables of a database that a backup recorded, each once. */
export function recordedTables(backups: readonly Backup[], database: string): readonly TableName[] {
  const found = new Map<string, TableName>();
  for (const { contents = [], objects } of backups) {
    for (const { schema, table } of contents.filter((one) => one.database === database))
      found.set(JSON.stringify([schema, table]), { schema, table });
    for (const name of definedTables(objects, database) ?? []) {
      const table = nameOrNull(name);
      if (table !== null) found.set(JSON.stringify([table.schema, table.table]), table);
    }
  }
  return [...found.values()];
}

/** Databases that a backup recorded. */
export function recordedDatabases(backups: readonly Backup[]): readonly string[] {
  return [
    ...new Set(
      backups.flatMap(({ contents = [], objects }) => [
        ...contents.map(({ database }) => database),
        ...(objects?.databases ?? []).map(({ database }) => database),
      ]),
    ),
  ];
}

/**
 * Whether a backup has the table. Null where one does not say: it recorded neither rows nor names, or the table may be a partitioned one,
 * of which only the partitions are counted.
 */
export function isRecorded(backups: readonly Backup[], database: string, table: TableName): boolean | null {
  if (recordedTables(backups, database).some(isTable(table))) return true;
  const complete = backups.filter(({ status }) => status !== 'running' && status !== 'failed');
  return complete.every((backup) => isWithout(backup, database, table)) ? false : null;
}

/** A backup of another database, or one that names its tables, and has none that the table can be the root of. */
function isWithout(backup: Backup, database: string, { schema, table }: TableName): boolean {
  const { contents = [], objects } = backup;
  if (backup.database !== undefined && backup.database !== database) return true;
  if (definedTables(objects, database) !== null) return true;
  const isListed = contents.length > 0 || objects !== undefined;
  const own = contents.filter((one) => one.database === database && one.schema === schema);
  return isListed && !own.some((one) => one.table.startsWith(table));
}

/** Names of its tables, partitioned ones too, as SQL writes them; null where they were not recorded one by one. */
function definedTables(objects: Backup['objects'], database: string): readonly string[] | null {
  const own = objects?.databases.find((one) => one.database === database);
  if (own === undefined) return null;
  const tables = own.definitions.find(({ kind }) => kind === 'table');
  if (tables === undefined) return [];
  return tables.each === undefined ? null : Object.keys(tables.each);
}

function nameOrNull(text: string): TableName | null {
  try {
    return parseTableName(text);
  } catch {
    return null;
  }
}

/** Known to be nowhere: neither in production nor in a backup. */
export function isNowhere({ production, backups }: Pick<KnownTable, 'production' | 'backups'>): boolean {
  return production === false && backups === false;
}

/** What is nowhere, in a sentence. */
export function nowhereText({ database: isKnown }: KnownTable, database: string, table?: TableName): string {
  return isKnown === false || table === undefined
    ? `there is no database ${database}, neither in production nor in a backup`
    : `there is no table ${formatTableName(table)} in database ${database}, neither in production nor in a backup`;
}
