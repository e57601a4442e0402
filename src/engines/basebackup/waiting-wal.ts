import { errorTable, isRepriseError, RepriseError } from '../../domain/errors.js';
import type { EngineContext } from '../engine.js';

/** A repository that is away for so long is no short outage: somebody has to know. */
const PATIENCE_MS = 5 * 60_000;

/** Whether received WAL gets into the repository, and since when it does not. */
export class WaitingWal {
  private since: number | null = null;

  constructor(
    private readonly context: Pick<EngineContext, 'cluster' | 'host'>,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** All that was received is stored. */
  stored(): void {
    this.since = null;
  }

  /** What people have to be told of a failed attempt; null where the next one may mend it. */
  failed(error: unknown): RepriseError | null {
    this.since ??= this.now();
    const waitedMs = this.now() - this.since;
    const isFinal = isRepriseError(error) && !errorTable[error.code].retryable;
    if (!isFinal && waitedMs < PATIENCE_MS) return null;
    const { cluster, host } = this.context;
    const reason = error instanceof Error ? error.message : String(error);
    return new RepriseError(
      'wal-not-archived',
      `WAL of ${cluster.name} is received on host ${host.name} and does not get into the repository: ${reason}`,
      (isRepriseError(error) ? error.hint : undefined) ??
        `see that host ${host.name} reaches the repository: reprise doctor; until then it is kept below ${host.scratchDir}`,
    );
  }
}
