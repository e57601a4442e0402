import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EngineContext } from '../engine.js';
import { countingArgv, parseCounts } from './copy-counts.js';
import type { DumpCounts } from './copy-counts.js';
import { runJudged } from './judged-job.js';
import { STALL_TIMEOUT_MS } from './tools.js';

/**
 * Counts what a dump holds in its own data, reading every block of it; a job, as this may take as long as the dump.
 *
 * @param step names the job, so that counting for another end is counting again
 * @throws RepriseError with the reason pg_restore gives
 */
export async function countDump(context: EngineContext, step: string, database: string, key: string): Promise<DumpCounts> {
  const result = await runJudged(context.jobs, {
    step,
    tool: 'pg_restore',
    argv: countingArgv(join(context.pgBin, 'pg_restore'), context.storage.localPath(key)),
    onGone: 'restart',
    cleanUp: async () => undefined,
    stallTimeoutMs: STALL_TIMEOUT_MS,
  });
  return parseCounts(database, await readFile(result.stdout, 'utf8'));
}
