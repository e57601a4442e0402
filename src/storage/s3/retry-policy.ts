import { setTimeout as sleep } from 'node:timers/promises';
import { isRepriseError } from '../../domain/errors.js';

/** Attempts beyond the SDK's own; about two minutes in all. */
const TRIES = 8;
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;

export interface RetryPolicy {
  readonly signal?: AbortSignal | undefined;
  /** Called before each wait with the failure that is waited for. */
  readonly waiting?: (why: string) => void;
}

/**
 * Tries again what failed because the storage did not answer, with exponential back-off and jitter. What the storage
 * refuses is not tried again.
 */
export async function withRetries<T>(work: () => Promise<T>, { signal, waiting }: RetryPolicy = {}): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (signal?.aborted || tries >= TRIES || !isRepriseError(error) || error.code !== 'storage-unreachable')
        throw error;
      waiting?.(`${error.message}; try ${tries + 1} of ${TRIES}`);
      const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (tries - 1));
      await sleep(longest * (0.5 + Math.random() / 2), undefined, { signal });
    }
  }
}
