/** What pg_waldump prints of records that are no rows: ends of transactions, files, locks. */

/** A file of a relation: tablespace, database (0: shared by all) and file number, as the WAL names it. */
export interface RelationFile {
  readonly tablespace: number;
  readonly database: number;
  readonly file: number;
}

/** What every record begins with. */
export interface RecordHead {
  /** Where it begins. */
  readonly lsn: number;
  readonly xid: number;
  /** Bytes, with images of pages. */
  readonly length: number;
}

/** The end of a transaction. */
export interface TransactionRecord {
  readonly kind: 'commit' | 'abort';
  readonly lsn: number;
  readonly xid: number;
  readonly length: number;
  /** Microseconds since 1970, by the clock of the server. */
  readonly time: number;
  /** It was prepared before (two-phase commit). */
  readonly prepared: boolean;
  readonly subxacts: readonly number[];
  /** Files that end with it. */
  readonly files: readonly RelationFile[];
  /** Relations (`database/oid`) whose statistics end with it, which tells a drop from a rewrite; printed from 15 on. */
  readonly dropped: readonly string[];
}

/** What else says something of tables and transactions. */
export type OtherRecord =
  | ({ readonly kind: 'file-created' | 'file-truncated'; readonly lsn: number; readonly xid: number } & RelationFile)
  /** An exclusive lock, as DROP, TRUNCATE and most of ALTER take it; `table` is an OID. */
  | {
      readonly kind: 'table-locked';
      readonly lsn: number;
      readonly xid: number;
      readonly database: number;
      readonly table: number;
    }
  /** Transactions before `oldest` run no longer, those from `next` on have not begun. */
  | { readonly kind: 'running'; readonly lsn: number; readonly oldest: number; readonly next: number }
  | { readonly kind: 'database-dropped'; readonly lsn: number; readonly xid: number; readonly database: number };

const PREPARED_END = /^(?:COMMIT|ABORT)_PREPARED \d+: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d/;
/** What pg_waldump prints after the name of a prepared transaction: such a line is the rest of one. */
const AFTER_NAME = /: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d/;

function isRestOfName(desc: string): boolean {
  return AFTER_NAME.test(desc.replace(PREPARED_END, ''));
}

const TIME = String.raw`(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))? UTC`;
const ENDS = new RegExp(`^(COMMIT|ABORT)(?:_PREPARED (\\d+):)? ${TIME}(.*)$`, 's');

/** The end of a transaction in the description of a record; null in every other. */
export function transactionRecord({ lsn, xid, length }: RecordHead, desc: string): TransactionRecord | null {
  const match = ENDS.exec(desc);
  if (match === null || isRestOfName(desc)) return null;
  const [, what, prepared, year, month, day, hour, minute, second, fraction = '', rest = ''] = match;
  const midnight = midnightOf(Number(year), Number(month), Number(day));
  const seconds = Number(hour) * 3600 + Number(minute) * 60 + Number(second);
  return {
    kind: what === 'COMMIT' ? 'commit' : 'abort',
    ...{ lsn, length },
    xid: prepared === undefined ? xid : Number(prepared),
    prepared: prepared !== undefined,
    time: midnight + seconds * 1e6 + Number(fraction.padEnd(6, '0')),
    subxacts: listAfter(rest, '; subxacts:').map(Number),
    files: listAfter(rest, '; rels:').flatMap((path) => fileAt(path) ?? []),
    dropped: listAfter(rest, '; dropped stats:').flatMap((stats) => /^2\/(\d+\/\d+)$/.exec(stats)?.[1] ?? []),
  };
}

const midnights = { day: 0, at: 0 };

/** Microseconds since 1970. Most commits of a run are of one day. */
export function midnightOf(year: number, month: number, day: number): number {
  const key = (year * 100 + month) * 100 + day;
  if (midnights.day !== key) {
    midnights.day = key;
    midnights.at = Date.UTC(year, month - 1, day) * 1000;
  }
  return midnights.at;
}

function listAfter(rest: string, title: string): readonly string[] {
  const at = rest.indexOf(title);
  if (at < 0) return [];
  const from = at + title.length;
  const end = rest.indexOf(';', from);
  return rest
    .slice(from, end < 0 ? undefined : end)
    .trim()
    .split(' ')
    .filter((item) => item !== '');
}

/** Of pg_default and pg_global. */
const [DEFAULT_TABLESPACE, GLOBAL_TABLESPACE] = [1663, 1664];

/** `base/5/16384`, `global/1262`, `pg_tblspc/16400/PG_15_202209061/5/16384`; of another fork null. */
function fileAt(path: string): RelationFile | null {
  const base = /^base\/(\d+)\/(\d+)$/.exec(path);
  if (base !== null) return { tablespace: DEFAULT_TABLESPACE, database: Number(base[1]), file: Number(base[2]) };
  const global = /^global\/(\d+)$/.exec(path);
  if (global !== null) return { tablespace: GLOBAL_TABLESPACE, database: 0, file: Number(global[1]) };
  const other = /^pg_tblspc\/(\d+)\/[^/]+\/(\d+)\/(\d+)$/.exec(path);
  return other === null ? null : { tablespace: Number(other[1]), database: Number(other[2]), file: Number(other[3]) };
}

/** What else a record says of tables and transactions; null where it says nothing. */
export function otherRecord(manager: string, { lsn, xid }: RecordHead, desc: string): OtherRecord | null {
  if (isRestOfName(desc)) return null;
  if (manager === 'Storage') {
    const match = /^(CREATE|TRUNCATE) (\S+)(?: to 0 blocks.*)?$/.exec(desc);
    const file = match === null ? null : fileAt(match[2] ?? '');
    return file === null
      ? null
      : { kind: match?.[1] === 'CREATE' ? 'file-created' : 'file-truncated', lsn, xid, ...file };
  }
  if (manager === 'Standby') {
    const running = /^RUNNING_XACTS nextXid (\d+) latestCompletedXid \d+ oldestRunningXid (\d+)/.exec(desc);
    if (running !== null) return { kind: 'running', lsn, next: Number(running[1]), oldest: Number(running[2]) };
    const lock = /^LOCK xid (\d+) db (\d+) rel (\d+)/.exec(desc);
    if (lock === null) return null;
    return { kind: 'table-locked', lsn, xid: Number(lock[1]), database: Number(lock[2]), table: Number(lock[3]) };
  }
  const dropped = manager === 'Database' ? /^DROP dir.* \d+\/(\d+)/.exec(desc) : null;
  // Of no transaction is what ALTER DATABASE SET TABLESPACE leaves behind.
  return dropped === null || xid === 0 ? null : { kind: 'database-dropped', lsn, xid, database: Number(dropped[1]) };
}
