import { RepriseError } from '../errors.js';

const pattern =
  /^(\d{4}-\d{2}-\d{2})(?:[T ]+(\d{2}:\d{2})(?::(\d{2})(?:[.,](\d{1,6}))?)?)?\s*(Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?|[A-Za-z]+(?:[/_+-][A-Za-z0-9]+)+)?$/;
const OFFSET_LIMIT_MINUTES = 16 * 60;
const HOUR_MS = 3_600_000;

/** A wall clock's reading, as milliseconds it would be in UTC, and the digits below a second. */
interface Wall {
  readonly ms: number;
  readonly fraction: string;
}

/**
 * An instant as UTC ISO-8601, digits below the second kept (PostgreSQL has six). Local time is never guessed at.
 * @param localZone IANA zone whose readings are shown when the offset is missing.
 * @throws RepriseError `target-invalid`, `target-ambiguous` (F26: no offset, or the name of a zone instead of one).
 */
export function parseInstant(text: string, localZone?: string): string {
  const match = pattern.exec(text.trim());
  if (match === null) throw invalid(text, 'Write it as 2026-11-21T02:15:00Z or 2026-11-21T03:15:00+01:00.');
  const [, date = '', minutes, seconds = '00', fraction = '', zone] = match;
  if (minutes === undefined) {
    throw new RepriseError(
      'target-ambiguous',
      `'${text}' is a day, not a point in time`,
      `Write the time and its offset: ${date}T00:00:00Z.`,
    );
  }
  const wall = { ms: wallClock(text, date, minutes, seconds), fraction };
  if (zone === undefined) throw withoutOffset(text, wall, localZone);
  if (/^(z|utc|gmt)$/i.test(zone)) return iso(wall.ms, fraction);
  if (/^[+-]/.test(zone)) return iso(wall.ms - offsetMinutes(text, zone) * 60_000, fraction);
  throw namedZone(text, wall, zone);
}

function wallClock(text: string, date: string, minutes: string, seconds: string): number {
  const written = `${date}T${minutes}:${seconds}`;
  const ms = Date.parse(`${written}Z`);
  // Date.parse takes 24:00 and, in some engines, the 30th of February.
  if (Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 19) !== written) {
    throw invalid(text, 'There is no such day or time: correct it.');
  }
  return ms;
}

function offsetMinutes(text: string, zone: string): number {
  const digits = zone.slice(1).replace(':', '').padEnd(4, '0');
  const total = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2));
  if (total > OFFSET_LIMIT_MINUTES || Number(digits.slice(2)) > 59)
    throw invalid(text, `Correct the offset: ${zone} is none.`);
  return zone.startsWith('-') ? -total : total;
}

function withoutOffset(text: string, wall: Wall, localZone: string | undefined): RepriseError {
  const utc = `${local(wall.ms, wall.fraction)}Z`;
  const here = localZone === undefined || isUtc(localZone) ? [] : readings(wall, localZone);
  const shown = [`${utc} (if UTC is meant)`, ...here.map((reading) => describe(reading, localZone ?? ''))];
  const example =
    here.length > 0 ? '' : `, or with the offset of the clock that was read: ${local(wall.ms, wall.fraction)}+01:00`;
  return new RepriseError(
    'target-ambiguous',
    `'${text}' has no offset`,
    `Write one of: ${shown.join('; ')}${example}.`,
  );
}

function namedZone(text: string, wall: Wall, zone: string): RepriseError {
  if (!isZone(zone))
    return invalid(
      text,
      `There is no time zone '${zone}': write an offset, e.g. ${local(wall.ms, wall.fraction)}+01:00.`,
    );
  const found = readings(wall, zone);
  const choices = found.map((reading) => describe(reading, zone)).join('; ');
  if (found.length === 1) {
    return new RepriseError('target-ambiguous', `'${text}' has a time zone but no offset`, `Write: ${choices}.`);
  }
  const exact = found.every(({ exact: same }) => same);
  const why = exact ? 'happened twice: clocks were set back' : 'did not exist: clocks were set forward';
  return new RepriseError('target-ambiguous', `'${text}' ${why}`, `Write the one that is meant: ${choices}.`);
}

interface Reading {
  readonly ms: number;
  readonly offset: number;
  readonly fraction: string;
  /** False where the zone's clocks never showed this time. */
  readonly exact: boolean;
}

/**
 * Instants that a wall clock in this zone may mean: one as a rule; two where clocks are set back (it was shown twice)
 * or forward (never shown: read with the offset before and with the one after), earliest first.
 */
function readings(wall: Wall, zone: string): Reading[] {
  const offsets = new Set([offsetAt(wall.ms - 24 * HOUR_MS, zone), offsetAt(wall.ms + 24 * HOUR_MS, zone)]);
  const all = [...offsets].map((offset) => {
    const ms = wall.ms - offset * 60_000;
    return { ms, offset, fraction: wall.fraction, exact: offsetAt(ms, zone) === offset };
  });
  const exact = all.filter((reading) => reading.exact);
  return (exact.length > 0 ? exact : all).sort((a, b) => a.ms - b.ms);
}

/** Minutes a zone is ahead of UTC at an instant. */
function offsetAt(ms: number, zone: string): number {
  const parts = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  }).formatToParts(ms);
  const of = (type: string): number => Number(parts.find((part) => part.type === type)?.value);
  const shown = Date.UTC(of('year'), of('month') - 1, of('day'), of('hour'), of('minute'), of('second'));
  return Math.round((shown - Math.floor(ms / 1000) * 1000) / 60_000);
}

function describe({ ms, offset, fraction }: Reading, zone: string): string {
  const sign = offset < 0 ? '-' : '+';
  const two = (value: number): string => String(value).padStart(2, '0');
  const written = `${sign}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  return `${local(ms + offset * 60_000, fraction)}${written} (${iso(ms, fraction)}, ${zone})`;
}

function isZone(zone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone: zone }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

function isUtc(zone: string): boolean {
  return /^(utc|gmt|etc\/(utc|gmt|uct|zulu))$/i.test(zone);
}

function local(ms: number, fraction: string): string {
  return new Date(ms).toISOString().slice(0, 19) + (fraction === '' ? '' : `.${fraction}`);
}

function iso(ms: number, fraction: string): string {
  return `${local(ms, fraction)}Z`;
}

function invalid(text: string, hint: string): RepriseError {
  return new RepriseError('target-invalid', `'${text}' is no instant`, hint);
}

/** Orders two UTC ISO-8601 instants with up to six digits of a second: a JavaScript date keeps only three. */
export function compareInstants(a: string, b: string): number {
  const [left, right] = [withMicroseconds(a), withMicroseconds(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}

function withMicroseconds(instant: string): string {
  const [seconds = '', fraction = ''] = instant.replace(/Z$/, '').split('.');
  return `${seconds}.${fraction.padEnd(6, '0')}`;
}
