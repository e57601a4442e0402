import type { TableName } from '../table/table-name.js';
import type { RecoveryTarget } from '../target/target.js';

/** When a migration began, and who says so. */
export interface MigrationTime {
  /** The last state before it that is looked at, UTC ISO-8601. */
  readonly before: string;
  /** `operator`: named when the incident was opened; `query`: by the configuration; `table`: by the migration table of a known tool. */
  readonly source: 'operator' | 'query' | 'table';
  /** Migrations that were recorded then, the last ones first; empty: nobody recorded any. */
  readonly migrations: readonly AppliedMigration[];
  /** Table that they stand in, for a person; null: the operator named the time. */
  readonly recordedIn: string | null;
}

/** One line of a migration table. */
export interface AppliedMigration {
  readonly name: string;
  /** UTC ISO-8601. */
  readonly at: string;
}

/** Rows of one table before the migration and now; null: the table is not there. */
export interface MigratedTable {
  readonly table: TableName;
  readonly before: number | null;
  readonly now: number | null;
}

/** What a migration changed in a database, as far as its definitions and numbers of rows tell. */
export interface MigrationFindings {
  /** Which state production was compared with. */
  readonly target: RecoveryTarget;
  /** Those whose number of rows differs, the greatest loss first. */
  readonly tables: readonly MigratedTable[];
  /** How many tables have other numbers of rows, and how many have the same. */
  readonly changed: number;
  readonly same: number;
  /** Objects that are not as before, each in words. */
  readonly objects: readonly string[];
  /** Objects beyond those that are listed. */
  readonly moreObjects: number;
}

/** Migrations that follow each other within so long belong together. */
const TOGETHER_MS = 5 * 60_000;
/** Tools write down when a migration ended: it is supposed to have taken no longer. */
const LONGEST_MS = 5 * 60_000;

/**
 * The state before the last migrations that belong together: so long before the first of them was recorded that it had not begun.
 * @param applied in any order
 */
export function beforeMigrations(
  applied: readonly AppliedMigration[],
): Pick<MigrationTime, 'before' | 'migrations'> | null {
  const sorted = applied.toSorted((one, other) => Date.parse(other.at) - Date.parse(one.at));
  const [last] = sorted;
  if (last === undefined) return null;
  const together = [last];
  for (const one of sorted.slice(1)) {
    const first = together.at(-1) as AppliedMigration;
    if (Date.parse(first.at) - Date.parse(one.at) > TOGETHER_MS) break;
    together.push(one);
  }
  const first = together.at(-1) as AppliedMigration;
  return { before: new Date(Date.parse(first.at) - LONGEST_MS).toISOString(), migrations: together };
}

/** Tables whose rows differ, the greatest loss first; a partition's rows count by its own name. */
export function migratedTables(
  before: readonly (TableName & { readonly rows: number })[],
  now: readonly (TableName & { readonly rows: number })[],
): { readonly tables: readonly MigratedTable[]; readonly same: number } {
  const key = ({ schema, table }: TableName): string => JSON.stringify([schema, table]);
  const then = new Map(before.map((one) => [key(one), one]));
  const today = new Map(now.map((one) => [key(one), one]));
  const all = new Map([...then, ...today]);
  const tables = [...all].map(([name, { schema, table }]): MigratedTable => ({
    ...{ table: { schema, table }, before: then.get(name)?.rows ?? null, now: today.get(name)?.rows ?? null },
  }));
  const differ = tables.filter((one) => one.before !== one.now);
  const lost = (one: MigratedTable): number => (one.before ?? 0) - (one.now ?? 0);
  return { tables: differ.toSorted((one, other) => lost(other) - lost(one)), same: tables.length - differ.length };
}
