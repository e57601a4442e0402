import type { TableCount } from '../../../domain/backup/backup.js';
import { RepriseError } from '../../../domain/errors.js';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EngineContext } from '../../engine.js';
import { tailOfFile } from '../../../files/tail.js';
import { asUser } from '../../../process/exec/users.js';
import { textDecoder } from '../../../postgres/content/encoding.js';
import { tocOf } from '../archive/read-toc.js';
import { readingArgv } from '../encryption.js';
import type { SealedFile } from '../encryption.js';
import type { DumpManifest } from './manifest.js';
import { runToolJob } from '../../shared/run-tool-job.js';
import { LOGICAL_TOOLS } from '../tool-rules.js';
import { STALL_TIMEOUT_MS } from '../tools.js';

/** What a dump holds, counted in its own data. */
export interface DumpCounts {
  readonly tables: readonly TableCount[];
  readonly largeObjects: number;
}

/** Of the counter's lines, those that say how many bytes it has read. */
const PROGRESS = 'BYTES';
const identifier = String.raw`("(?:[^"]|"")*"|[^"\s.(]+)`;
const copyStatement = new RegExp(`^COPY ${identifier}\\.${identifier}\\s`, 's');

/** Reads the counting command's output. */
export function parseCounts(database: string, output: string): DumpCounts {
  const tables: TableCount[] = [];
  let largeObjects: number | undefined;
  for (const line of output.split('\n')) {
    if (line === '') continue;
    const [count, statement] = [line.slice(0, line.indexOf('\t')), line.slice(line.indexOf('\t') + 1)];
    if (statement === PROGRESS) continue;
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

/** Names are bytes in the dump's encoding, which its table of contents says. */
async function countsIn(
  context: EngineContext,
  database: string,
  output: string,
  file: SealedFile,
): Promise<DumpCounts> {
  const counts = parseCounts(database, output);
  const decode = textDecoder((await tocOf(context, file)).encoding);
  const read = (name: string): string => decode(Buffer.from(name, 'latin1'));
  return {
    ...counts,
    tables: counts.tables.map((one) => ({ ...one, schema: read(one.schema), table: read(one.table) })),
  };
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
  { database, extensionTables, dump }: Pick<DumpManifest, 'database' | 'extensionTables' | 'dump'>,
  file: SealedFile,
): Promise<DumpCounts> {
  let read = 0;
  const readAll = [join(context.pgBin, 'pg_restore'), '--data-only', '--file=-'];
  const result = await runToolJob(context.jobs, LOGICAL_TOOLS, {
    step,
    tool: 'pg_restore',
    // The program runs as the user who may read the dump, the counter as the one who may read our programs.
    argv: [...context.rowCounter, ...asUser(context.user, await readingArgv(context, file, readAll))],
    env: { MALLOC_ARENA_MAX: '2' },
    user: 'worker',
    onGone: 'restart',
    // A dump that was made again is counted again.
    resultIn: async () => dump.sha256,
    // What cannot be read once cannot be read again; only what was killed is worth another start.
    classifyExit: async ({ code }) => (code === null ? 'retry' : 'fail'),
    progress: async ({ stdout }) => ({
      phase: `reading ${database}`,
      done: (read = Math.max(read, bytesRead(await tailOfFile(stdout)))),
      unit: 'bytes',
    }),
    stallTimeoutMs: STALL_TIMEOUT_MS,
  });
  const counts = await countsIn(context, database, await readFile(result.stdout, 'latin1'), file);
  const isExtensions = (one: TableCount): boolean =>
    extensionTables.some(({ schema, table }) => schema === one.schema && table === one.table);
  return { ...counts, tables: counts.tables.filter((one) => !isExtensions(one)) };
}

function bytesRead(output: string): number {
  return Number([...output.matchAll(/^(\d+)\tBYTES$/gm)].at(-1)?.[1] ?? 0);
}
