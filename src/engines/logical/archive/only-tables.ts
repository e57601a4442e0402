import type { TableName } from '../../../domain/table/table-name.js';
import { textDecoder } from '../../../postgres/content/encoding.js';
import { ancestorsInArchive, NAME } from './partitions.js';
import { unquoted } from './parts.js';
import type { ArchiveToc, TocEntry } from './toc.js';

const ADDED_KEY = new RegExp(`^ALTER TABLE (?:ONLY )?${NAME}\\.${NAME}\\s+ADD CONSTRAINT ${NAME} `);
const COMMENT_ON_CONSTRAINT = new RegExp(`^COMMENT ON CONSTRAINT ${NAME} ON ${NAME}\\.${NAME} IS `);

/** Whether a table of a dump is one of those that are named, or a partition of one. */
export function isAmong(toc: ArchiveToc, tables: readonly TableName[]): (table: TableName) => boolean {
  const wanted = new Set(tables.map(keyOf));
  const ancestors = ancestorsInArchive(toc);
  return (table) => wanted.has(keyOf(table)) || ancestors(table).some((one) => wanted.has(keyOf(one)));
}

/**
 * How much of the rows of a dump is of some tables, by the bytes that they take in the file: from 0 to 1; null where the dump does not
 * say where rows begin.
 */
export function shareOf(toc: ArchiveToc, tables: readonly TableName[], dumpBytes: number): number | null {
  const withRows = toc.entries
    .filter(({ dataAt }) => dataAt !== null)
    .toSorted((a, b) => (a.dataAt ?? 0) - (b.dataAt ?? 0));
  const [first] = withRows;
  if (first === undefined || toc.entries.some(({ kind, dataAt }) => kind === 'TABLE DATA' && dataAt === null))
    return null;
  const isWanted = wantedIn(toc, tables);
  const wanted = withRows.reduce((sum, entry, index) => {
    const end = withRows[index + 1]?.dataAt ?? dumpBytes;
    return isWanted(entry) ? sum + end - (entry.dataAt ?? 0) : sum;
  }, 0);
  return wanted / Math.max(1, dumpBytes - (first.dataAt ?? 0));
}

/** Whether an entry is the rows of one of these tables, or of a partition of one. */
function wantedIn(toc: ArchiveToc, tables: readonly TableName[]): (entry: TocEntry) => boolean {
  const isWanted = isAmong(toc, tables);
  const named = namesIn(toc);
  return ({ kind, schema, tag }) => kind === 'TABLE DATA' && isWanted(named(schema, tag));
}

/** Names as people write them: in a dump of another encoding than UTF-8 each character is a byte. */
function namesIn({ encoding }: ArchiveToc): (schema: string, table: string) => TableName {
  if (encoding === 'UTF8') return (schema, table) => ({ schema, table });
  const decode = textDecoder(encoding);
  const read = (name: string): string => decode(Buffer.from(name, 'latin1'));
  return (schema, table) => ({ schema: read(schema), table: read(table) });
}

/**
 * A dump for the sake of some tables: every definition, so that types, domains, functions, extensions and sequences are there, and the rows
 * of these tables and their partitions alone. Their foreign keys are left out, because what they refer to has no rows; so are large
 * objects, and materialized views stay empty. Rows of an extension's own tables come along: its functions may read them.
 */
export function onlyTables(toc: ArchiveToc, tables: readonly TableName[]): ArchiveToc {
  const { entries } = toc;
  const isWanted = isAmong(toc, tables);
  const hasRowsWanted = wantedIn(toc, tables);
  const named = namesIn(toc);
  const own = new Set(
    entries
      .filter(({ kind }) => /^(?:FOREIGN )?TABLE$/.test(kind))
      .map(({ schema, tag }) => keyOf({ schema, table: tag })),
  );
  // Those of the tables above hold for a partition too.
  const ancestors = ancestorsInArchive(toc);
  const above = new Set(tables.flatMap(ancestors).map(keyOf));
  const keys = new Set<string>();
  const isForeignKey = ({ kind, definition }: TocEntry): boolean => {
    if (kind !== 'FK CONSTRAINT') return false;
    const [, schema = '', table = '', name = ''] = (ADDED_KEY.exec(definition) ?? []).map((one) => unquoted(one));
    const of = named(schema, table);
    // One that cannot be read is left out: nothing that is read depends on it.
    if (name !== '' && !isWanted(of) && !above.has(keyOf(of))) return false;
    keys.add(JSON.stringify([schema, table, name]));
    return true;
  };
  const left = entries.filter((entry) => !isForeignKey(entry));
  return {
    ...toc,
    entries: left.filter((entry) => {
      const { kind, schema, tag } = entry;
      if (kind === 'TABLE DATA') return !own.has(keyOf({ schema, table: tag })) || hasRowsWanted(entry);
      return kind !== 'MATERIALIZED VIEW DATA' && !isOfLargeObject(entry) && !isCommentOn(keys, entry);
    }),
  };
}

function isOfLargeObject({ kind, tag }: TocEntry): boolean {
  if (/^BLOBS?(?: METADATA)?$/.test(kind)) return true;
  return /^(?:ACL|COMMENT|SECURITY LABEL)$/.test(kind) && /^LARGE OBJECTS? /.test(tag);
}

function isCommentOn(keys: ReadonlySet<string>, { kind, definition }: TocEntry): boolean {
  if (kind !== 'COMMENT') return false;
  const [, name = '', schema = '', table = ''] = (COMMENT_ON_CONSTRAINT.exec(definition) ?? []).map((one) =>
    unquoted(one),
  );
  return keys.has(JSON.stringify([schema, table, name]));
}

const keyOf = ({ schema, table }: TableName): string => `${schema}\0${table}`;
