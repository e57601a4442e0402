import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TableCount } from '../../domain/backup/backup.js';
import type { EngineContext } from '../engine.js';
import { countingArgv, parseCounts } from './copy-counts.js';
import type { DumpCounts } from './copy-counts.js';
import { readingArgv } from './encryption.js';
import type { SealedFile } from './encryption.js';
import type { DumpManifest } from './manifest.js';
import { runToolJob } from '../shared/run-tool-job.js';
import { LOGICAL_TOOLS } from './tool-rules.js';
import { STALL_TIMEOUT_MS } from './tools.js';

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
