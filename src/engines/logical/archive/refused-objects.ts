import pg from 'pg';
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

/** Parameters that only a superuser may set (`context` in `pg_settings`), of PostgreSQL 12 to 18. */
const SUPERUSER_PARAMETERS: ReadonlySet<string> = new Set(
  [
    'allow_in_place_tablespaces allow_system_table_mods backtrace_functions commit_delay compute_query_id deadlock_timeout',
    'debug_discard_caches dynamic_library_path event_triggers extension_control_path ignore_checksum_failure jit_dump_bitcode',
    'lc_messages lo_compat_privileges log_duration log_error_verbosity log_executor_stats log_lock_failures log_lock_waits',
    'log_min_duration_sample log_min_duration_statement log_min_error_statement log_min_messages log_parameter_max_length',
    'log_parser_stats log_planner_stats log_replication_commands log_statement log_statement_sample_rate log_statement_stats',
    'log_temp_files log_transaction_sample_rate max_stack_depth session_preload_libraries session_replication_role',
    'temp_file_limit track_activities track_cost_delay_timing track_counts track_functions track_io_timing',
    'track_wal_io_timing update_process_title wal_compression wal_consistency_checking wal_init_zero wal_recycle',
    'zero_damaged_pages',
  ].flatMap((line) => line.split(' ')),
);

/** An object that a login without rights cannot restore, and why, in words. */
export interface RefusedObject {
  readonly object: string;
  readonly because: string;
}

/**
 * Objects that PostgreSQL refuses to every role but a superuser. The server decides in the end: this says it beforehand.
 */
export function refusedObjects(toc: ArchiveToc): readonly RefusedObject[] {
  const { byLogin, servers } = partsOf(toc);
  const context: Context = {
    types: new Set(byLogin.filter(({ kind }) => OWN_TYPES.test(kind)).flatMap(spellings)),
    ofFiles: servers
      .filter(({ definition }) => / FOREIGN DATA WRAPPER file_fdw\b/.test(definition))
      .map(({ tag }) => `\nSERVER ${spelling(tag)}\n`),
  };
  return byLogin.flatMap((entry) => {
    const because = reasonFor(entry, context);
    return because === null ? [] : [{ object: nameOf(entry), because }];
  });
}

/** The first of them, in words. */
export function namedObjects(refused: readonly RefusedObject[]): string {
  return summarize(refused.map(({ object, because }) => `${object} (${because})`));
}

/** What the dump has of its own: an object may be refused because of another one. */
interface Context {
  /** Types that belong to the login, as definitions spell them. */
  readonly types: ReadonlySet<string>;
  /** As foreign tables name servers of file_fdw. */
  readonly ofFiles: readonly string[];
}

const OWN_TYPES = /^(?:TYPE|SHELL TYPE|DOMAIN|TABLE|VIEW|MATERIALIZED VIEW|FOREIGN TABLE)$/;

/** One that was announced and never defined. */
const SHELL_TYPE = /^CREATE TYPE (?:"(?:[^"]|"")*"|[^\s;"(]){1,300};\s*$/;

function reasonFor({ kind, definition }: TocEntry, { types, ofFiles }: Context): string | null {
  if (SUPERUSER_KINDS.has(kind)) return 'only a superuser may make one';
  switch (kind) {
    case 'FUNCTION':
    case 'PROCEDURE':
      return reasonForFunction(definition);
    case 'TYPE':
      if (SHELL_TYPE.test(definition)) return 'a shell type';
      return /^CREATE TYPE \S+ \(\n {4}INTERNALLENGTH = /.test(definition) ? 'a base type' : null;
    case 'CAST':
      return reasonForCast(definition, types);
    case 'AGGREGATE':
      return /\n {4}(?:STYPE|MSTYPE) = internal\b/.test(definition) ? 'its state is of type internal' : null;
    case 'FOREIGN TABLE':
      return ofFiles.some((server) => definition.includes(server)) ? 'a file or program of the host' : null;
    default:
      return null;
  }
}

function reasonForFunction(definition: string): string | null {
  const [, language = '', attributes = ''] = LANGUAGE.exec(definition) ?? [];
  if (UNTRUSTED.test(language)) return `language ${language}`;
  if (/\bLEAKPROOF\b/.test(attributes.replaceAll(/"(?:[^"]|"")*"/g, ''))) return 'leakproof';
  const [head = ''] = definition.split(/\n {4}AS |\n {4}BEGIN ATOMIC\b/, 1);
  const parameter = [...head.matchAll(/\n {4}SET "?([\w.]+)"? TO /g)].find(([, name = '']) =>
    SUPERUSER_PARAMETERS.has(name),
  );
  return parameter === undefined ? null : `sets ${parameter[1]}`;
}

/** One of the two types has to be the login's own. */
function reasonForCast(definition: string, types: ReadonlySet<string>): string | null {
  const parts = /^CREATE CAST \((.*) AS (.*)\) WITH(?:OUT)? (FUNCTION|INOUT)/s.exec(definition);
  if (parts === null) return null;
  if (/\) WITHOUT FUNCTION/.test(definition)) return 'a cast without a function';
  return [parts[1], parts[2]].some((type) => types.has(type ?? '')) ? null : 'a cast between types of others';
}

/** A name as pg_dump writes it: in quotes where it needs them, which for a word of SQL's it does, too. */
function spellings({ schema, tag }: TocEntry): readonly string[] {
  return [schema, pg.escapeIdentifier(schema)].flatMap((place) => [
    `${place}.${tag}`,
    `${place}.${pg.escapeIdentifier(tag)}`,
  ]);
}

function spelling(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : pg.escapeIdentifier(name);
}
