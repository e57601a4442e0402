import type { RestoreErrors } from '../plan/plan.js';
import type { RecoveryTarget } from '../target/target.js';

/** One thing that happened to a step of an approved plan, seen by the host that did it. */
export interface StepEvent {
  /** UTC ISO-8601. */
  readonly at: string;
  readonly plan: string;
  /** Name of the activity; of a hook, its own name; of a decision, its kind. */
  readonly step: string;
  readonly what: 'begun' | 'done' | 'failed' | 'decided';
  /** How often a person had the step tried again. */
  readonly retry: number;
  /** What the step returned. */
  readonly result?: unknown;
}

export interface ReachedTarget {
  readonly reached: string;
  readonly lastLsn: string | null;
  readonly lastCommitAt: string | null;
  /** The source's last valid WAL record was replayed: nothing that exists anywhere was lost. */
  readonly complete: boolean;
  /** What a restore of dumps could not make; absent: it made all. */
  readonly errors?: readonly RestoreErrors[];
  /** Where the replay was told to stop, of a drill what was asked for; absent: not said, or it was no replay. */
  readonly target?: RecoveryTarget;
}

/** The server that a recovery in place has stopped. */
export interface StoppedServer {
  /** UTC ISO-8601, when it was stopped. */
  readonly at: string;
  /** It accepted writes until then. */
  readonly wasRunning: boolean;
  /** The last change of its WAL and control file, UTC ISO-8601; null where they are gone. */
  readonly lastWriteAt: string | null;
}

export interface CheckResult {
  readonly name: string;
  readonly status: 'passed' | 'failed' | 'skipped';
  readonly detail: string;
}
