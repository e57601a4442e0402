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
  /**
   * How it is known when the first of them began. `recorded`: its tool wrote it down; `wal`: the first transaction that changed tables as a
   * whole; `assumed`: it is supposed to have taken no longer than {@link LONGEST_MS}. Absent where the operator named the time.
   */
  readonly begun?: 'recorded' | 'wal' | 'assumed';
}

/** One line of a migration table. */
export interface AppliedMigration {
  readonly name: string;
  /** When it was written down, UTC ISO-8601. */
  readonly at: string;
  /** When it began, UTC ISO-8601; absent where its tool does not say. */
  readonly begunAt?: string;
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
/** Where nothing says when a migration began: it is supposed to have taken no longer. */
export const LONGEST_MS = 5 * 60_000;
/** Clocks of the tool and of the server may differ by so much, and what it writes down is rounded to seconds. */
const MARGIN_MS = 2_000;
/** Changes of tables as a whole that are further apart are not of one migration: others truncate tables too, now and then. */
const APART_MS = 15 * 60_000;
/** So far back the WAL is read for the beginning of a migration. */
const LONGEST_LOOK_MS = 6 * 3_600_000;

/** What is known of the last migrations that belong together, from the lines of a migration table. */
export interface LastMigrations {
  /** The last ones first. */
  readonly migrations: readonly AppliedMigration[];
  /** When the first of them began, as its tool says, UTC ISO-8601; null: it does not. */
  readonly begunAt: string | null;
  /** From where on the WAL may have its beginning, UTC ISO-8601: no earlier than the migrations before were written down. */
  readonly notBefore: string;
}

/** @param applied in any order; null where there are none */
export function lastMigrations(applied: readonly AppliedMigration[]): LastMigrations | null {
  const sorted = applied.toSorted((one, other) => Date.parse(other.at) - Date.parse(one.at));
  const [last] = sorted;
  if (last === undefined) return null;
  const together = [last];
  for (const one of sorted.slice(1)) {
    const first = together.at(-1) as AppliedMigration;
    if (Date.parse(first.begunAt ?? first.at) - Date.parse(one.at) > TOGETHER_MS) break;
    together.push(one);
  }
  const begun = together.map(({ begunAt }) => begunAt);
  const first = together.at(-1) as AppliedMigration;
  const earlier = sorted[together.length];
  const longest = new Date(Date.parse(first.at) - LONGEST_LOOK_MS).toISOString();
  return {
    migrations: together,
    // One that does not say it may be the first.
    begunAt: begun.includes(undefined) ? null : (begun.toSorted()[0] ?? null),
    notBefore: earlier === undefined || earlier.at < longest ? longest : earlier.at,
  };
}

/**
 * The state before them. Without a word of the tool: before the first transaction that changed tables as a whole, and never later than so
 * long before the first was written down that it had hardly begun.
 * @param changes when such transactions were committed, UTC ISO-8601, in any order; none where the WAL was not read
 */
export function beforeMigrations(
  { migrations, begunAt }: LastMigrations,
  changes: readonly string[],
): Pick<MigrationTime, 'before' | 'migrations' | 'begun'> {
  if (begunAt !== null)
    return { before: new Date(Date.parse(begunAt) - MARGIN_MS).toISOString(), migrations, begun: 'recorded' };
  const recordedAt = Date.parse(migrations.at(-1)?.at ?? '');
  const assumed = recordedAt - LONGEST_MS;
  let first = recordedAt;
  for (const change of changes.map((at) => Date.parse(at)).toSorted((one, other) => other - one))
    if (change <= first && first - change <= APART_MS) first = change;
  const isEarlier = first - 1 < assumed;
  const before = new Date(isEarlier ? first - 1 : assumed).toISOString();
  return { before, migrations, begun: isEarlier ? 'wal' : 'assumed' };
}

/** Digits that Liquibase keeps of the clock: the milliseconds since 1970 without the first ones, so the same come again after 115 days. */
const DEPLOYMENT_MS = 10_000_000_000;

/**
 * When a run of Liquibase began, by the id that it gives its changes; null for what is no such id.
 * @param at when the change was written down, UTC ISO-8601
 */
export function deploymentBegan(id: string, at: string): string | null {
  if (!/^\d{10}$/.test(id)) return null;
  const end = Date.parse(at) + MARGIN_MS;
  const began = end - ((end - Number(id)) % DEPLOYMENT_MS);
  // A longer one is none: the time of another zone, or a number that is made in another way.
  return end - began < 7 * 86_400_000 ? new Date(began).toISOString() : null;
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
