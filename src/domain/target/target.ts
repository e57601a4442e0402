import { RepriseError } from '../errors.js';
import { formatLsn, isLsn, parseLsn } from './wal.js';
import { parseInstant } from './instant.js';

/** What a person asks to recover to; `--to` of the command line. */
export type RecoveryTarget =
  | { readonly kind: 'latest' }
  /** UTC ISO-8601, with up to six digits of a second: PostgreSQL's own precision. */
  | { readonly kind: 'time'; readonly time: string }
  | { readonly kind: 'lsn'; readonly lsn: string }
  | { readonly kind: 'xid'; readonly xid: string }
  /** What was committed before this transaction ended: without it. */
  | { readonly kind: 'before-xid'; readonly xid: string }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'end-of-backup' }
  | { readonly kind: 'backup'; readonly id: string };

const FORMS =
  'latest, TIME (2026-11-21T02:15:00Z, "2026-11-21 03:15 Europe/Paris", -10min), lsn:0/16B3740, xid:1234, before-xid:1234, name:RESTORE_POINT, end-of-backup or backup:ID';
/** PostgreSQL's MAXFNAMELEN less its end: bytes of a restore point's name. */
const RESTORE_POINT_BYTES = 63;

/**
 * Reads what a person typed after `--to`. Times come back in UTC.
 * @param localZone IANA zone of whoever typed it, only used to show what a time without an offset may mean.
 * @param now what `-10min` counts from; absent: it is refused.
 * @throws RepriseError `target-invalid` for what is no target; `target-ambiguous` for a time without an offset.
 */
export function parseTarget(text: string, localZone?: string, now?: Date): RecoveryTarget {
  const typed = text.trim();
  const colon = typed.indexOf(':');
  const value = typed.slice(colon + 1);
  switch (colon < 0 ? typed : typed.slice(0, colon)) {
    case 'latest':
      return only(typed, 'latest', { kind: 'latest' });
    case 'end-of-backup':
      return only(typed, 'end-of-backup', { kind: 'end-of-backup' });
    case 'lsn':
      if (!isLsn(value))
        throw invalid(`'${value}' is not a WAL position`, 'Write it as PostgreSQL does, e.g. lsn:0/16B3740.');
      return { kind: 'lsn', lsn: formatLsn(parseLsn(value)) };
    case 'xid':
      return { kind: 'xid', xid: transactionId(value) };
    case 'before-xid':
      return { kind: 'before-xid', xid: transactionId(value) };
    case 'name':
      return { kind: 'name', name: restorePoint(value) };
    case 'backup':
      if (value.trim() === '') throw invalid('backup: needs an id', 'List ids with: reprise backup list.');
      return { kind: 'backup', id: value.trim() };
    default:
      if (!/^(\d{4}-|[+-]\s*\d)/.test(typed))
        throw invalid(`'${typed}' is not a recovery target`, `Write one of: ${FORMS}.`);
      return { kind: 'time', time: parseInstant(typed, localZone, now) };
  }
}

/**
 * Reads a target that came from outside, as an object or as the text that {@link parseTarget} takes.
 * @throws RepriseError as {@link parseTarget}
 */
export function readTarget(raw: unknown): RecoveryTarget {
  const text =
    typeof raw === 'object' && raw !== null ? (formatTarget(raw as RecoveryTarget) as string | undefined) : raw;
  if (typeof text !== 'string') throw invalid('this is no recovery target', `Write one of: ${FORMS}.`);
  return parseTarget(text);
}

/** The target in the form {@link parseTarget} reads. */
export function formatTarget(target: RecoveryTarget): string {
  switch (target.kind) {
    case 'latest':
    case 'end-of-backup':
      return target.kind;
    case 'time':
      return target.time;
    case 'lsn':
      return `lsn:${target.lsn}`;
    case 'xid':
    case 'before-xid':
      return `${target.kind}:${target.xid}`;
    case 'name':
      return `name:${target.name}`;
    case 'backup':
      return `backup:${target.id}`;
  }
}

function only(typed: string, word: string, target: RecoveryTarget): RecoveryTarget {
  if (typed !== word) throw invalid(`'${typed}' is not a recovery target`, `Write ${word} alone: it takes no value.`);
  return target;
}

/**
 * The decimal number of a transaction, without zeros in front.
 * @throws RepriseError `target-invalid`
 */
export function transactionId(value: string): string {
  // 0 to 2 are PostgreSQL's own (invalid, bootstrap, frozen); with an epoch an id has 64 bits.
  if (!/^\d{1,20}$/.test(value) || BigInt(value) < 3n || BigInt(value) >= 1n << 64n) {
    throw invalid(
      `'${value}' is not a transaction id`,
      'Give the decimal number that pg_current_xact_id() shows, e.g. xid:1234.',
    );
  }
  return BigInt(value).toString();
}

function restorePoint(value: string): string {
  const controls = [...value].some((character) => character < ' ' || character === '\u007f');
  if (value === '' || controls || utf8Length(value) > RESTORE_POINT_BYTES) {
    throw invalid(
      'the name of a restore point has 1 to 63 bytes and no control characters',
      'Give the name used with pg_create_restore_point, e.g. name:before_migration.',
    );
  }
  return value;
}

function utf8Length(text: string): number {
  let bytes = 0;
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0;
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  }
  return bytes;
}

function invalid(message: string, hint: string): RepriseError {
  return new RepriseError('target-invalid', message, hint);
}
