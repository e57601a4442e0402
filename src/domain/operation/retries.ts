/** How long operations try a failing step again, by the config of the host that does it; absent: the defaults below. */
export interface StepLimits {
  /** A step that fails for a reason that may pass is tried again for so many seconds after its first failure. */
  readonly retryForSeconds?: number;
  /** A step that has lost its worker so often in a row is not tried again by itself. */
  readonly lostWorkers?: number;
}

export const RETRY_FOR_SECONDS = 6 * 3600;
export const LOST_WORKERS = 5;
/** A step that is no job and has made no progress for so long counts as stalled, unless its host's config says otherwise. */
export const STALL_SECONDS = 1800;

const LONGEST_PAUSE_SECONDS = 300;
/** A server that restarts is back by then, and nobody is woken for it. */
const TOLD_AFTER_FAILURES = 5;
const TOLD_AFTER_MS = 60_000;

/** The failures in a row of one step, and what follows from them; all times in ms since the epoch. */
export class Retries {
  private failures = 0;
  private failingSince = 0;

  constructor(
    private readonly limits: StepLimits,
    private readonly startedAt: number,
  ) {}

  /** Counts a failure that may pass. How long to wait before the next attempt, in ms; null: it was tried for long enough. */
  failed(now: number): number | null {
    this.failures += 1;
    if (this.failures === 1) this.failingSince = now;
    const left = this.until - now;
    if (left <= 0) return null;
    return Math.min(1000 * Math.min(LONGEST_PAUSE_SECONDS, 2 ** (this.failures - 1)), left);
  }

  /** Whether people are told by now. */
  isLong(now: number): boolean {
    return this.failures >= TOLD_AFTER_FAILURES || (this.failures > 1 && now - this.startedAt >= TOLD_AFTER_MS);
  }

  /** When it is no longer tried again. */
  get until(): number {
    return this.failingSince + (this.limits.retryForSeconds ?? RETRY_FOR_SECONDS) * 1000;
  }
}
