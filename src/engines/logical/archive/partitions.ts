import type { TableName } from '../../../domain/table/table-name.js';
import { unquoted } from './parts.js';
import { textDecoder } from '../../../postgres/content/encoding.js';
import type { RootOf } from '../repository/count-dump.js';
import type { ArchiveToc } from './toc.js';

/** An identifier in a definition. */
export const NAME = String.raw`("(?:[^"]|"")*"|[^\s."]+)`;
/** An entry of its own since PostgreSQL 14, a part of the partition's entry before. */
const ATTACH = new RegExp(`^ALTER TABLE ONLY ${NAME}\\.${NAME} ATTACH PARTITION ${NAME}\\.${NAME} `, 'gm');

/** Deeper than anybody partitions. */
const MOST_LEVELS = 100;

/** To which partitioned table the rows of a partition belong, as a dump has it. */
export function rootsInArchive(toc: ArchiveToc): RootOf {
  const ancestors = ancestorsInArchive(toc);
  return (one) => ancestors(one).at(-1) ?? one;
}

/** The partitioned tables that a partition is a part of, as a dump has it, the nearest first. */
export function ancestorsInArchive({ encoding, entries }: ArchiveToc): (table: TableName) => readonly TableName[] {
  const read = encoding === 'UTF8' ? null : textDecoder(encoding);
  const nameOf = (identifier: string): string => {
    const name = unquoted(identifier);
    return read === null ? name : read(Buffer.from(name, 'latin1'));
  };
  const parents = new Map<string, TableName>();
  for (const { kind, definition } of entries) {
    if (!kind.startsWith('TABLE')) continue;
    for (const [, ...names] of definition.matchAll(ATTACH)) {
      const [schema = '', table = '', partSchema = '', part = ''] = names.map(nameOf);
      parents.set(keyOf(partSchema, part), { schema, table });
    }
  }
  return (one) => {
    const found: TableName[] = [];
    // Text in a definition may look as if a table were a partition of itself.
    for (let parent = parents.get(keyOf(one.schema, one.table)); parent !== undefined && found.length < MOST_LEVELS;) {
      found.push(parent);
      parent = parents.get(keyOf(parent.schema, parent.table));
    }
    return found;
  };
}

const keyOf = (schema: string, table: string): string => `${schema}\0${table}`;
