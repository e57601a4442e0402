import type { Config } from '../domain/config.js';
import type { DownResult, DownState } from '../domain/embedded-server.js';
import { stopProcess } from '../process/exec/background.js';
import { withHostLock } from '../process/jobs/file-lock.js';
import { isAlive } from '../process/exec/process-identity.js';
import type { ProcessIdentity } from '../process/exec/process-identity.js';
import { embeddedDirectory, readEmbeddedRecord, writeEmbeddedRecord } from './record.js';
import { stopTemporal } from './temporal-server.js';

/** A worker finishes what it is doing within its own grace time of 15 s. */
const WORKER_GRACE_MS = 30_000;

export interface DownOptions {
  readonly config: Config;
  readonly dryRun: boolean;
  readonly report: (line: string) => void;
}

/**
 * Stops the worker, then the embedded Temporal server. Jobs (running backups, restores) are left alone: they go on, and
 * the next `up` takes them up. Nothing is deleted.
 */
export async function down({ config, dryRun, report }: DownOptions): Promise<DownResult> {
  const record = await readEmbeddedRecord(config);
  if (record === null) return { temporal: 'not-running', worker: 'not-running' };
  if (dryRun) {
    const would = async (process: ProcessIdentity | null): Promise<DownState> =>
      process !== null && (await isAlive(process)) ? 'would-stop' : 'not-running';
    return { temporal: await would(record.temporal), worker: await would(record.worker) };
  }
  const stop = async (): Promise<DownResult> => {
    // Read again: another `up` or `down` may have been at it until we had the lock.
    const current = (await readEmbeddedRecord(config)) ?? record;
    const worker = await stopped(current.worker, 'the worker', report, (process) =>
      stopProcess(process, WORKER_GRACE_MS),
    );
    const temporal = await stopped(current.temporal, 'the embedded Temporal server', report, stopTemporal);
    await writeEmbeddedRecord(config, { ...current, temporal: null, worker: null });
    return { temporal, worker };
  };
  return withHostLock(await embeddedDirectory(config), 'up', 'exclusive', stop, { key: 'down', tool: 'reprise down' });
}

async function stopped(
  process: ProcessIdentity | null,
  what: string,
  report: (line: string) => void,
  stop: (process: ProcessIdentity) => Promise<void>,
): Promise<DownState> {
  if (process === null || !(await isAlive(process))) return 'not-running';
  report(`stopping ${what}`);
  await stop(process);
  return 'stopped';
}
