import { readdir, stat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JobView } from '../../domain/operation/progress.js';
import { isErrno } from '../../files/paths.js';
import { removeTree } from '../../files/remove-tree.js';
import { safeFileName } from '../../files/safe-names.js';
import type { HeldLock } from './file-lock.js';
import { tryLock } from './file-lock.js';
import { DEFAULT_GRACE_MS, recordVerdict } from './job.js';
import { generationPaths, jobsDirectory, operationDirectory } from './job-paths.js';
import type { JobRecord } from './job-record.js';
import { readExit, readJobRecord } from './job-record.js';
import type { JobState } from './job-state.js';
import { readJobState, viewOf } from './job-state.js';
import { identify } from '../exec/process-identity.js';
import { stopProcess } from '../exec/background.js';
import { endSession, JOB_MARK } from '../exec/process-session.js';

const WRAPPER_POLL_MS = 20;

/** The jobs of an operation on this host, by key; none where it has none here. */
export async function readJobs(stateDir: string, operationId: string): Promise<JobView[]> {
  const found = await jobsIn(operationDirectory(stateDir, operationId));
  const views = await Promise.all(
    found.map(async ({ directory, state }) => {
      const names = state.record ?? ('pid' in state ? state.pid : null);
      return names === null ? null : await viewOf(directory, state, names);
    }),
  );
  return views.filter((view) => view !== null).sort((a, b) => a.key.localeCompare(b.key));
}

/** Files with what the tools of a step printed to stderr, each generation's of every retry; empty where nothing was started here. */
export async function stepErrors(stateDir: string, operationId: string, step: string): Promise<readonly string[]> {
  const directory = operationDirectory(stateDir, operationId);
  const own = safeFileName(step);
  const jobs = (await namesIn(directory)).filter((name) => name === own || name.startsWith(`${own}.again-`));
  const generations = await Promise.all(
    jobs.map(async (job) =>
      (await namesIn(join(directory, job)))
        .filter((name) => /^[1-9]\d*$/.test(name))
        .map((generation) => generationPaths(join(directory, job), Number(generation)).stderr),
    ),
  );
  return generations.flat();
}

/** What one start of a tool left. */
export interface JobLog {
  /** Name of its folder: the step, with what tells its plan or retry apart. */
  readonly step: string;
  readonly generation: number;
  /** Null where nobody recorded it. */
  readonly record: JobRecord | null;
  /** Null: still running, or nobody wrote how it ended. */
  readonly exitCode: number | null;
  /** Files with what it printed: stderr, and stdout only where that is a log and no data. */
  readonly files: readonly string[];
}

/** What the tools of an operation printed, by step and start. */
export async function jobLogs(stateDir: string, operationId: string): Promise<readonly JobLog[]> {
  const directory = operationDirectory(stateDir, operationId);
  const logs: JobLog[] = [];
  for (const step of (await namesIn(directory)).sort()) {
    const generations = (await namesIn(join(directory, step))).filter((name) => /^[1-9]\d*$/.test(name)).map(Number);
    for (const generation of generations.sort((left, right) => left - right)) {
      const { record: file, exit, stdout, stderr } = generationPaths(join(directory, step), generation);
      const record = await readJobRecord(file);
      const exitCode = (await readExit(exit))?.code ?? null;
      logs.push({ step, generation, record, exitCode, files: record?.logsOnStdout ? [stdout, stderr] : [stderr] });
    }
  }
  return logs;
}

/**
 * Removes the job files of operations that are finished and untouched for `olderThanMs`; never those of a job that
 * lives. Returns the operations removed.
 * @param isFinished asked with the operation id; the records must stay while a Reset or retry may look for them
 */
export async function pruneJobs(
  stateDir: string,
  olderThanMs: number,
  isFinished: (operationId: string) => boolean | Promise<boolean>,
): Promise<string[]> {
  const pruned: string[] = [];
  for (const name of await namesIn(jobsDirectory(stateDir))) {
    const directory = join(jobsDirectory(stateDir), name);
    const jobs = await jobsIn(directory);
    const operationId = jobs.find(({ state }) => state.record !== null)?.state.record?.operationId;
    // Nobody can be asked about files that say not whose they are: those stay for a human.
    if (operationId === undefined || !(await isOld(jobs, olderThanMs)) || !(await isFinished(operationId))) continue;
    if (await removeIdle(directory, jobs)) pruned.push(operationId);
  }
  return pruned;
}

/**
 * Ends what runs of an operation that was cancelled when no attempt was there to end it. That it was cancelled is recorded
 * first: a tool that then still ends with 0 does not count.
 */
export async function endJobsOf(stateDir: string, operationId: string): Promise<void> {
  for (const { directory, state: found } of await jobsIn(operationDirectory(stateDir, operationId)))
    for (let state = found; state.kind === 'running'; state = await readJobState(directory)) {
      await recordVerdict(state, 'retry', 'cancelled');
      await endSession(state.pid, state.paths.directory, DEFAULT_GRACE_MS);
      // Its wrapper has still to write how it ended.
      await sleep(WRAPPER_POLL_MS);
    }
}

/** Operations of this host with a job that lives, or that any attempt touched within `withinMs`. */
export async function operationsInUse(stateDir: string, withinMs: number): Promise<ReadonlySet<string>> {
  const inUse = new Set<string>();
  for (const name of await namesIn(jobsDirectory(stateDir))) {
    const jobs = await jobsIn(join(jobsDirectory(stateDir), name));
    const operationId = jobs.find(({ state }) => state.record !== null)?.state.record?.operationId;
    if (
      operationId !== undefined &&
      (jobs.some(({ state }) => state.kind === 'running') || !(await isOld(jobs, withinMs)))
    )
      inUse.add(operationId);
  }
  return inUse;
}

interface Found {
  readonly directory: string;
  readonly state: JobState;
}

async function jobsIn(directory: string): Promise<Found[]> {
  const names = await namesIn(directory);
  const paths = names.map((name) => join(directory, name));
  return Promise.all(paths.map(async (path) => ({ directory: path, state: await readJobState(path) })));
}

async function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  });
}

/** Every attempt writes a line and every generation makes files: both change a directory's or file's time. */
async function isOld(jobs: readonly Found[], olderThanMs: number): Promise<boolean> {
  const touched = await Promise.all(
    jobs.flatMap(({ directory, state }) =>
      [directory, join(directory, 'attempts'), state.paths.directory].map(modifiedAt),
    ),
  );
  return Math.max(...touched) < Date.now() - olderThanMs;
}

async function modifiedAt(path: string): Promise<number> {
  return stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
}

/** With every job's lock, so that no attempt begins in what is being removed; false where one is held. */
async function removeIdle(directory: string, jobs: readonly Found[]): Promise<boolean> {
  const locks: HeldLock[] = [];
  try {
    for (const job of jobs) {
      const lock = await tryLock(join(job.directory, 'lock'), 'exclusive', { key: job.directory, tool: 'pruning' });
      if (lock === null) return false;
      locks.push(lock);
    }
    await removeTree(directory);
    return true;
  } finally {
    for (const lock of locks) await lock.release();
  }
}

/** Ends every living process that carries the mark of a job below `directory`. Returns how many there were. */
export async function endJobsBelow(directory: string): Promise<number> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const marked = await Promise.all(
    pids.map(async (pid) => ((await isMarked(pid, directory)) ? await identify(pid) : null)),
  );
  const found = marked.filter((identity) => identity !== null);
  await Promise.all(found.map((identity) => stopProcess(identity, 3_000)));
  return found.length;
}

async function isMarked(pid: number, directory: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  return environment.split('\0').some((entry) => entry.startsWith(`${JOB_MARK}=${directory}/`));
}
