import { keyOf, nameOf } from './schema-differences.js';
import type { ArchiveToc, TocEntry } from './toc.js';

/** What every pg_dump writes as an object of its own, under the same name. */
const COMPARED =
  /^(?:SCHEMA|TABLE|FOREIGN TABLE|VIEW|MATERIALIZED VIEW|SEQUENCE|FUNCTION|PROCEDURE|AGGREGATE|TYPE|DOMAIN|INDEX|CONSTRAINT|CHECK CONSTRAINT|FK CONSTRAINT|TRIGGER|POLICY|RULE|EXTENSION|EVENT TRIGGER|PUBLICATION)$/;
const LARGE_OBJECTS = /^(?:BLOB|BLOBS|BLOB METADATA)$/;
const NAMED = 3;

/** What a dump of unknown origin is compared with: the database that it is said to be of, as it is now. */
export interface LiveDatabase {
  /** Of a dump of its definitions. */
  readonly toc: ArchiveToc;
  /** Lowest OID of its large objects; null where it has none. */
  readonly largeObject: number | null;
  /** Tables that the backup of our own nearest in time had; null where there is none. */
  readonly ownTables: readonly { readonly schema: string; readonly table: string }[] | null;
}

export interface Comparison {
  /** Why it is only a part of the database; null where that is not certain. */
  readonly partial: string | null;
  /** Why nobody can tell whether it is whole; null where all is in it. */
  readonly unknown: string | null;
}

/**
 * Compares a dump with something other than itself. Where both are of one and the same database, as OIDs tell, an object that is
 * older than the newest one in the dump was there when it was made, so that it was left out. A younger one may have come since.
 */
export function compareLive(toc: ArchiveToc, { toc: live, largeObject, ownTables }: LiveDatabase): Comparison {
  const inDump = toc.entries.filter(isCompared);
  const now = live.entries.filter(isCompared);
  const [names, oids] = [new Set(inDump.map(keyOf)), new Set(inDump.map(oidOf))];
  const missing = now.filter((entry) => !names.has(keyOf(entry)) && !oids.has(oidOf(entry)));
  const shared = now.filter((entry) => names.has(keyOf(entry)));
  const isSame = shared.filter((entry) => oids.has(oidOf(entry))).length * 2 > shared.length;
  const newest = inDump.reduce((highest, { oid }) => Math.max(highest, oid), 0);
  const older = isSame ? missing.filter(({ oid }) => oid < newest) : [];
  const withoutBlobs = largeObject !== null && !toc.entries.some(({ kind }) => LARGE_OBJECTS.test(kind));
  if (older.length > 0) return partial(`${named(older)}, which the database had when it was made`);
  if (withoutBlobs && isSame && largeObject < newest)
    return partial('large objects, which the database had when it was made');
  if (shared.length === 0) return unknown('the database has nothing now that is in it, so that it cannot be compared');
  if (missing.length > 0)
    return unknown(`the database has ${named(missing)}, which it has not: made since, or left out of it`);
  if (withoutBlobs) return unknown('the database has large objects, and it has none: made since, or left out of it');
  const tables = new Set(inDump.map(({ schema, tag }) => `${schema}\0${tag}`));
  const dropped = (ownTables ?? []).filter(({ schema, table }) => !tables.has(`${schema}\0${table}`));
  return dropped.length === 0
    ? { partial: null, unknown: null }
    : unknown(
        `the nearest backup of our own has ${some(dropped.map(({ schema, table }) => `table ${schema}.${table}`))}, which it has not`,
      );
}

const partial = (what: string): Comparison => ({ partial: `it is without ${what}`, unknown: null });
const unknown = (why: string): Comparison => ({ partial: null, unknown: why });

/** Every database has a schema public, and not every dump says so. */
const isCompared = ({ kind, tag }: TocEntry): boolean =>
  COMPARED.test(kind) && !(kind === 'SCHEMA' && tag === 'public');
const oidOf = ({ catalog, oid }: TocEntry): string => `${catalog}:${oid}`;
const named = (entries: readonly TocEntry[]): string => some(entries.map(nameOf));

function some(names: readonly string[]): string {
  const more = names.length - NAMED;
  return `${names.slice(0, NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
