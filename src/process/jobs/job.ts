import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Progress, JobView } from '../../domain/operation/progress.js';
import { RepriseError } from '../../domain/errors.js';
import { createFileAtomic } from '../../files/atomic-file.js';
import { makePrivateDirectory } from '../../files/directories.js';
import type { HeldLock } from './file-lock.js';
import { lockHolders, tryLock } from './file-lock.js';
import { jobDirectory, jobKey } from './job-paths.js';
import type { PidRecord, VerdictRecord } from './job-record.js';
import type { JobState } from './job-state.js';
import { readJobState, viewOf } from './job-state.js';
import type { JobRequest, JobsContext } from './jobs.js';
import { endSession } from '../exec/process-session.js';

export const DEFAULT_GRACE_MS = 10_000;
const LOCK_POLL_MS = 20;
const UNKNOWN_HOLDER_MS = 60_000;
const REPORT_MS = 1_000;

export type Ended = Extract<JobState, { kind: 'ended' }>;

/** One attempt's handle on a job: its files, its lock, and what is told about it. */
export class Job {
  readonly key: string;
  readonly tool: string;
  readonly directory: string;
  readonly lockPath: string;
  private progress: Progress | undefined;
  private view: JobView | undefined;
  private timer: NodeJS.Timeout | undefined;
  private unknownHolderSince: number | undefined;

  constructor(
    readonly context: JobsContext,
    readonly request: JobRequest,
  ) {
    const { stateDir, operationId, planDigest } = context;
    this.key = jobKey(operationId, request.step, planDigest);
    this.tool = request.tool;
    this.directory = jobDirectory(stateDir, operationId, request.step, planDigest);
    this.lockPath = join(this.directory, 'lock');
  }

  /** Counts this attempt and begins to report every second, whatever it waits for, until `close`. */
  async open(): Promise<void> {
    await makePrivateDirectory(this.directory);
    await appendFile(join(this.directory, 'attempts'), `${new Date().toISOString()} ${process.pid}\n`, { mode: 0o600 });
    this.timer = setInterval(() => this.report(), REPORT_MS);
  }

  close(): void {
    clearInterval(this.timer);
  }

  async read(): Promise<JobState> {
    const state = await readJobState(this.directory);
    const first = this.view === undefined;
    const before = this.view?.state;
    this.view = await viewOf(this.directory, state, this);
    if (first || before !== this.view.state) this.report();
    return state;
  }

  /** Progress for the reports that follow. */
  setProgress(progress: Progress | undefined): void {
    this.progress = progress;
  }

  private report(): void {
    if (this.view === undefined) return;
    try {
      this.context.report(this.progress, this.view);
    } catch {
      // Nobody listens any more: no reason to stop watching a tool.
    }
  }

  /**
   * The right to decide about this job, which wrapper and tool hold while they live; null after a short wait where
   * another has it.
   * @throws RepriseError `tool-failed` where it is held for a minute by nobody we know
   */
  async takeLock(): Promise<HeldLock | null> {
    const lock = await tryLock(this.lockPath, 'exclusive', { key: this.key, tool: `an attempt at ${this.tool}` });
    if (lock !== null || (await lockHolders(this.lockPath)).length > 0) {
      this.unknownHolderSince = undefined;
    } else {
      this.unknownHolderSince ??= performance.now();
      if (performance.now() - this.unknownHolderSince > UNKNOWN_HOLDER_MS) {
        throw new RepriseError(
          'tool-failed',
          `the lock of ${this.tool} is held by a process that Reprise does not know`,
          `Find it with \`fuser ${this.lockPath}\`, and end it if it was started by the tool.`,
          { key: this.key },
        );
      }
    }
    if (lock === null) await sleep(LOCK_POLL_MS);
    return lock;
  }

  decide(state: JobState, verdict: VerdictRecord['verdict'], reason: VerdictRecord['reason']): Promise<void> {
    return recordVerdict(state, verdict, reason);
  }

  /** Writes the exit record that a dead wrapper no longer could, for a tool whose result is there. */
  async assumeSuccess(state: JobState): Promise<void> {
    await createFileAtomic(state.paths.exit, `${JSON.stringify({ code: 0, finishedAt: new Date().toISOString() })}\n`);
  }

  /** Ends the tool and all that it started; returns when nothing of it lives. */
  async end(pid: PidRecord, state: JobState): Promise<void> {
    await endSession(pid, state.paths.directory, this.context.graceMs ?? DEFAULT_GRACE_MS);
  }
}

/** Records what an ending means. The first verdict counts, because what follows from it may be done already. */
export async function recordVerdict(
  { paths }: JobState,
  verdict: VerdictRecord['verdict'],
  reason: VerdictRecord['reason'],
): Promise<void> {
  await createFileAtomic(paths.verdict, `${JSON.stringify({ verdict, reason, at: new Date().toISOString() })}\n`);
}

type Succeeded = Ended & { readonly verdict: { readonly verdict: 'ok' } };

/** Whether the job's outcome is settled for good. */
export function hasSucceeded(state: JobState): state is Succeeded {
  return state.kind === 'ended' && state.verdict?.verdict === 'ok';
}
