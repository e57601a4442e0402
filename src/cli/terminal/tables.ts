import { visible } from '../../domain/text/text.js';

/** To the second, as people read it; the JSON keeps the whole. */
export function instant(iso: string | null | undefined): string {
  return iso ? iso.replace(/\.\d+Z$/, 'Z') : '-';
}

/** Columns of text, each as wide as its widest cell. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [header.map((name) => name.toUpperCase()), ...rows.map((row) => row.map(visible))];
  const widths = header.map((_, column) => Math.max(...cells.map((row) => width(row[column] ?? ''))));
  return cells
    .map((row) =>
      row
        .map((cell, column) => padded(cell, widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/**
 * A table whose rows do not fit: the first column has a line of its own, the others are below it.
 * @param columns of the terminal; absent: there is no limit
 */
export function foldedTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  columns = Infinity,
): string {
  const whole = table(header, rows);
  if (Math.max(...whole.split('\n').map(width)) <= columns) return whole;
  const rest = table(
    header.slice(1),
    rows.map((row) => row.slice(1)),
  ).split('\n');
  const firsts = [(header[0] ?? '').toUpperCase(), ...rows.map(([first = '']) => visible(first))];
  return firsts.map((first, row) => `${first}\n  ${rest[row] ?? ''}`).join('\n');
}

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

/** `1 problem`, `2 problems`. */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

/** `name  value` lines with the values one below the other; what is empty is left out. */
export function facts(pairs: readonly (readonly [string, string | null | undefined])[]): string {
  const shown = pairs.filter(
    (pair): pair is readonly [string, string] => typeof pair[1] === 'string' && pair[1] !== '',
  );
  const widest = Math.max(0, ...shown.map(([name]) => width(name)));
  return shown.map(([name, value]) => `${padded(name, widest)}  ${visible(value)}`).join('\n');
}

const width = (text: string): number => [...text].length;
const padded = (text: string, to: number): string => text + ' '.repeat(Math.max(0, to - width(text)));
