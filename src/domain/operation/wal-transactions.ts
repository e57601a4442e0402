/** What happened, from WAL: transactions with the rows that each changed. */
import { toTheSecond } from '../text/text.js';

/** A question: which transactions committed in a span of time. */
export interface WalTransactionsRequest {
  readonly cluster: string;
  /** Policy whose archive is read; absent: the one that archives WAL. */
  readonly policy?: string;
  readonly database?: string;
  /** With its schema, as SQL writes it, unquoted or quoted. */
  readonly table?: string;
  /** UTC ISO-8601, both included. */
  readonly from: string;
  readonly to: string;
  readonly minRows?: number;
  /** Most transactions that are listed. */
  readonly limit?: number;
  /** Absent: the newest. */
  readonly timeline?: number;
  /** Id of a temporary instance of the cluster, which names what the server does not know any more; absent: the server alone names. */
  readonly namesIn?: string;
}

/** As many are listed unless asked otherwise, and at the most. */
export const LISTED_TRANSACTIONS = 20;
export const MOST_TRANSACTIONS = 1000;

/** Rows of one table that a transaction changed. */
export interface WalTableChange {
  /** Null where it is not known: `number` says what is. */
  readonly database: string | null;
  readonly schema: string | null;
  readonly table: string | null;
  /** File number of the table in the WAL (`relfilenode`); for a truncated or dropped table its OID, or file number. */
  readonly number: number;
  /** The partitioned table that it is a part of, `schema.table` unquoted. */
  readonly partitionOf?: { readonly schema: string; readonly table: string };
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
  /** Of the deleted ones: an UPDATE has moved them to another partition, where they count as inserted. */
  readonly movedOut?: number;
}

/** A table as a whole. */
export interface WalTableAction {
  /** `replaced`: it got another file, and without names nobody can tell whether by TRUNCATE, by a rewrite or by REINDEX. */
  readonly action: 'truncated' | 'dropped' | 'rewritten' | 'moved' | 'replaced' | 'database dropped';
  readonly database: string | null;
  readonly schema: string | null;
  readonly table: string | null;
  readonly number: number;
}

export interface WalTransaction {
  readonly xid: string;
  /** UTC ISO-8601 with microseconds. */
  readonly committedAt: string;
  /** Where its commit record begins. */
  readonly lsn: string;
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
  readonly tables: readonly WalTableChange[];
  /** Tables beyond those that are listed. */
  readonly moreTables?: number;
  readonly actions: readonly WalTableAction[];
  /** It was under way where the WAL that could be read begins: it did at least this. */
  readonly atLeast?: true;
  /** It was prepared before it was committed (two-phase commit). */
  readonly prepared?: true;
}

/** WAL of the range that could not be read. */
export interface MissingWal {
  readonly fromLsn: string;
  readonly toLsn: string;
  /** `before`, `after`: the archive does not go so far; `gap`, `damaged`: in between. */
  readonly kind: 'before' | 'gap' | 'damaged' | 'after';
  /** The last commit before it and the first one after it, UTC; null where there is none. */
  readonly after: string | null;
  readonly before: string | null;
}

export interface WalTransactionsAnswer {
  readonly policy: string;
  readonly range: {
    readonly from: string;
    readonly to: string;
    readonly fromLsn: string;
    readonly toLsn: string;
    readonly timeline: number;
  };
  /** Whether all WAL of the range was read. */
  readonly complete: boolean;
  readonly missing: readonly MissingWal[];
  /** Sorted by damage: tables truncated and dropped, then rows deleted and updated, then rows inserted. */
  readonly transactions: readonly WalTransaction[];
  /** Transactions that match and are not listed. */
  readonly more: number;
  /** All that committed in the range. */
  readonly committed: number;
  /** Transactions that were not ended at the end of the range, with the rows that they had changed. */
  readonly open: readonly { readonly xid: string; readonly rows: number }[];
  /** Where names come from: the server itself, also a temporary instance of an earlier time, or nowhere, with the reason. */
  readonly names: {
    readonly from: 'server' | 'instance' | 'nowhere';
    readonly reason: string | null;
    /** Target at which the temporary instance stands. */
    readonly at?: string;
  };
}

/** Whether what was done to a table as a whole left all of its rows. */
export function keepsRows(action: string): boolean {
  return action === 'rewritten' || action === 'moved';
}

/** Which WAL could not be read. */
export function missingWalText({ kind, fromLsn, toLsn, after, before }: MissingWal): string {
  const times = [
    ...(after === null ? [] : [`after ${toTheSecond(after)}`]),
    ...(before === null ? [] : [`before ${toTheSecond(before)}`]),
  ];
  const when = times.length === 0 ? '' : `, ${times.join(' and ')}`;
  if (kind === 'before') return `the WAL before ${toLsn}${when}: the archive begins there`;
  if (kind === 'after') return `the WAL from ${fromLsn} on${when}: it is not archived`;
  return `the WAL from ${fromLsn} to ${toLsn}${when}${kind === 'damaged' ? ': it is damaged' : ''}`;
}
