import type { TocEntry } from './toc.js';

/** A function's definition, as pg_dump writes it: all before its body, and the body. */
interface FunctionParts {
  readonly head: string;
  readonly body: string;
  readonly quote: string;
}

/** Longest quote that pg_dump makes up, with the end of the statement. */
const LONGEST_QUOTE = 200;

/** Null where it is no function, or has no body of its own language (`BEGIN ATOMIC`, `RETURN`): those hold no commands. */
export function functionParts(kind: string, definition: string): FunctionParts | null {
  if (kind !== 'FUNCTION' && kind !== 'PROCEDURE') return null;
  const quote = /(\$\w*\$);\n$/.exec(definition.slice(-LONGEST_QUOTE))?.[1];
  if (quote === undefined) return null;
  const opening = `\n    AS ${quote}`;
  const at = definition.indexOf(opening);
  const [from, to] = [at + opening.length, definition.length - `${quote};\n`.length];
  return at === -1 || from > to ? null : { head: definition.slice(0, at), body: definition.slice(from, to), quote };
}

/** The same function without anything to do. */
export function withoutBody(entry: TocEntry): TocEntry {
  const parts = functionParts(entry.kind, entry.definition);
  return parts === null ? entry : { ...entry, definition: `${parts.head}\n    AS $$$$;\n` };
}
