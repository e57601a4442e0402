import { unquoted } from './parts.js';
import { nameOf } from './schema-differences.js';
import type { ArchiveToc, TocEntry } from './toc.js';

/** So many objects are named; the rest is counted. */
const NAMED = 3;

/** What an extension may have made itself: then nothing tells that the dump leaves it out. */
const BY_EXTENSION = 'EXTENSION';
const OF_TABLES = /^(?:INDEX|CONSTRAINT|CHECK CONSTRAINT|FK CONSTRAINT|TRIGGER|RULE|POLICY|ROW SECURITY)$/;
const HOLDS_ROWS = /^(?:TABLE|FOREIGN TABLE|VIEW|MATERIALIZED VIEW)$/;
const IN_SCHEMA = /^(?:TABLE|FOREIGN TABLE|VIEW|MATERIALIZED VIEW|SEQUENCE|FUNCTION|PROCEDURE|TYPE|DOMAIN)$/;

/**
 * Why a dump is only a part of its database, as far as its table of contents tells: definitions without rows, rows without
 * definitions, or a selection. Null where nothing is known to be missing: schemas and tables that nothing else refers to are
 * missed only by a comparison with the database (`compareLive`).
 */
export function whyPartial({ entries }: ArchiveToc): string | null {
  const keys = (pattern: RegExp): Set<string> =>
    new Set(entries.filter(({ kind }) => pattern.test(kind)).map(({ schema, tag }) => keyOf(schema, tag)));
  const hasExtensions = entries.some(({ kind }) => kind === BY_EXTENSION);
  return (
    withoutRows(entries, keys(/^(?:TABLE DATA|SEQUENCE SET)$/)) ??
    (hasExtensions ? null : withoutDefinitions(entries, keys(/^(?:TABLE|SEQUENCE)$/))) ??
    (hasExtensions ? null : (selected(entries) ?? leadingNowhere(entries)))
  );
}

function withoutRows(entries: readonly TocEntry[], filled: ReadonlySet<string>): string | null {
  const views = new Set(
    entries
      .filter(({ kind, tag }) => kind === 'RULE' && tag.endsWith(' _RETURN'))
      .map(({ schema, tag }) => keyOf(schema, tag.slice(0, -' _RETURN'.length))),
  );
  const expected = entries.filter((entry) => hasOwnRows(entry) && !views.has(keyOf(entry.schema, entry.tag)));
  const empty = expected.filter(({ schema, tag }) => !filled.has(keyOf(schema, tag)));
  if (empty.length === 0) return null;
  return filled.size === 0
    ? `it holds definitions and no rows, as pg_dump --schema-only writes it: ${named(empty)}`
    : `it is without the rows of ${named(empty)} (pg_dump --exclude-table-data)`;
}

/** Partitions have the rows of their tables; those of unlogged tables no standby can read. */
function hasOwnRows({ kind, definition }: TocEntry): boolean {
  if (kind === 'SEQUENCE') return /^CREATE SEQUENCE /m.test(definition);
  return (
    kind === 'TABLE' &&
    !/^CREATE UNLOGGED TABLE /m.test(definition) &&
    !/^PARTITION BY (?:RANGE|LIST|HASH) \(/m.test(definition)
  );
}

function withoutDefinitions(entries: readonly TocEntry[], defined: ReadonlySet<string>): string | null {
  const orphans = entries.filter(
    ({ kind, schema, tag }) => /^(?:TABLE DATA|SEQUENCE SET)$/.test(kind) && !defined.has(keyOf(schema, tag)),
  );
  return orphans.length === 0
    ? null
    : `it holds rows without the tables that they are of, as pg_dump --data-only writes it: ${named(orphans)}`;
}

/** A whole dump has every schema that something is in, and the tables that indexes and constraints are of. */
function selected(entries: readonly TocEntry[]): string | null {
  const schemas = new Set(entries.filter(({ kind }) => kind === 'SCHEMA').map(({ tag }) => tag));
  const homeless = entries.filter(
    ({ kind, schema }) => IN_SCHEMA.test(kind) && schema !== '' && schema !== 'public' && !schemas.has(schema),
  );
  if (homeless.length > 0)
    return `it holds selected objects without their schema (pg_dump --table): ${named(homeless)}`;
  const ofTables = entries.filter(({ kind }) => OF_TABLES.test(kind));
  return ofTables.length > 0 && !entries.some(({ kind }) => HOLDS_ROWS.test(kind) || kind === 'DOMAIN')
    ? `it holds no tables, but what belongs to them (pg_dump --section): ${named(ofTables)}`
    : null;
}

const NAME = String.raw`("(?:[^"]|"")*"|[^\s."'(]+)`;
const REFERENCES: Readonly<Record<string, RegExp>> = {
  'FK CONSTRAINT': new RegExp(`\\) REFERENCES ${NAME}\\.${NAME}\\(`),
  'SEQUENCE OWNED BY': new RegExp(` OWNED BY ${NAME}\\.${NAME}\\.`),
  DEFAULT: new RegExp(` SET DEFAULT nextval\\('${NAME}\\.${NAME}'::regclass\\)`),
  'TABLE ATTACH': new RegExp(`^ALTER TABLE ONLY ${NAME}\\.${NAME} ATTACH PARTITION `),
  TABLE: new RegExp(`^INHERITS \\(${NAME}\\.${NAME}`, 'm'),
};

/** What refers to a table or sequence that is not there: it was left out (`--exclude-table`, `--schema`, `--filter`). */
function leadingNowhere(entries: readonly TocEntry[]): string | null {
  const there = new Set(
    entries
      .filter(({ kind }) => /^(?:TABLE|FOREIGN TABLE|SEQUENCE)$/.test(kind))
      .map(({ schema, tag }) => keyOf(schema, tag)),
  );
  for (const entry of entries) {
    const [, schema, name] = REFERENCES[entry.kind]?.exec(entry.definition) ?? [];
    if (schema === undefined || name === undefined || there.has(keyOf(unquoted(schema), unquoted(name)))) continue;
    return `it is without ${unquoted(schema)}.${unquoted(name)}, to which ${nameOf(entry)} refers (pg_dump --exclude-table or --schema)`;
  }
  return null;
}

function named(entries: readonly TocEntry[]): string {
  const more = entries.length - NAMED;
  return `${entries.slice(0, NAMED).map(nameOf).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

const keyOf = (schema: string, name: string): string => `${schema}\0${name}`;
