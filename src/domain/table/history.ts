import type { Backup } from '../backup/backup.js';
import { sizeInWords } from '../text/text.js';
import type { TableName } from './table-name.js';

/** From which change on a table is suspicious, in parts of what is usual: 0.5 is half. */
export interface SuspicionRule {
  /** Fewer rows by more than this part. */
  readonly loss: number;
  /** More rows by more than this many times what was there. */
  readonly growth: number;
  /** Rows: a smaller change is never suspicious, nor is the growth of a table that had fewer. */
  readonly least: number;
}

/** A false alarm is worse than none: half of a table gone, or three times as many rows, and never for a few rows. */
export const SUSPICION: SuspicionRule = { loss: 0.5, growth: 2, least: 100 };

/** What one backup recorded of a table. */
export interface TableHistoryLine {
  readonly backupId: string;
  readonly policy: string;
  /** When the backup was finished, UTC ISO-8601. */
  readonly at: string;
  readonly rows: number;
  /** Null where the record has none. */
  readonly bytes: number | null;
  /** Rows against the backup before; null for the first. */
  readonly change: number | null;
  /** The middle of the rows of up to {@link USUAL} backups before; null where there are fewer than {@link FEWEST}. */
  readonly median: number | null;
  /** What is suspicious, with the figures; null: nothing. */
  readonly suspicion: string | null;
}

/** So many backups before say what is usual, and at least so many. */
const USUAL = 14;
const FEWEST = 3;

/** Which rows of a backup's record belong to a table: of a partitioned one those of its partitions. */
export type BelongsTo = (counted: TableName) => boolean;

export const isTable =
  ({ schema, table }: TableName): BelongsTo =>
  (counted) =>
    counted.schema === schema && counted.table === table;

/**
 * Rows of a table in one backup, as it recorded them; null where it recorded none, or holds none because the table is unlogged.
 */
export function recordedRows(
  { contents = [] }: Pick<Backup, 'contents'>,
  database: string,
  belongs: BelongsTo,
): { readonly rows: number; readonly bytes: number | null } | null {
  const own = contents.filter((one) => one.database === database && one.unlogged !== true && belongs(one));
  if (own.length === 0) return null;
  const bytes = own.map((one) => one.bytes ?? null);
  return {
    rows: own.reduce((sum, { rows }) => sum + rows, 0),
    bytes: bytes.includes(null) ? null : bytes.reduce<number>((sum, one) => sum + (one ?? 0), 0),
  };
}

/**
 * A table in the backups that recorded it, oldest first; damaged backups count too, because what they recorded was so.
 * @param rule null: nothing is suspicious
 */
export function tableHistory(
  backups: readonly Backup[],
  database: string,
  belongs: BelongsTo,
  rule: SuspicionRule | null = SUSPICION,
): readonly TableHistoryLine[] {
  const lines: TableHistoryLine[] = [];
  const before: Recorded[] = [];
  for (const backup of oldestFirst(backups)) {
    const recorded = recordedRows(backup, database, belongs);
    if (recorded === null) continue;
    const { rows, bytes } = recorded;
    const last = before.at(-1)?.rows ?? null;
    lines.push({
      ...{ backupId: backup.id, policy: backup.policy, at: momentOf(backup), rows, bytes },
      ...{ change: last === null ? null : rows - last, median: usualOf(before) },
      suspicion: rule === null ? null : suspicionOf(before, recorded, rule),
    });
    before.push(recorded);
  }
  return lines;
}

const oldestFirst = (backups: readonly Backup[]): readonly Backup[] =>
  backups.toSorted((a, b) => Date.parse(momentOf(a)) - Date.parse(momentOf(b)));

const momentOf = ({ finishedAt, startedAt }: Backup): string => finishedAt ?? startedAt;

interface Recorded {
  readonly rows: number;
  readonly bytes: number | null;
}

/** Null with few backups: then nothing is usual. */
function usualOf(before: readonly Recorded[]): number | null {
  return before.length < FEWEST ? null : medianOf(before.slice(-USUAL).map(({ rows }) => rows));
}

/**
 * What is suspicious of a number of rows, in words; null: nothing. It must be abnormal against the backup before and against what is usual,
 * and not have been so before: a table that is emptied every night, at weekends or at the end of a month, or that was repaired, gives no
 * alarm. With few backups there is no alarm.
 * @param before what earlier backups recorded, oldest first
 */
export function suspicionOf(before: readonly Recorded[], now: Recorded, rule: SuspicionRule): string | null {
  const { rows } = now;
  const [last, median] = [before.at(-1), usualOf(before)];
  if (last === undefined || median === null) return null;
  const kind = abnormal(rows, last.rows, rule);
  if (kind === null || kind !== abnormal(rows, median, rule) || wasBefore(before, rows, kind, rule)) return null;
  const sizes =
    now.bytes === null || last.bytes === null
      ? ''
      : `; ${sizeInWords(now.bytes)} on disk, ${sizeInWords(last.bytes)} in the backup before`;
  return `${rows} rows; ${last.rows} in the backup before (${percent(rows, last.rows)}), ${median} usually (${percent(rows, median)})${sizes}`;
}

/** What is abnormal of a number of rows against another, with the figures; null: nothing. */
export function abnormalChange(rows: number, base: number, rule: SuspicionRule = SUSPICION): string | null {
  return abnormal(rows, base, rule) === null ? null : `${rows} rows instead of ${base} (${percent(rows, base)})`;
}

/** What is suspicious of the rows of a table now, against the backups that recorded it (oldest first); null: nothing. */
export function suspicionAgainst(
  history: readonly Pick<TableHistoryLine, 'rows'>[],
  rows: number,
  rule: SuspicionRule = SUSPICION,
): string | null {
  const before = history.map((one) => ({ rows: one.rows, bytes: null }));
  return suspicionOf(before, { rows, bytes: null }, rule);
}

/** Lately there were about so many, or the same change led to about so many once: it comes again. */
function wasBefore(before: readonly Recorded[], rows: number, kind: 'loss' | 'growth', rule: SuspicionRule): boolean {
  if (before.slice(-USUAL).some((one) => abnormal(rows, one.rows, rule) === null)) return true;
  return before.some((one, index) => {
    const earlier = before[index - 1];
    const isNear = Math.abs(one.rows - rows) <= Math.max(rule.least, ALIKE * Math.max(one.rows, rows));
    return earlier !== undefined && isNear && abnormal(one.rows, earlier.rows, rule) === kind;
  });
}

/** Months are not all alike. */
const ALIKE = 0.25;

function abnormal(rows: number, base: number, { loss, growth, least }: SuspicionRule): 'loss' | 'growth' | null {
  if (Math.abs(rows - base) < least) return null;
  if (base - rows > base * loss) return 'loss';
  return base >= least && rows - base > base * growth ? 'growth' : null;
}

/** A table whose rows changed abnormally from one backup to the next. */
export interface TableSuspicion {
  readonly database: string;
  readonly table: TableName;
  readonly backupId: string;
  /** The backup before, which has the table as it was. */
  readonly before: string;
  /** Rows against the backup before. */
  readonly change: number;
  /** With the figures. */
  readonly text: string;
}

/** What belongs to which table, and what is suspicious of it. */
export interface SuspicionRules {
  /** To which table the rows of a partition belong; itself for any other table. */
  readonly rootOf: (database: string, table: TableName) => TableName;
  /** Null: nothing is suspicious of it. `watched`: the configuration names the table, so that its absence is suspicious too. */
  readonly ruleOf: (
    database: string,
    table: TableName,
  ) => { readonly rule: SuspicionRule; readonly watched: boolean } | null;
}

/** What is suspicious of backups that were just made, against all that earlier ones recorded; the largest change first. */
export function newSuspicions(
  backups: readonly Backup[],
  made: readonly string[],
  rules: SuspicionRules,
): readonly TableSuspicion[] {
  const series = new Map<string, Series>();
  /** The newest backup that counted a database. */
  const newest = new Map<string, string>();
  const found: TableSuspicion[] = [];
  for (const backup of oldestFirst(backups)) {
    const tables = tablesIn(backup, rules);
    if (made.includes(backup.id)) found.push(...suspicionsIn(backup, tables, { series, newest }, rules));
    for (const [key, one] of tables) {
      const own = series.get(key) ?? { ...one, recorded: [], lastIn: '' };
      series.set(key, own);
      own.recorded.push({ rows: one.rows, bytes: one.bytes });
      own.lastIn = backup.id;
    }
    for (const { database } of backup.contents ?? []) newest.set(database, backup.id);
  }
  return found.toSorted((a, b) => Math.abs(b.change) - Math.abs(a.change));
}

interface Before {
  readonly series: ReadonlyMap<string, Series>;
  readonly newest: ReadonlyMap<string, string>;
}

function suspicionsIn(
  backup: Backup,
  tables: ReadonlyMap<string, Counted>,
  { series, newest }: Before,
  rules: SuspicionRules,
): readonly TableSuspicion[] {
  const databases = new Set(backup.contents?.map(({ database }) => database));
  return [...series].flatMap(([key, own]) => {
    const now = tables.get(key);
    // Told once: the backup before still had it.
    const isGone = now === undefined && databases.has(own.database) && newest.get(own.database) === own.lastIn;
    const text = now !== undefined ? textFor(own, now, rules) : isGone ? goneText(own, rules) : null;
    const { database, table, lastIn: before, recorded } = own;
    const change = (now?.rows ?? 0) - (recorded.at(-1)?.rows ?? 0);
    return text === null ? [] : [{ database, table, backupId: backup.id, before, change, text }];
  });
}

interface Counted extends Recorded {
  readonly database: string;
  readonly table: TableName;
}

interface Series extends Pick<Counted, 'database' | 'table'> {
  readonly recorded: Recorded[];
  lastIn: string;
}

/** Rows and bytes of each table of a backup, those of partitions together. */
function tablesIn({ contents = [] }: Backup, { rootOf }: SuspicionRules): ReadonlyMap<string, Counted> {
  const tables = new Map<string, Counted>();
  for (const { database, schema, table: name, rows, bytes = null, unlogged } of contents) {
    if (unlogged === true) continue;
    const table = rootOf(database, { schema, table: name });
    const key = JSON.stringify([database, table.schema, table.table]);
    const other = tables.get(key);
    const sum = other === undefined ? bytes : bytes === null || other.bytes === null ? null : other.bytes + bytes;
    tables.set(key, { database, table, rows: rows + (other?.rows ?? 0), bytes: sum });
  }
  return tables;
}

function textFor({ database, table, recorded }: Series, now: Recorded, { ruleOf }: SuspicionRules): string | null {
  const found = ruleOf(database, table);
  return found === null ? null : suspicionOf(recorded, now, found.rule);
}

/** A table that is dropped is nobody's alarm, but for one that the configuration names. */
function goneText({ database, table, recorded }: Series, { ruleOf }: SuspicionRules): string | null {
  const [last, found] = [recorded.at(-1), ruleOf(database, table)];
  if (last === undefined || found === null || !found.watched || last.rows < found.rule.least) return null;
  return `the table is not there; ${last.rows} rows in the backup before`;
}

/** The change in percent, with its sign. */
export function percent(rows: number, base: number): string {
  if (base === 0) return rows === 0 ? '±0 %' : 'from none';
  const part = ((rows - base) / base) * 100;
  const digits = Math.abs(part) < 10 ? 1 : 0;
  return `${part > 0 ? '+' : part < 0 ? '-' : '±'}${Math.abs(part).toFixed(digits)} %`;
}

function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = 0, high = 0] = [sorted[middle - 1], sorted[middle]];
  return sorted.length % 2 === 1 ? high : Math.round((low + high) / 2);
}
