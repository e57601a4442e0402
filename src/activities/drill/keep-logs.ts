import { logExcerpt } from '../../files/log-excerpt.js';
import { safeFileName } from '../../files/safe-names.js';
import { withoutStatements } from '../../postgres/server/log-lines.js';
import { scratchServerLog } from '../../postgres/server/scratch-cluster.js';
import { type JobLog, jobLogs } from '../../process/jobs/supervisor.js';
import { type DrillWork, restoreOperation } from './staging.js';

/**
 * Runs a step of a restore, and keeps what its tools printed and what the server of staging logged for the evidence, also where the
 * step fails: the next restore empties the place. Kept again, it is the same with what came since.
 */
export async function keepingLogs<T>(work: DrillWork, restore: number, step: () => Promise<T>): Promise<T> {
  let result: T;
  try {
    result = await step();
  } catch (error) {
    // Why the step failed is more than a log that cannot be kept.
    await keepLogs(work, restore).catch(() => undefined);
    throw error;
  }
  await keepLogs(work, restore);
  return result;
}

async function keepLogs(work: DrillWork, restore: number): Promise<void> {
  const { folder, place, clusterContext } = work;
  const { stateDir } = clusterContext.host;
  const into = `logs/restore-${restore + 1}`;
  const operation = restoreOperation(work, restore);
  for (const [prefix, id] of [
    ['', operation],
    ['dump-again-', `${operation}/dump-again`],
  ] as const)
    for (const log of await jobLogs(stateDir, id)) {
      const text = await toolLog(log);
      if (text !== null) await folder.keepText(`${into}/${prefix}${fileOf(log)}`, text);
    }
  const server = await logExcerpt(scratchServerLog(place.dataDir), withoutStatements);
  if (server !== '') await folder.keepText(`${into}/server.txt`, `${server}\n`);
}

/** The command, what it printed, and how it ended; null for one that was never started. */
async function toolLog({ record, exitCode, files }: JobLog): Promise<string | null> {
  if (record === null) return null;
  const printed = await Promise.all(files.map((file) => logExcerpt(file)));
  return [
    `$ ${record.argv.join(' ')}`,
    ...printed.filter((text) => text !== ''),
    exitCode === null ? 'its end was not recorded' : `ended with ${exitCode}`,
    '',
  ].join('\n');
}

/** Of a job's start, without the digest of its plan. */
function fileOf({ step, generation }: JobLog): string {
  return `${plain(step.replace(/@.*$/, ''))}-${generation}.txt`;
}

/** Name of a check's log, below that of its restore; names of checks may hold letters of any language. */
export function checkLog(name: string): string {
  return `check-${plain(safeFileName(name))}.txt`;
}

/** Names of files of the evidence are plain: safe ones that are not begin and go on with a `~`. */
const plain = (name: string): string => name.replace(/^~/, '').replaceAll('~', '-');
