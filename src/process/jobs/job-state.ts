/** What the files of a job say, read anew each time: the only truth, shared by every attempt on this host. */
import { readdir, readFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import type { JobView } from '../../domain/operation/progress.js';
import type { GenerationPaths } from './job-paths.js';
import { generationPaths } from './job-paths.js';
import type { ExitRecord, JobRecord, PidRecord, VerdictRecord } from './job-record.js';
import { readExit, readPid, readJobRecord, readVerdict } from './job-record.js';
import { isAlive } from '../exec/process-identity.js';

interface Generation {
  readonly generation: number;
  readonly paths: GenerationPaths;
  /** How often the tool was started under this key: generations with a pid record. */
  readonly starts: number;
  readonly record: JobRecord | null;
}

export type JobState =
  /** Nothing is recorded, or nothing readable. */
  | (Generation & { readonly kind: 'none' })
  /** Recorded, never started. */
  | (Generation & { readonly kind: 'recorded' })
  /** The tool lives, or the wrapper is about to write how it ended. */
  | (Generation & { readonly kind: 'running'; readonly pid: PidRecord })
  | (Generation & {
      readonly kind: 'ended';
      readonly pid: PidRecord | null;
      readonly exit: ExitRecord;
      readonly verdict: VerdictRecord | null;
    })
  /** Started, no longer alive, and nobody wrote how it ended: killed together with its wrapper, or another boot. */
  | (Generation & { readonly kind: 'gone'; readonly pid: PidRecord | null; readonly verdict: VerdictRecord | null });

export async function readJobState(jobDirectory: string): Promise<JobState> {
  const names = await readdir(jobDirectory).catch(() => [] as string[]);
  const generations = names.filter((name) => /^[1-9]\d*$/.test(name)).map(Number);
  const started = generations.filter((one) => existsSync(generationPaths(jobDirectory, one).pid));
  const generation = Math.max(1, ...generations);
  const paths = generationPaths(jobDirectory, generation);
  const common = { generation, paths, starts: started.length, record: await readJobRecord(paths.record) };

  const ended = await readEnding(common);
  if (ended !== null) return ended;
  if (!started.includes(generation)) {
    // The launcher may have written its record since the directory was listed.
    if (existsSync(paths.pid)) return readJobState(jobDirectory);
    return { ...common, kind: common.record === null ? 'none' : 'recorded' };
  }
  const pid = await readPid(paths.pid);
  if (pid !== null && ((await isAlive(pid)) || (await isAlive({ ...pid.wrapper, bootId: pid.bootId })))) {
    return { ...common, kind: 'running', pid };
  }
  // The exit record is the last thing a wrapper writes: now that both are dead, its absence is final.
  return (await readEnding(common)) ?? { ...common, kind: 'gone', pid, verdict: await readVerdict(paths.verdict) };
}

/** How often the tool was started up to a generation, without the starts that failed for a reason that passes. */
export async function countedStarts(jobDirectory: string, generation: number): Promise<number> {
  const all = Array.from({ length: generation }, (_, index) => generationPaths(jobDirectory, index + 1));
  const started = all.filter((paths) => existsSync(paths.pid));
  const verdicts = await Promise.all(started.map((paths) => readVerdict(paths.verdict)));
  return verdicts.filter((verdict) => verdict?.reason !== 'passing').length;
}

async function readEnding(common: Generation): Promise<JobState | null> {
  const exit = await readExit(common.paths.exit);
  if (exit === null) return null;
  const { paths } = common;
  return { ...common, kind: 'ended', exit, pid: await readPid(paths.pid), verdict: await readVerdict(paths.verdict) };
}

/** The job as `status` shows it. */
export async function viewOf(
  jobDirectory: string,
  state: JobState,
  names: { key: string; tool: string },
): Promise<JobView> {
  return {
    key: names.key,
    tool: names.tool,
    pid: state.kind === 'running' ? state.pid.pid : null,
    attempts: await countAttempts(jobDirectory),
    starts: state.starts,
    state: viewState(state),
  };
}

function viewState(state: JobState): JobView['state'] {
  switch (state.kind) {
    case 'none':
    case 'recorded':
      return 'recorded';
    case 'running':
      return 'running';
    case 'gone':
      return 'gone';
    case 'ended':
      if (state.verdict !== null) return state.verdict.verdict === 'ok' ? 'succeeded' : 'failed';
      return state.exit.code === 0 ? 'succeeded' : 'failed';
  }
}

async function countAttempts(jobDirectory: string): Promise<number> {
  const lines = await readFile(`${jobDirectory}/attempts`, 'utf8').catch(() => '');
  return lines.split('\n').length - 1;
}
