import type { MissingWal, WalTransaction } from '../operation/wal-transactions.js';
import { shellWord } from '../text/text.js';
import type { ChangeCounts, ConflictReason, RowText } from './repair.js';
import { formatTableName, type TableName, tableCommand } from './table-name.js';

/** A later transaction that touched rows which an earlier one has written. */
export interface LaterTransaction {
  readonly xid: string;
  /** UTC ISO-8601 with microseconds. */
  readonly committedAt: string;
  /** Where its commit record begins. */
  readonly lsn: string;
  /** How many of these rows, each counted once. */
  readonly rows: number;
}

/** What was committed after a transaction: rows as the WAL has them, one that is changed twice counts twice. */
export interface ChangedSince {
  readonly transactions: number;
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
}

/** Rows of another table that refer by a foreign key to rows which the transaction has written. */
export interface ReferringRows {
  readonly table: TableName;
  readonly columns: readonly string[];
  /** As `pg_constraint.confdeltype` has it. */
  readonly onDelete: string;
  readonly rows: number;
}

/** What undoing it would change in the table as it is; null where that cannot be told, and why. */
export type UndoDamage =
  | {
      readonly changes: ChangeCounts;
      readonly reasons: Readonly<Partial<Record<ConflictReason, number>>>;
      readonly because: null;
    }
  | { readonly changes: null; readonly reasons: Readonly<Record<string, never>>; readonly because: string };

/** What one transaction did, what came after it, and what each way back would lose. */
export interface BlastRadius {
  readonly database: string;
  readonly table: TableName;
  readonly xid: string;
  /** UTC ISO-8601. */
  readonly committedAt: string;
  /** What it did in all tables; null where the WAL does not tell. */
  readonly transaction: WalTransaction | null;
  /** Whether the WAL tells its rows one by one; else two states of the whole table were compared. */
  readonly exact: boolean;
  readonly later: {
    /** Row versions that it left behind, and of these how many were touched again. */
    readonly followed: number;
    readonly rows: number;
    readonly transactions: readonly LaterTransaction[];
    /** Later transactions beyond those that are listed. */
    readonly more: number;
    /** More rows than are followed: the figures are the least. */
    readonly atLeast: boolean;
    readonly table: ChangedSince;
    readonly database: ChangedSince;
    readonly missing: readonly MissingWal[];
  };
  readonly undo: UndoDamage;
  /** Null where production did not say. */
  readonly references: readonly ReferringRows[] | null;
  /** What the figures do not cover. */
  readonly notes: readonly string[];
}

/** One row that the transaction has written, for people. */
export interface DamagedRow {
  /** What the transaction did to it. */
  readonly did: 'inserted' | 'updated' | 'deleted';
  readonly key: RowText;
  /** Why undoing leaves it as it is; null: it would be put right. */
  readonly conflict: ConflictReason | null;
}

/** The rows themselves: kept on the host alone, readable by its owner, with an end. */
export interface DamagedRows {
  readonly operationId: string;
  /** UTC ISO-8601. */
  readonly until: string;
  readonly key: readonly string[];
  /** Of those that are conflicts, as many as are kept. */
  readonly conflicts: readonly DamagedRow[];
  readonly samples: readonly DamagedRow[];
}

/** One way back, with what it would lose. */
export interface WayBack {
  readonly way: 'undo' | 'replace' | 'recover';
  readonly what: string;
  /** The exact command. */
  readonly command: string;
  /** What later work it would take away; null where that is not known. */
  readonly loses: Pick<ChangedSince, 'transactions'> & { readonly rows: number };
  /** What it would leave wrong, or to decide. */
  readonly leaves: string;
}

const rowsOf = ({ inserted, updated, deleted }: Pick<ChangedSince, 'inserted' | 'updated' | 'deleted'>): number =>
  inserted + updated + deleted;

/** The ways back, the one that loses least first. */
export function waysBack(
  cluster: string,
  { database, table, xid, transaction, later, undo }: BlastRadius,
  policy?: string,
): readonly WayBack[] {
  const named = { cluster, database, table };
  const policyOption = policy === undefined ? [] : [`--policy ${shellWord(policy)}`];
  const others = otherTables({ table, database, transaction });
  const rest =
    others === 0 ? '' : `; its ${others === 1 ? 'other table stays' : `${others} other tables stay`} as it left them`;
  return [
    {
      way: 'undo',
      what: 'undo it in this table',
      command: tableCommand('repair', named, `--xid ${xid}`, ...policyOption),
      loses: { transactions: 0, rows: 0 },
      leaves: `${undoLeaves(undo)}${rest}`,
    },
    {
      way: 'replace',
      what: 'this table before it',
      command: tableCommand('repair', named, `--to before-xid:${xid}`, '--strategy replace', ...policyOption),
      loses: { transactions: later.table.transactions, rows: rowsOf(later.table) },
      leaves: others === 0 ? 'nothing' : rest.slice(2),
    },
    {
      way: 'recover',
      what: 'the database before it',
      command: [
        'reprise recover',
        shellWord(cluster),
        `--database ${shellWord(database)}`,
        `--to before-xid:${xid}`,
        ...policyOption,
      ].join(' '),
      loses: { transactions: later.database.transactions, rows: rowsOf(later.database) },
      leaves: 'nothing',
    },
  ];
}

function undoLeaves({ changes, because }: UndoDamage): string {
  if (changes === null) return `not known: ${because}`;
  return changes.conflicts === 0 ? 'nothing' : `${changes.conflicts} conflicts, for people to decide`;
}

/** Tables beside the one that is asked for, in which the transaction did something; partitions count for their table. */
function otherTables({
  table,
  database,
  transaction,
}: Pick<BlastRadius, 'table' | 'database' | 'transaction'>): number {
  if (transaction === null) return 0;
  const own = JSON.stringify([database, formatTableName(table)]);
  const names = new Set(
    [...transaction.tables, ...transaction.actions].map((one) => {
      const partitionOf = 'partitionOf' in one ? one.partitionOf : undefined;
      const { schema, table: name } = { ...one, ...partitionOf };
      return JSON.stringify([
        one.database,
        schema === null || name === null ? one.number : formatTableName({ schema, table: name }),
      ]);
    }),
  );
  names.delete(own);
  return names.size + (transaction.moreTables ?? 0);
}
