import type { TableCount } from '../../../domain/backup/backup.js';
import { RepriseError } from '../../../domain/errors.js';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EngineContext } from '../../engine.js';
import { readingArgv } from '../encryption.js';
import type { SealedFile } from '../encryption.js';
import type { DumpManifest } from './manifest.js';
import { runToolJob } from '../../shared/run-tool-job.js';
import { LOGICAL_TOOLS } from '../tool-rules.js';
import { STALL_TIMEOUT_MS } from '../tools.js';

/**
 * Counts the rows of every `COPY` in what `pg_restore --data-only --file=-` prints, in constant memory. Quotes are
 * followed over line ends, because a name may hold a newline and whatever looks like SQL after it. One line of
 * output a table: rows, tab, the statement with its newlines and backslashes escaped; large objects as `n<tab>LO`.
 * A row of COPY's text format never holds a newline, so rows are lines (manual: COPY, Text Format).
 */
export const COUNT_COPY_ROWS = String.raw`
function follow_quotes(line,    at) {
  while ((at = match(line, quote == "" ? "['\"]" : quote)) > 0) {
    quote = quote == "" ? substr(line, at, 1) : ""
    line = substr(line, at + 1)
  }
}
data && $0 == "\\." { gsub(/\\/, "\\\\", statement); gsub(/\n/, "\\n", statement); print rows "\t" statement; data = 0; open = 0; next }
data { rows++; next }
!open && (/^--/ || /^\\/ || $0 == "") { next }
{
  statement = open ? statement "\n" $0 : $0
  open = 1
  follow_quotes($0)
  if (quote != "" || $0 !~ /;$/) next
  if (statement ~ /^COPY / && statement ~ / FROM stdin;$/) { data = 1; rows = 0; next }
  if (statement ~ /^SELECT pg_catalog\.lo_open\(/) largeObjects++
  open = 0
}
END { if (data || open) exit 3; print largeObjects + 0 "\tLO" }
`;

/** What a dump holds, counted in its own data. */
export interface DumpCounts {
  readonly tables: readonly TableCount[];
  readonly largeObjects: number;
}

const identifier = String.raw`("(?:[^"]|"")*"|[^"\s.(]+)`;
const copyStatement = new RegExp(`^COPY ${identifier}\\.${identifier}\\s`, 's');

/**
 * The command that reads every block of a dump, named as its last argument or given by stdin, and counts. The exit codes
 * of both sides of the pipe count.
 *
 * @throws never; its exit code tells whether it counted everything.
 */
function countingArgv(pgRestore: string): readonly string[] {
  const script = 'set -o pipefail; "$1" --data-only --file=- "${@:3}" | LC_ALL=C awk "$2"';
  return ['/bin/bash', '-c', script, 'count-rows', pgRestore, COUNT_COPY_ROWS];
}

/** Reads the counting command's output. */
export function parseCounts(database: string, output: string): DumpCounts {
  const tables: TableCount[] = [];
  let largeObjects: number | undefined;
  for (const line of output.split('\n')) {
    if (line === '') continue;
    const [count, statement] = [line.slice(0, line.indexOf('\t')), line.slice(line.indexOf('\t') + 1)];
    if (statement === 'LO') {
      largeObjects = Number(count);
      continue;
    }
    const match = copyStatement.exec(unescapeLine(statement));
    if (match === null) throw new RepriseError('internal', 'the dump holds a COPY statement of unknown form');
    tables.push({ database, schema: bareName(match[1]), table: bareName(match[2]), rows: Number(count) });
  }
  if (largeObjects === undefined) throw new RepriseError('backup-corrupt', 'counting the rows of the dump ended early');
  return { tables, largeObjects };
}

/** The partitioned table that the rows of a table belong to; itself for one that is no partition. */
export type RootOf = (table: Pick<TableCount, 'schema' | 'table'>) => Pick<TableCount, 'schema' | 'table'>;

/**
 * Differences between two counts, each in words; empty where there is none. A dump may be without the rows of unlogged
 * tables: one that is empty on one side and not there on the other is no difference.
 * @param rootOf counts of partitions are those of their root: rows may go there (`load-via-partition-root`, as for
 *   partitions by hash of an enum), and from there into other partitions than before
 */
export function compareCounts(
  recorded: readonly TableCount[],
  found: readonly TableCount[],
  rootOf: RootOf = (table) => table,
): readonly string[] {
  const left = new Map(ofRoots(found, rootOf).map((count) => [keyOf(count), count]));
  const differences: string[] = [];
  for (const count of ofRoots(recorded, rootOf)) {
    const there = left.get(keyOf(count));
    left.delete(keyOf(count));
    if (there === undefined) {
      if (!isEmptyUnlogged(count))
        differences.push(`table ${nameOf(count)} is missing, ${count.rows} rows were recorded`);
    } else if (there.rows !== count.rows)
      differences.push(`table ${nameOf(count)} holds ${there.rows} rows, ${count.rows} were recorded`);
  }
  for (const count of left.values())
    if (!isEmptyUnlogged(count)) differences.push(`table ${nameOf(count)} was not recorded`);
  return differences;
}

/** One count a table, whatever number of partitions it has. */
function ofRoots(counts: readonly TableCount[], rootOf: RootOf): readonly TableCount[] {
  const roots = new Map<string, TableCount>();
  for (const { unlogged, ...count } of counts) {
    const root = { ...count, ...rootOf(count) };
    const before = roots.get(keyOf(root));
    const isUnlogged = unlogged === true && (before === undefined || before.unlogged === true);
    roots.set(keyOf(root), {
      ...{ ...root, rows: root.rows + (before?.rows ?? 0) },
      ...(isUnlogged ? { unlogged: true } : {}),
    });
  }
  return [...roots.values()];
}

const isEmptyUnlogged = ({ unlogged, rows }: TableCount): boolean => unlogged === true && rows === 0;

const keyOf = (count: TableCount): string => `${count.schema}\0${count.table}`;
const nameOf = (count: TableCount): string => `${count.schema}.${count.table}`;

function bareName(quoted: string | undefined): string {
  if (quoted === undefined || !quoted.startsWith('"')) return quoted ?? '';
  return quoted.slice(1, -1).replaceAll('""', '"');
}

function unescapeLine(text: string): string {
  return text.replaceAll(/\\(n|\\)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : '\\'));
}

/**
 * Counts what a dump holds in its own data, reading every block of it; a job, as this may take as long as the dump.
 *
 * @param step names the job, so that counting for another end is counting again
 * @throws RepriseError with the reason pg_restore gives; `details.code` is its exit code where it ended by itself
 */
export async function countDump(
  context: EngineContext,
  step: string,
  { database, extensionTables }: Pick<DumpManifest, 'database' | 'extensionTables'>,
  file: SealedFile,
): Promise<DumpCounts> {
  const result = await runToolJob(context.jobs, LOGICAL_TOOLS, {
    step,
    tool: 'pg_restore',
    argv: await readingArgv(context, file, countingArgv(join(context.pgBin, 'pg_restore'))),
    onGone: 'restart',
    // What cannot be read once cannot be read again; only what was killed is worth another start.
    classifyExit: async ({ code }) => (code === null ? 'retry' : 'fail'),
    stallTimeoutMs: STALL_TIMEOUT_MS,
  });
  const counts = parseCounts(database, await readFile(result.stdout, 'utf8'));
  const isExtensions = (one: TableCount): boolean =>
    extensionTables.some(({ schema, table }) => schema === one.schema && table === one.table);
  return { ...counts, tables: counts.tables.filter((one) => !isExtensions(one)) };
}
