import { RepriseError } from '../errors.js';
import type { ScopeTerm } from '../operation/orders.js';
import { visible } from '../text/text.js';
import type { RowText } from './repair.js';

/** How values of a type are ordered here; other types have no ranges. */
export type RangeOrder = 'number' | 'time';

const ORDERS: Readonly<Record<string, RangeOrder>> = {
  ...{ smallint: 'number', integer: 'number', bigint: 'number', numeric: 'number' },
  ...{ date: 'time', 'timestamp without time zone': 'time', 'timestamp with time zone': 'time' },
};

/** Of a type as `format_type` writes it; undefined where ranges of it are not supported. */
export function rangeOrderOf(type: string): RangeOrder | undefined {
  return ORDERS[type.replace(/\(.*?\)/, '')];
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
    const values = new Set(term.in.map((value) => orderedText(value, order)));
    return (row) => values.has(orderedText(row[at] ?? null, order));
  }
  if (order === undefined)
    throw new RepriseError(
      'usage',
      `column ${visible(column.name)} is of type ${visible(column.type)}, which has no ranges here`,
      'a range needs a column of numbers, dates or timestamps; list values instead',
    );
  const compare = order === 'number' ? compareNumbers : compareTimes;
  const { from = null, below = null } = term;
  return (row) => {
    const value = row[at] ?? null;
    if (value === null) return false;
    return (from === null || compare(value, from) >= 0) && (below === null || compare(value, below) < 0);
  };
}

/** Equal for equal numbers, such as 1 and 1.00; other values by their text. */
function orderedText(value: string | null, order: RangeOrder | undefined): string | null {
  if (value === null || order !== 'number' || value in SPECIAL) return value;
  const { negative, whole, fraction } = decimal(value);
  return `${negative ? '-' : ''}${whole}.${fraction}`;
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
