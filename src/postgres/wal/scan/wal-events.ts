import { parseLsn } from '../../../domain/target/wal.js';
import { recordIn } from '../waldump-lines.js';

interface At {
  /** Where the record begins. */
  readonly lsn: bigint;
}

/** The end of a transaction; `xid` and `subxacts` in the 32 bits that the WAL holds, decimal. */
export interface TransactionEnd extends At {
  readonly kind: 'commit' | 'abort';
  readonly xid: string;
  readonly subxacts: readonly string[];
  /** UTC ISO-8601 with microseconds, by the clock of the server: not in the order of the WAL where that was set. */
  readonly time: string;
}

/** Files are removed at once, and the transaction that does it commits later, or never. */
export interface DropRecord extends At {
  readonly kind: 'drop';
  readonly xid: string;
  readonly what: 'DROP DATABASE' | 'DROP TABLESPACE';
}

export interface RestorePoint extends At {
  readonly kind: 'restore-point';
  readonly name: string;
  /** When it was made; absent where that is not known. */
  readonly time?: string;
}

/** The first record of a timeline that a promotion began. */
interface PromotionRecord extends At {
  readonly kind: 'promotion';
  readonly time: string;
}

/** Transactions before this one run no longer, even those that a crash has ended without a record. */
interface RunningRecord extends At {
  readonly kind: 'running';
  readonly oldest: string;
}

/** What decides where a recovery stops. */
export type WalEvent = TransactionEnd | DropRecord | RestorePoint | PromotionRecord | RunningRecord;

/** Relation of `pg_database`, the same in every cluster: a row of it is deleted by DROP DATABASE alone. */
export const PG_DATABASE = '1664/0/1262';

const TIME = String.raw`(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?) UTC`;
const ENDS = new RegExp(`^(COMMIT|ABORT)(?:_PREPARED (\\d+):)? ${TIME}(.*)$`);
const PROMOTION = new RegExp(`^END_OF_RECOVERY .*time ${TIME}`);

/** Reads a line of pg_waldump, printed with TZ=UTC; null for every record that decides nothing. */
export function walEventIn(line: string): WalEvent | null {
  const record = recordIn(line);
  if (record === null) return null;
  const { manager, tx, description: desc } = record;
  const at = parseLsn(record.lsn);
  switch (manager) {
    case 'Transaction':
      return transactionEnd(at, tx, desc);
    case 'XLOG':
      return controlRecord(at, desc);
    case 'Standby':
      return runningRecord(at, desc);
    case 'Database':
    case 'Tablespace':
    case 'Heap':
      return dropRecord(at, manager, tx, desc);
    default:
      return null;
  }
}

function transactionEnd(lsn: bigint, tx: string, desc: string): TransactionEnd | null {
  const match = ENDS.exec(desc);
  if (match === null) return null;
  const [, what, prepared, day = '', time = '', rest = ''] = match;
  const subxacts = /; subxacts:((?: \d+)+)/.exec(rest)?.[1]?.trim().split(' ') ?? [];
  const kind = what === 'COMMIT' ? 'commit' : 'abort';
  return { kind, lsn, xid: prepared ?? tx, subxacts, time: `${day}T${time}Z` };
}

function controlRecord(lsn: bigint, desc: string): WalEvent | null {
  if (desc.startsWith('RESTORE_POINT '))
    return { kind: 'restore-point', lsn, name: desc.slice('RESTORE_POINT '.length) };
  const promotion = PROMOTION.exec(desc);
  return promotion === null ? null : { kind: 'promotion', lsn, time: `${promotion[1] ?? ''}T${promotion[2] ?? ''}Z` };
}

function runningRecord(lsn: bigint, desc: string): RunningRecord | null {
  const oldest = /^RUNNING_XACTS .*oldestRunningXid (\d+)/.exec(desc)?.[1];
  return oldest === undefined ? null : { kind: 'running', lsn, oldest };
}

function dropRecord(lsn: bigint, resource: string, xid: string, desc: string): DropRecord | null {
  // Of a transaction without an id is what ALTER DATABASE SET TABLESPACE leaves behind, after its commit.
  if (xid === '0' || !/^(?:DROP|DELETE)\b/.test(desc)) return null;
  if (resource === 'Heap' && !desc.includes(`rel ${PG_DATABASE} `)) return null;
  return { kind: 'drop', lsn, xid, what: resource === 'Tablespace' ? 'DROP TABLESPACE' : 'DROP DATABASE' };
}

/** The WAL holds 32 bits of a transaction id; the bits before them are the epoch. */
export function xidInWal(xid: string): string {
  return (BigInt(xid) & 0xffffffffn).toString();
}

/** Whether one transaction id is before another, both of 32 bits, as PostgreSQL counts them: round and round. */
export function precedes(xid: string, other: string): boolean {
  const distance = (BigInt(other) - BigInt(xid)) & 0xffffffffn;
  return distance > 0n && distance < 0x80000000n;
}
