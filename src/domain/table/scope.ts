import { RepriseError } from '../errors.js';
import type { ScopeTerm } from '../operation/orders.js';
import { visible } from '../text/text.js';
import type { RowText } from './repair.js';

/** How values of a type are ordered here; other types have no ranges. */
export type RangeOrder = 'number' | 'float' | 'time' | 'interval';

const ORDERS: Readonly<Record<string, RangeOrder>> = {
  ...{ smallint: 'number', integer: 'number', bigint: 'number', numeric: 'number' },
  ...{ real: 'float', 'double precision': 'float', interval: 'interval' },
  ...{ date: 'time', 'timestamp without time zone': 'time', 'timestamp with time zone': 'time' },
};

/** Of a type as `format_type` writes it; undefined where ranges of it are not supported. */
export function rangeOrderOf(type: string): RangeOrder | undefined {
  return ORDERS[withoutModifier(type)];
}

/** `timestamp(3) with time zone` is `timestamp with time zone`, and `interval day to second(3)` is `interval`. */
export const withoutModifier = (type: string): string =>
  type
    .replace(/\(.*?\)/, '')
    .replace(
      /^interval (?:year|month|day|hour|minute|second)(?: to (?:month|hour|minute|second))?(?=$|\[)/,
      'interval',
    );

const COMPARED: Readonly<Record<RangeOrder, (one: string, other: string) => number>> = {
  number: compareNumbers,
  float: compareFloats,
  time: compareTimes,
  interval: compareIntervals,
};

/** The order of PostgreSQL: negative where `one` is before `other`, 0 where they are equal. Values are in the form that it writes. */
export function compareValues(order: RangeOrder, one: string, other: string): number {
  return COMPARED[order](one, other);
}

/**
 * Whether a row is within all of these terms, whose values are in the form that PostgreSQL writes.
 * @throws RepriseError `usage` for a column that is not compared, or a range of a type that has none here
 */
export function scopeTest(
  terms: readonly ScopeTerm[],
  columns: readonly { readonly name: string; readonly type: string }[],
): (row: RowText) => boolean {
  const tests = terms.map((term) => termTest(term, columns));
  return (row) => tests.every((holds) => holds(row));
}

function termTest(
  term: ScopeTerm,
  columns: readonly { readonly name: string; readonly type: string }[],
): (row: RowText) => boolean {
  const at = columns.findIndex(({ name }) => name === term.column);
  const column = columns[at];
  if (column === undefined)
    throw new RepriseError(
      'usage',
      `column ${visible(term.column)} is not stored on both sides, so that no scope can be set by it`,
      `choose among ${columns.map(({ name }) => visible(name)).join(', ')}`,
    );
  const order = rangeOrderOf(column.type);
  if ('in' in term) {
    const values = new Set(term.in.map((value) => equalText(value, order)));
    return (row) => values.has(equalText(row[at] ?? null, order));
  }
  if (order === undefined)
    throw new RepriseError(
      'usage',
      `column ${visible(column.name)} is of type ${visible(column.type)}, which has no ranges here`,
      'a range needs a column of numbers, dates, timestamps or intervals; list values instead',
    );
  const { from = null, below = null } = term;
  return (row) => {
    const value = row[at] ?? null;
    if (value === null) return false;
    return (
      (from === null || compareValues(order, value, from) >= 0) &&
      (below === null || compareValues(order, value, below) < 0)
    );
  };
}

/** The same for values that PostgreSQL takes for equal, such as 1 and 1.00, 0 and -0, `1 day` and `24:00:00`; other values by their text. */
export function equalText(value: string | null, order: RangeOrder | undefined): string | null {
  if (value === null || order === undefined || order === 'time' || value in SPECIAL) return value;
  if (order === 'float') return String(Number(value));
  if (order === 'interval') return String(microsecondsOf(value));
  const { negative, whole, fraction } = decimal(value);
  return `${negative ? '-' : ''}${whole}.${fraction}`;
}

/** NaN is equal to NaN and after all others, and -0 is equal to 0. */
export function compareFloats(one: string, other: string): number {
  const [a, b] = [Number(one), Number(other)];
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return a === b ? 0 : a < b ? -1 : 1;
}

/** A month has 30 days and a day 24 hours. */
export function compareIntervals(one: string, other: string): number {
  const [a, b] = [microsecondsOf(one), microsecondsOf(other)];
  return a === b ? 0 : a < b ? -1 : 1;
}

const DAY = 86_400_000_000n;
const UNITS: Readonly<Record<string, bigint>> = { year: 360n * DAY, mon: 30n * DAY, day: DAY };

/** As `IntervalStyle` postgres writes it: `1 year -2 mons 3 days -04:05:06.789`; infinite from PostgreSQL 17 on. */
function microsecondsOf(text: string): bigint | number {
  if (text === 'infinity') return Infinity;
  if (text === '-infinity') return -Infinity;
  let sum = 0n;
  for (const [, count = '0', unit = ''] of text.matchAll(/([+-]?\d+) (year|mon|day)/g))
    sum += BigInt(count) * (UNITS[unit] ?? 0n);
  const [, sign, hours = '0', minutes = '0', seconds = '0', fraction = ''] =
    /(?:^| )([+-]?)(\d+):(\d\d):(\d\d)(?:\.(\d+))?$/.exec(text) ?? [];
  const time =
    ((BigInt(hours) * 60n + BigInt(minutes)) * 60n + BigInt(seconds)) * 1_000_000n + BigInt(fraction.padEnd(6, '0'));
  return sign === '-' ? sum - time : sum + time;
}

interface Decimal {
  readonly negative: boolean;
  readonly whole: string;
  readonly fraction: string;
}

/** PostgreSQL's order: -Infinity, numbers, Infinity, NaN. */
const SPECIAL: Readonly<Record<string, number>> = { '-Infinity': -1, Infinity: 1, NaN: 2 };

/** Compares numbers of any size exactly, as `numeric` and integers are written. */
export function compareNumbers(one: string, other: string): number {
  const [a, b] = [SPECIAL[one] ?? 0, SPECIAL[other] ?? 0];
  if (a !== 0 || b !== 0) return a - b;
  const [left, right] = [decimal(one), decimal(other)];
  if (left.negative !== right.negative) return left.negative ? -1 : 1;
  const size = compareSizes(left, right);
  return left.negative && size !== 0 ? -size : size;
}

function decimal(text: string): Decimal {
  const [whole = '', fraction = ''] = text.replace(/^-/, '').split('.');
  const [plain, rest] = [whole.replace(/^0+/, ''), fraction.replace(/0+$/, '')];
  return { negative: text.startsWith('-') && plain + rest !== '', whole: plain, fraction: rest };
}

function compareSizes(left: Decimal, right: Decimal): number {
  if (left.whole.length !== right.whole.length) return left.whole.length - right.whole.length;
  return compareText(left.whole, right.whole) || compareText(left.fraction, right.fraction);
}

const compareText = (a: string, b: string): number => (a === b ? 0 : a < b ? -1 : 1);

/** Compares dates and timestamps in ISO form; those with a zone are in UTC. */
export function compareTimes(one: string, other: string): number {
  const [a, b] = [timeKey(one), timeKey(other)];
  return a.era === b.era ? compareText(a.text, b.text) : a.era - b.era;
}

/** Years before Christ count backwards, while months and the rest go forward. */
function timeKey(text: string): { readonly era: number; readonly text: string } {
  if (text === '-infinity') return { era: -2, text: '' };
  if (text === 'infinity') return { era: 2, text: '' };
  const isBefore = text.endsWith(' BC');
  // The zone is that of UTC; a date has none.
  const plain = text.replace(/ BC$/, '').replace(/(:\d\d(?:\.\d+)?)[+-]\d\d(?::\d\d)*$/, '$1');
  const [, year = '0', rest = ''] = /^(\d+)(.*)$/.exec(plain) ?? [];
  const count = isBefore ? 10_000_000 - Number(year) : Number(year);
  return { era: isBefore ? -1 : 1, text: `${String(count).padStart(8, '0')}${rest}` };
}
