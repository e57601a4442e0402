import pg from 'pg';
import type { ArchiveToc, TocEntry } from './toc.js';

/**
 * Who restores which entries of a dump. A superuser does what only one may and what runs no code of the dump; all else
 * is left to a login without rights.
 */
export interface ArchiveParts {
  /** By a superuser, first of all: extensions, and what their `CREATE` needs. */
  readonly extensions: readonly TocEntry[];
  /** Rows of the extensions' own tables, loaded while nothing else is there. */
  readonly extensionData: readonly TocEntry[];
  /** By a superuser: servers of the extensions' foreign-data wrappers. They become the login's at once. */
  readonly servers: readonly TocEntry[];
  /** By the login without rights. */
  readonly byLogin: readonly TocEntry[];
  /** Set by a superuser, when no code of the dump can run any more. */
  readonly sequences: readonly TocEntry[];
  /** By a superuser, when all has its owner: rights, publications, subscriptions, labels. */
  readonly rights: readonly TocEntry[];
  /** Last, so that nothing we do starts them. */
  readonly eventTriggers: readonly TocEntry[];
  /** Filled anew with the rights of their owners, which decide what the rows are. */
  readonly views: readonly TocEntry[];
}

/** A schema that an extension is made in, where the dump has one, is made before. */
const OF_EXTENSION = /^CREATE EXTENSION .* WITH SCHEMA ("(?:[^"]|"")*"|[^\s;]+);\n$/s;
const RIGHTS =
  /^(?:ACL|DEFAULT ACL|SECURITY LABEL|USER MAPPING|PUBLICATION|PUBLICATION .*|SUBSCRIPTION|SUBSCRIPTION .*)$/;
/** Comments on what a superuser makes, or owns. */
const COMMENT_OF_RIGHTS = /^COMMENT ON (?:EXTENSION|PUBLICATION|SUBSCRIPTION|SERVER|SCHEMA public IS) /;
const COMMENT_OF_EVENT_TRIGGER = /^(?:COMMENT ON|SECURITY LABEL .* ON) EVENT TRIGGER /;
/** Said of the dump itself, not of an object in it; `pg_restore` reads them in any case. */
const OF_ARCHIVE = new Set(['ENCODING', 'STDSTRINGS', 'SEARCHPATH', 'DATABASE', 'DATABASE PROPERTIES']);

type PartName = keyof ArchiveParts | 'none';

export function partsOf({ entries }: ArchiveToc): ArchiveParts {
  const tables = new Set(
    entries
      .filter(({ kind }) => /^(?:TABLE|FOREIGN TABLE|SEQUENCE)$/.test(kind))
      .map(({ schema, tag }) => nameKey(schema, tag)),
  );
  const extensionSchemas = new Set(
    entries.flatMap(({ kind, definition }) => {
      const schema = kind === 'EXTENSION' ? OF_EXTENSION.exec(definition)?.[1] : undefined;
      return schema === undefined ? [] : [unquoted(schema)];
    }),
  );
  const partOf = (entry: TocEntry): PartName => {
    if (OF_ARCHIVE.has(entry.kind) || isOfDatabase(entry)) return 'none';
    if (entry.kind === 'SCHEMA' && extensionSchemas.has(entry.tag) && entry.tag !== 'public') return 'extensions';
    const isExtensionData =
      /^(?:TABLE DATA|SEQUENCE SET)$/.test(entry.kind) && !tables.has(nameKey(entry.schema, entry.tag));
    return isExtensionData ? 'extensionData' : partByKind(entry);
  };
  const parts: Record<PartName, TocEntry[]> = {
    ...{
      extensions: [],
      extensionData: [],
      servers: [],
      byLogin: [],
      sequences: [],
      rights: [],
      eventTriggers: [],
      views: [],
    },
    none: [],
  };
  for (const entry of entries) parts[partOf(entry)].push(entry);
  // The login fills them, too: what of them a superuser owns is not run again.
  return { ...parts, byLogin: [...parts.byLogin, ...parts.views] };
}

function partByKind({ kind, definition }: TocEntry): PartName {
  if (kind === 'EXTENSION') return 'extensions';
  if (kind === 'SERVER') return 'servers';
  if (kind === 'SEQUENCE SET') return 'sequences';
  if (kind === 'MATERIALIZED VIEW DATA') return 'views';
  if (kind === 'EVENT TRIGGER' || COMMENT_OF_EVENT_TRIGGER.test(definition)) return 'eventTriggers';
  if (RIGHTS.test(kind) || (kind === 'COMMENT' && COMMENT_OF_RIGHTS.test(definition))) return 'rights';
  return 'byLogin';
}

/** On the database itself: `pg_restore` leaves them out, and what it has is in the manifest. */
function isOfDatabase({ kind, tag }: TocEntry): boolean {
  return /^(?:ACL|COMMENT|SECURITY LABEL)$/.test(kind) && tag.startsWith('DATABASE ');
}

const nameKey = (schema: string, name: string): string => `${schema}\0${name}`;

/** The name that an identifier in SQL stands for. */
export function unquoted(identifier: string): string {
  return identifier.startsWith('"') ? identifier.slice(1, -1).replaceAll('""', '"') : identifier;
}

/** A list for `pg_restore --use-list`: it reads the number before the semicolon. */
export function useList(entries: readonly TocEntry[]): string {
  return entries.map(({ id }) => `${id};\n`).join('');
}

/** Named by schema and name in `ALTER ... OWNER TO`. */
const NAMED = new Set([
  ...['COLLATION', 'CONVERSION', 'DOMAIN', 'TYPE', 'TABLE', 'VIEW', 'MATERIALIZED VIEW', 'SEQUENCE', 'FOREIGN TABLE'],
  ...['TEXT SEARCH DICTIONARY', 'TEXT SEARCH CONFIGURATION', 'STATISTICS', 'SCHEMA', 'SERVER', 'EVENT TRIGGER'],
]);
/** Named by their arguments as well: as the entry's own `DROP` does. */
const WITH_ARGUMENTS = /^(?:AGGREGATE|FUNCTION|PROCEDURE|OPERATOR|OPERATOR CLASS|OPERATOR FAMILY)$/;
const LARGE_OBJECTS = /^(?:BLOB|BLOB METADATA)$/;

/**
 * Statements that give what was restored to the owners that the dump names; a table's before those of sequences, which
 * go with it.
 */
export function ownerStatements(entries: readonly TocEntry[], withoutOwner: string): readonly string[] {
  const sequences = entries.filter(({ kind }) => kind === 'SEQUENCE');
  const others = entries.filter(({ kind }) => kind !== 'SEQUENCE');
  return [...others, ...sequences].flatMap((entry) => {
    const owner = pg.escapeIdentifier(entry.owner === '' ? withoutOwner : entry.owner);
    return objectsOf(entry).map((object) => `ALTER ${object} OWNER TO ${owner}`);
  });
}

const GRANTED = /^GRANT .* TO (?:GROUP )?("(?:[^"]|"")*"|[a-z_][a-z0-9_$]*)(?: WITH GRANT OPTION)?;$/gm;

/** Roles that something in the dump is granted to. */
export function granteesOf(rights: readonly TocEntry[]): ReadonlySet<string> {
  const acls = rights.filter(({ kind }) => kind === 'ACL');
  return new Set(
    acls.flatMap(({ definition }) => [...definition.matchAll(GRANTED)].map(([, name = '']) => unquoted(name))),
  );
}

/** Roles that own something in the dump. */
export function ownersOf(entries: readonly TocEntry[]): ReadonlySet<string> {
  return new Set(
    entries.filter((entry) => entry.owner !== '' && objectsOf(entry).length > 0).map(({ owner }) => owner),
  );
}

function objectsOf({ kind, tag, schema, drop, oid, definition }: TocEntry): readonly string[] {
  if (NAMED.has(kind)) {
    const names = schema === '' ? [tag] : [schema, tag];
    return [`${kind} ${names.map((name) => pg.escapeIdentifier(name)).join('.')}`];
  }
  if (WITH_ARGUMENTS.test(kind)) {
    const named = /^DROP (.*);\n$/s.exec(drop)?.[1];
    return named?.startsWith(`${kind} `) === true ? [named] : [];
  }
  if (kind === 'BLOB') return [`LARGE OBJECT ${oid}`];
  if (LARGE_OBJECTS.test(kind))
    return definition
      .split('\n')
      .filter((line) => /^\d+$/.test(line))
      .map((line) => `LARGE OBJECT ${line}`);
  return [];
}
