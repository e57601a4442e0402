import type { Backup } from '../backup/backup.js';
import type { TableName } from './table-name.js';

/** From which change on a table is suspicious, in parts of what is usual: 0.5 is half. */
export interface SuspicionRule {
  /** Fewer rows by more than this part. */
  readonly loss: number;
  /** More rows by more than this many times what was there. */
  readonly growth: number;
  /** Rows: a smaller change is never suspicious. */
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

/** A table in the backups that recorded it, oldest first; damaged backups count too, because what they recorded was so. */
export function tableHistory(
  backups: readonly Backup[],
  database: string,
  belongs: BelongsTo,
  rule: SuspicionRule = SUSPICION,
): readonly TableHistoryLine[] {
  const lines: TableHistoryLine[] = [];
  const usual: number[] = [];
  for (const backup of backups.toSorted((a, b) => Date.parse(momentOf(a)) - Date.parse(momentOf(b)))) {
    const recorded = recordedRows(backup, database, belongs);
    if (recorded === null) continue;
    const { rows, bytes } = recorded;
    const before = lines.at(-1)?.rows ?? null;
    const median = usual.length < FEWEST ? null : medianOf(usual.slice(-USUAL));
    lines.push({
      ...{ backupId: backup.id, policy: backup.policy, at: momentOf(backup), rows, bytes },
      ...{ change: before === null ? null : rows - before, median },
      // What was so before, as of a table that is emptied now and then, is usual.
      suspicion: usual.slice(-USUAL).some((one) => near(one, rows, rule))
        ? null
        : suspicionOf(rows, before, median, rule),
    });
    usual.push(rows);
  }
  return lines;
}

const momentOf = ({ finishedAt, startedAt }: Backup): string => finishedAt ?? startedAt;

/**
 * What is suspicious of a number of rows, in words; null: nothing. It must be abnormal against the backup before and against what is usual:
 * a table that is emptied every night, or that was repaired, gives no alarm. With few backups there is no alarm.
 */
export function suspicionOf(
  rows: number,
  before: number | null,
  median: number | null,
  rule: SuspicionRule,
): string | null {
  if (before === null || median === null) return null;
  const kinds = [before, median].map((base) => abnormal(rows, base, rule));
  if (kinds[0] === null || kinds[0] !== kinds[1]) return null;
  return `${rows} rows; ${before} in the backup before (${percent(rows, before)}), ${median} usually (${percent(rows, median)})`;
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
  const usual = history.slice(-USUAL).map((one) => one.rows);
  if (usual.length < FEWEST || usual.some((one) => near(one, rows, rule))) return null;
  return suspicionOf(rows, usual.at(-1) ?? null, medianOf(usual), rule);
}

const near = (one: number, rows: number, rule: SuspicionRule): boolean => abnormal(rows, one, rule) === null;

function abnormal(rows: number, base: number, { loss, growth, least }: SuspicionRule): 'loss' | 'growth' | null {
  if (Math.abs(rows - base) < least) return null;
  if (base - rows > base * loss) return 'loss';
  return rows - base > base * growth ? 'growth' : null;
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
