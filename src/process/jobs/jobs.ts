import type { JobView, Progress } from '../../domain/operation/progress.js';

/** Operating-system user a tool runs as; null = the worker's own. Root drops to the data directory's owner. */
export interface OsUser {
  readonly uid: number;
  readonly gid: number;
  readonly name: string;
  readonly home: string;
}

export interface JobLock {
  /** File below the host's state directory; held by the wrapper with `flock` for as long as the tool lives. */
  readonly name: string;
  readonly mode: 'shared' | 'exclusive';
}

/** A tool that may run long, described so that any later attempt of the same step describes it identically. */
export interface JobRequest {
  /** Step name; the job's key is operation id + step (+ plan digest), never a run id or an activity id. */
  readonly step: string;
  /** What people call it, e.g. `pg_dump`. */
  readonly tool: string;
  /** `argv[0]` is the program. It must hold no secret: the record keeps it. */
  readonly argv: readonly string[];
  /** Added to a minimal environment; no secret either: use files (`PGPASSFILE`). */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** `inherit` (default): as the host's job user; `worker`: as the worker's own; a user: as that one. */
  readonly user?: OsUser | 'inherit' | 'worker';
  readonly locks?: readonly JobLock[];
  /**
   * What to do when the tool is gone without an exit record or its failure is recorded: `restart` runs `cleanUp` and
   * starts again; `resume` starts the same command again, which continues with the files that are there (`--delta`).
   */
  readonly onGone: 'restart' | 'resume';
  /**
   * Whether the tool's whole result is there. Asked where its wrapper died, so that nobody recorded how it ended: work
   * that is complete is not repeated.
   */
  readonly resultIsThere?: () => Promise<boolean>;
  /**
   * Whether what the tool made was removed since. Asked of a success recorded before this attempt, not of one that this
   * attempt watched: the tool is then started again, as after a failure.
   */
  readonly resultIsGone?: () => Promise<boolean>;
  /**
   * What the result is put into, such as the OID of a database: asked before each start, and recorded. A success that was
   * recorded before this attempt is believed only where it is still the same.
   */
  readonly resultIn?: () => Promise<string>;
  /** Run before the tool is started for the first time; idempotent. */
  readonly prepare?: () => Promise<void>;
  /** Removes partial output before a restart and after cancellation; idempotent. */
  readonly cleanUp?: () => Promise<void>;
  /** What an exit means; default: 0 is `ok`, all else `retry`. */
  readonly classifyExit?: (exit: JobExit) => Promise<JobExitClass>;
  /** Reads how far the tool is (size of a file, lines of a log). A change of `done` counts as a sign of life. */
  readonly progress?: (paths: JobPaths) => Promise<Progress | undefined>;
  /** Killed after so many milliseconds without a sign of life: growth of stdout, stderr or `progress`. */
  readonly stallTimeoutMs?: number;
  /**
   * For a tool that writes no files itself: it is ended (SIGXFSZ) where its stdout or stderr would become longer. Those whose output
   * others can make as long as they like need it.
   */
  readonly mostOutputBytes?: number;
  /** Its stdout is a log like its stderr. Absent: it may hold data, and is quoted nowhere. */
  readonly logsOnStdout?: true;
  /** Most generations under this key, without those that failed for a passing reason; default 3. */
  readonly maxStarts?: number;
  /**
   * For a tool that runs for ever: where the configuration was changed, and it runs with another command, environment or
   * user than these, it is ended and started again. Absent: a running tool is left running.
   */
  readonly restartsOnChange?: true;
  /** Once aborted, `run` stops watching, leaves the tool running and throws the signal's reason. */
  readonly detachSignal?: AbortSignal;
}

/**
 * `retry`: another start may help; `passing`: the same, for a reason outside of the tool that passes (its server restarts), and the
 * start does not count towards `maxStarts`; `fail`: nothing is started under this key any more.
 */
export type JobExitClass = 'ok' | 'retry' | 'passing' | 'fail';

export interface JobPaths {
  readonly directory: string;
  readonly stdout: string;
  readonly stderr: string;
}

export interface JobExit extends JobPaths {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface JobResult extends JobExit {
  readonly key: string;
  readonly starts: number;
  readonly startedAt: string;
  readonly finishedAt: string;
  /** False when this attempt started the tool, true when it found it running or ended. */
  readonly attached: boolean;
}

/** The supervisor's handle for one operation: knows its key prefix, user, locks, cancellation and heartbeat. */
export interface Jobs {
  run(request: JobRequest): Promise<JobResult>;
}

/** How an attempt is told to end. */
export interface Aborting {
  readonly signal: AbortSignal;
  /** Where `signal` is aborted: true where a later attempt goes on with what is there, as when the worker shuts down. */
  readonly leaveOnAbort: () => boolean;
}

/** Whether the operation was cancelled: no attempt goes on with what it has begun, so that this one takes it away. */
export const isCancelled = ({ signal, leaveOnAbort }: Aborting): boolean => signal.aborted && !leaveOnAbort();

/** Whether this attempt leaves what it has begun to a later one. */
export const isLeaving = ({ signal, leaveOnAbort }: Aborting): boolean => signal.aborted && leaveOnAbort();

/** What binds a {@link Jobs} handle to an operation. */
export interface JobsContext extends Aborting {
  readonly stateDir: string;
  readonly operationId: string;
  /** Set for destructive steps: part of the key. */
  readonly planDigest?: string;
  /** Part of the key from 1 on: a person had a step tried again whose jobs had failed for good. */
  readonly retry?: number;
  readonly user: OsUser | null;
  /** Locks that every job of this operation holds, e.g. the cluster's. */
  readonly locks?: readonly JobLock[];
  /** Called at least every 2 s while a job is watched. */
  readonly report: (progress: Progress | undefined, job: JobView) => void;
  /** Time a tool has between SIGTERM and SIGKILL when it is cancelled or stalled; default 10,000. */
  readonly graceMs?: number;
}
