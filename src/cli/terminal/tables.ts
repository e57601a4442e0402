import { isInstant, localTime, withLocalTimes, zoneInWords } from '../../domain/target/instant.js';
import { visible, toTheSecond } from '../../domain/text/text.js';

/** Who reads what is printed. */
export interface Screen {
  /** How wide the terminal is; absent: there is none, and no limit. */
  readonly columns?: number | undefined;
  /** Zone whose times are shown beside those in UTC; absent: none. */
  readonly zone?: string | undefined;
}

/** To the second, as people read it; the JSON keeps the whole. */
export function instant(iso: string | null | undefined): string {
  return iso ? toTheSecond(iso) : '-';
}

type Rows = readonly (readonly string[])[];

/** Columns of text, each as wide as its widest cell. */
export function table(header: readonly string[], rows: Rows): string {
  return gridOf(header, rows)
    .map(([line = '']) => line)
    .join('\n');
}

/** A table as the screen takes it, with local times beside those in UTC where there is room, else with a line that says how they differ. */
export function screenTable(header: readonly string[], rows: Rows, { columns, zone }: Screen): string {
  const hasTimes = zone !== undefined && rows.some((row) => row.some(isInstant));
  if (!hasTimes) return foldedTable(header, rows, columns);
  const beside = rows.map((row) => row.map((cell) => (isInstant(cell) ? `${cell} (${localTime(cell, zone)})` : cell)));
  const whole = table(header, beside);
  if (fits(whole.split('\n'), columns ?? Infinity)) return whole;
  return `${foldedTable(header, rows, columns)}\n\ntimes are UTC; here it is ${zoneInWords(zone, new Date())}`;
}

/**
 * A table whose rows do not fit: columns that are empty go first; then the last column is broken between words; then the first
 * column has a line of its own, the others below it; at last each cell has a line.
 * @param columns of the terminal; absent: there is no limit
 */
export function foldedTable(header: readonly string[], rows: Rows, columns = Infinity): string {
  const whole = gridOf(header, rows);
  if (fits(whole.flat(), columns)) return whole.flat().join('\n');
  const [names, cells] = withoutEmptyColumns(header, rows);
  const lines = narrowed(names, cells, columns) ?? folded(names, cells, columns) ?? stacked(names, cells, columns);
  return lines.flat().join('\n');
}

/** The lines of each row, the header first; the last column may be broken into lines of this width. */
function gridOf(header: readonly string[], rows: Rows, lastWidth = Infinity): readonly (readonly string[])[] {
  const cells = [header.map((name) => name.toUpperCase()), ...rows.map((row) => row.map(visible))];
  const widths = header.map((_, column) => Math.max(...cells.map((row) => width(row[column] ?? ''))));
  const last = header.length - 1;
  const indent = ' '.repeat(widths.slice(0, last).reduce((sum, one) => sum + one + 2, 0));
  return cells.map((row) => {
    const [first = '', ...more] = lastWidth === Infinity ? [row[last] ?? ''] : wrapped(row[last] ?? '', lastWidth);
    const line = [...row.slice(0, last).map((cell, column) => padded(cell, widths[column] ?? 0)), first].join('  ');
    return [line.trimEnd(), ...more.map((text) => indent + text)];
  });
}

/** Words below each other are still read where there is room for some of them. */
const LEAST_WIDTH = 24;

/** The table, its last column broken between words where it must be; null where it does not fit either. */
function narrowed(header: readonly string[], rows: Rows, columns: number): readonly (readonly string[])[] | null {
  const others = gridOf(
    header.slice(0, -1),
    rows.map((row) => row.slice(0, -1)),
  );
  const room = columns - Math.max(...others.flat().map(width), 0) - 2;
  for (const lines of [gridOf(header, rows), ...(room >= LEAST_WIDTH ? [gridOf(header, rows, room)] : [])])
    if (fits(lines.flat(), columns)) return lines;
  return null;
}

function folded(header: readonly string[], rows: Rows, columns: number): readonly (readonly string[])[] | null {
  const rest = narrowed(
    header.slice(1),
    rows.map((row) => row.slice(1)),
    columns - 2,
  );
  if (rest === null) return null;
  const firsts = [(header[0] ?? '').toUpperCase(), ...rows.map(([first = '']) => visible(first))];
  return firsts.map((first, row) => [first, ...(rest[row] ?? []).map((line) => `  ${line}`)]);
}

function stacked(header: readonly string[], rows: Rows, columns: number): readonly (readonly string[])[] {
  const widest = Math.max(...header.slice(1).map(width));
  return rows.map(([first = '', ...others]) => [
    visible(first),
    ...others.flatMap((cell, column) =>
      wrapped(visible(cell), columns - widest - 4).map(
        (text, line) => `  ${padded(line === 0 ? (header[column + 1] ?? '') : '', widest)}  ${text}`,
      ),
    ),
  ]);
}

function withoutEmptyColumns(header: readonly string[], rows: Rows): readonly [readonly string[], Rows] {
  const isKept = (_: unknown, column: number): boolean =>
    column === 0 || rows.some((row) => !['', '-'].includes(row[column] ?? ''));
  return [header.filter(isKept), rows.map((row) => row.filter(isKept))];
}

const fits = (lines: readonly string[], columns: number): boolean => lines.every((line) => width(line) <= columns);

/** Lines no longer than this, broken between words; a word that is longer has its own. */
export function wrapped(text: string, columns: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && width(last) + 1 + width(word) <= columns) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** Two texts on one line or, where that is too long for the terminal, the second below the first: a link is then copied whole. */
export function besideOrBelow(first: string, gap: string, second: string, columns = Infinity): string {
  const line = `${first}${gap}${second}`;
  return width(line) <= columns ? line : `${first}\n${second}`;
}

/** `1 problem`, `2 problems`. */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

/** `name  value` lines with the values one below the other; what is empty is left out. */
export function facts(pairs: readonly (readonly [string, string | null | undefined])[], { zone }: Screen = {}): string {
  const shown = pairs.filter(
    (pair): pair is readonly [string, string] => typeof pair[1] === 'string' && pair[1] !== '',
  );
  const widest = Math.max(0, ...shown.map(([name]) => width(name)));
  return shown.map(([name, value]) => `${padded(name, widest)}  ${withLocalTimes(visible(value), zone)}`).join('\n');
}

const width = (text: string): number => [...text].length;
const padded = (text: string, to: number): string => text + ' '.repeat(Math.max(0, to - width(text)));
