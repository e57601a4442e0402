import { z } from 'zod';

/** `schema.table`, where `*` stands for any text. */
export const tablePattern = () =>
  z.string().regex(/^[^.]+\..+$/, 'expected schema.table, with * for any text, such as audit.events_*');

/** Whether one of the patterns names this table. */
export function isNamed(patterns: readonly string[], { schema, table }: { schema: string; table: string }): boolean {
  return patterns.some((pattern) => matches(pattern, `${schema}.${table}`));
}

/** Whether a text is what a pattern says; piece by piece from the left: linear, whatever the pattern. */
export function matches(pattern: string, text: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  if (!text.startsWith(first)) return false;
  const last = rest.pop();
  if (last === undefined) return text === pattern;
  let at = first.length;
  for (const piece of rest) {
    const found = text.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}
