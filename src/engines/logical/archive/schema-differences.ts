import { partsOf } from './parts.js';
import type { ArchiveToc, TocEntry } from './toc.js';

/** Rows, and what is compared in another way: large objects by their number, sequences by their state. */
const NO_SCHEMA = /^(?:TABLE DATA|SEQUENCE SET|BLOB|BLOBS|BLOB METADATA|MATERIALIZED VIEW DATA|STATISTICS DATA)$/;

/** What a restored database has to define, and nothing else, before it is given to its owners. */
export function expectedSchema(toc: ArchiveToc): readonly TocEntry[] {
  const { extensions, servers, byLogin } = partsOf(toc);
  return [...extensions, ...servers, ...byLogin].filter(definesSchema);
}

/** What a dump of the restored database defines: more than the login was given to restore shows here. */
export function foundSchema({ entries }: ArchiveToc): readonly TocEntry[] {
  return entries.filter(definesSchema);
}

function definesSchema({ kind, tag, definition }: TocEntry): boolean {
  if (NO_SCHEMA.test(kind) || /^(?:ENCODING|STDSTRINGS|SEARCHPATH|DATABASE|DATABASE PROPERTIES)$/.test(kind))
    return false;
  // Every database has it; its owner and its comment are set afterwards.
  if (kind === 'SCHEMA' && tag === 'public') return false;
  return !(kind === 'COMMENT' && /^COMMENT ON (?:DATABASE|EXTENSION|LARGE OBJECT|SERVER) /.test(definition));
}

/** An object that one side has and the other one has not, or has otherwise. */
export interface SchemaDifference {
  readonly key: string;
  readonly object: string;
  readonly what: 'missing' | 'added' | 'changed';
}

/** Differences between two schemas, entry by entry: the order of a dump depends on more than on what is in it. */
export function schemaDifferences(
  expected: readonly TocEntry[],
  found: readonly TocEntry[],
): readonly SchemaDifference[] {
  const texts = new Map<string, string[]>();
  for (const entry of found) texts.set(keyOf(entry), [...(texts.get(keyOf(entry)) ?? []), textOf(entry)]);
  const differences: SchemaDifference[] = [];
  for (const entry of expected) {
    const there = texts.get(keyOf(entry));
    const same = there?.indexOf(textOf(entry)) ?? -1;
    if (there === undefined || there.length === 0)
      differences.push({ key: keyOf(entry), object: nameOf(entry), what: 'missing' });
    else if (same === -1) differences.push({ key: keyOf(entry), object: nameOf(entry), what: 'changed' });
    there?.splice(Math.max(0, same), 1);
  }
  for (const entry of found)
    if ((texts.get(keyOf(entry))?.splice(0, 1).length ?? 0) > 0)
      differences.push({ key: keyOf(entry), object: nameOf(entry), what: 'added' });
  return differences;
}

/** Kind and name: of few objects the same twice. */
export const keyOf = ({ kind, schema, tag }: TocEntry): string => [kind, schema, tag].join('\0');
/** All that makes it what it is. */
export const textOf = ({ definition, accessMethod, tablespace }: TocEntry): string =>
  [definition, accessMethod, tablespace].join('\0');

/** As messages call it: `function app.f(integer)`. */
export function nameOf({ kind, schema, tag }: TocEntry): string {
  return `${kind.toLowerCase()} ${schema === '' ? '' : `${schema}.`}${tag}`;
}
