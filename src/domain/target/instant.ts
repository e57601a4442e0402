import { RepriseError } from '../errors.js';
import { parseDuration } from '../text/units.js';

const pattern =
  /^(\d{4}-\d{2}-\d{2})(?:[T ]+(\d{2}:\d{2})(?::(\d{2})(?:[.,](\d{1,6}))?)?)?\s*(Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?|[A-Za-z]+(?:[/_+-][A-Za-z0-9]+)+)?$/;
const OFFSET_LIMIT_MINUTES = 16 * 60;
const HOUR_MS = 3_600_000;

/** A wall clock's reading, as milliseconds it would be in UTC, and the digits below a second. */
interface Wall {
  readonly ms: number;
  readonly fraction: string;
}

/** `-10min`, `-90s`, `+2h`: so long before or after now. */
const relative = /^([+-])\s*([1-9]\d{0,8})\s*(s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)$/i;

/**
 * An instant as UTC ISO-8601, digits below the second kept (PostgreSQL has six). Local time is never guessed at.
 * @param localZone IANA zone whose readings are shown when the offset is missing.
 * @param now what times such as `-10min` count from; absent: they are refused.
 * @throws RepriseError `target-invalid`, `target-ambiguous` (F26: no offset, or a time that a zone's clocks show twice or never).
 */
export function parseInstant(text: string, localZone?: string, now?: Date): string {
  const [, sign, amount = '', unit = ''] = relative.exec(text.trim()) ?? [];
  if (sign !== undefined && now !== undefined) return away(text, sign, `${amount}${unit.charAt(0).toLowerCase()}`, now);
  const match = pattern.exec(text.trim());
  if (match === null)
    throw invalid(
      text,
      'Write it as 2026-11-21T02:15:00Z, 2026-11-21T03:15:00+01:00, "2026-11-21 03:15 Europe/Paris" or, before now, -10min.',
    );
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
  return inZone(text, wall, zone);
}

/** To the second: nobody means the milliseconds of now. */
function away(text: string, sign: string, duration: string, now: Date): string {
  const ms = now.getTime() + (sign === '-' ? -1 : 1) * parseDuration(duration) * 1000;
  if (!(Math.abs(ms) <= 8.64e15)) throw invalid(text, 'Write a shorter time before now, e.g. -10min.');
  return iso(Math.floor(ms / 1000) * 1000, '');
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

function inZone(text: string, wall: Wall, zone: string): string {
  if (!isZone(zone))
    throw invalid(
      text,
      `There is no time zone '${zone}': write an offset, e.g. ${local(wall.ms, wall.fraction)}+01:00.`,
    );
  const found = readings(wall, zone);
  const [only] = found;
  if (only !== undefined && found.length === 1) return iso(only.ms, only.fraction);
  const choices = found.map((reading) => describe(reading, zone)).join('; ');
  const exact = found.every(({ exact: same }) => same);
  const why = exact ? 'happened twice: clocks were set back' : 'did not exist: clocks were set forward';
  throw new RepriseError('target-ambiguous', `'${text}' ${why}`, `Write the one that is meant: ${choices}.`);
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
  const parts = clockOf(zone).formatToParts(ms);
  const of = (type: string): number => Number(parts.find((part) => part.type === type)?.value);
  const shown = Date.UTC(of('year'), of('month') - 1, of('day'), of('hour'), of('minute'), of('second'));
  return Math.round((shown - Math.floor(ms / 1000) * 1000) / 60_000);
}

/** Milliseconds, and by how many minutes the clocks are ahead of UTC before and after. */
export interface ClockChange {
  readonly at: number;
  readonly before: number;
  readonly after: number;
}

/** When a zone's clocks are changed within so many days. */
export function clockChanges(zone: string, from: Date, days: number): readonly ClockChange[] {
  const changes: ClockChange[] = [];
  for (let day = 0; day < days; day++) {
    let [start, end] = [from.getTime() + day * 24 * HOUR_MS, from.getTime() + (day + 1) * 24 * HOUR_MS];
    const [before, after] = [offsetAt(start, zone), offsetAt(end, zone)];
    if (before === after) continue;
    // Clocks are changed at a full minute.
    while (end - start > 60_000) {
      const middle = start + Math.floor((end - start) / 2);
      if (offsetAt(middle, zone) === before) start = middle;
      else end = middle;
    }
    changes.push({ at: Math.floor(end / 60_000) * 60_000, before, after });
  }
  return changes;
}

/** To make one takes longer than to use it a hundred times. */
const clocks = new Map<string, Intl.DateTimeFormat>();

function clockOf(zone: string): Intl.DateTimeFormat {
  const known = clocks.get(zone);
  if (known !== undefined) return known;
  const two = '2-digit';
  const clock = new Intl.DateTimeFormat('en-US', {
    ...{ timeZone: zone, hourCycle: 'h23', year: 'numeric', month: two, day: two, hour: two, minute: two, second: two },
  });
  clocks.set(zone, clock);
  return clock;
}

function describe({ ms, offset, fraction }: Reading, zone: string): string {
  return `${local(ms + offset * 60_000, fraction)}${offsetText(offset)} (${iso(ms, fraction)}, ${zone})`;
}

function offsetText(minutes: number): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${minutes < 0 ? '-' : '+'}${two(Math.floor(Math.abs(minutes) / 60))}:${two(Math.abs(minutes) % 60)}`;
}

/** Instants as Reprise prints them, which are not part of a name or of a longer word. */
const printed = /(?<![\w:./-])\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?Z(?![\w/-]|:\S)/g;

/** Whether a text is one instant in UTC and nothing else. */
export function isInstant(text: string): boolean {
  return /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?Z$/.test(text) && !Number.isNaN(Date.parse(text));
}

/** `03:15:00 +01:00`, with its day where that is another one than in UTC. */
export function localTime(instant: string, zone: string): string {
  const ms = Date.parse(instant);
  const offset = offsetAt(ms, zone);
  const [day = '', time = ''] = local(ms + offset * 60_000, '').split('T');
  return `${instant.startsWith(day) ? '' : `${day} `}${time} ${offsetText(offset)}`;
}

/** What a person pastes: between backticks, or from the name of the program on. */
const command = /(`[^`]*`|\breprise [a-z][^;\n]*)/;

/** The same text with the local time in brackets behind each instant that is not in a command; without a zone the text as it is. */
export function withLocalTimes(text: string, zone: string | undefined): string {
  if (zone === undefined) return text;
  const local = (part: string): string =>
    part.replace(printed, (found) => (isInstant(found) ? `${found} (${localTime(found, zone)})` : found));
  return text
    .split(command)
    .map((part, index) => (index % 2 === 1 ? part : local(part)))
    .join('');
}

/** `+01:00 (Europe/Paris)`, as it is at an instant. */
export function zoneInWords(zone: string, now: Date): string {
  return `${offsetText(offsetAt(now.getTime(), zone))} (${zone})`;
}

/** Whether this is the name of a time zone, as IANA has them. */
export function isZone(zone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone: zone }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

export function isUtc(zone: string): boolean {
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
