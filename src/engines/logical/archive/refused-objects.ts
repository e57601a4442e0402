import { summarize } from '../repository/verify.js';
import { partsOf } from './parts.js';
import { nameOf } from './schema-differences.js';
import type { ArchiveToc, TocEntry } from './toc.js';

/** PostgreSQL lets only superusers make them. */
const SUPERUSER_KINDS = new Set([
  ...['FOREIGN DATA WRAPPER', 'PROCEDURAL LANGUAGE', 'ACCESS METHOD', 'OPERATOR CLASS', 'OPERATOR FAMILY'],
  ...['TEXT SEARCH PARSER', 'TEXT SEARCH TEMPLATE', 'TRANSFORM'],
]);
/** Those whose functions may do anything to the server's host, as far as they are known by name. */
const UNTRUSTED = /^(?:c|internal|plpython[23]?u|plperlu|pltclu|plsh|plr|javau|plluau)$/;
/** Of a function's `CREATE`, what stands between its result and its body. */
const LANGUAGE = /\n {4}LANGUAGE (\S+)([^\n]*)/;

/** An object that a login without rights cannot restore, and why, in words. */
export interface RefusedObject {
  readonly object: string;
  readonly because: string;
}

/**
 * Objects that PostgreSQL refuses to every role but a superuser. The server decides in the end: this says it beforehand.
 */
export function refusedObjects(toc: ArchiveToc): readonly RefusedObject[] {
  return partsOf(toc).byLogin.flatMap((entry) => {
    const because = reasonFor(entry);
    return because === null ? [] : [{ object: nameOf(entry), because }];
  });
}

/** The first of them, in words. */
export function namedObjects(refused: readonly RefusedObject[]): string {
  return summarize(refused.map(({ object, because }) => `${object} (${because})`));
}

function reasonFor({ kind, definition }: TocEntry): string | null {
  if (SUPERUSER_KINDS.has(kind)) return 'only a superuser may make one';
  switch (kind) {
    case 'FUNCTION':
    case 'PROCEDURE':
      return reasonForFunction(definition);
    case 'TYPE':
      return /^CREATE TYPE \S+ \(\n {4}INTERNALLENGTH = /.test(definition) ? 'a base type' : null;
    case 'CAST':
      return reasonForCast(definition);
    case 'AGGREGATE':
      return /\n {4}(?:STYPE|MSTYPE) = internal\b/.test(definition) ? 'its state is of type internal' : null;
    default:
      return null;
  }
}

function reasonForFunction(definition: string): string | null {
  const [, language = '', attributes = ''] = LANGUAGE.exec(definition) ?? [];
  if (UNTRUSTED.test(language)) return `language ${language}`;
  return /\bLEAKPROOF\b/.test(attributes.replaceAll(/"(?:[^"]|"")*"/g, '')) ? 'leakproof' : null;
}

/** Names of built-in types have no schema before them. */
function reasonForCast(definition: string): string | null {
  const parts = /^CREATE CAST \((.*) AS (.*)\) WITH(?:OUT)? (FUNCTION|INOUT)/s.exec(definition);
  if (parts === null) return null;
  if (/\) WITHOUT FUNCTION/.test(definition)) return 'a cast without a function';
  return [parts[1], parts[2]].some((type) => type?.includes('.') === true) ? null : 'a cast between built-in types';
}
