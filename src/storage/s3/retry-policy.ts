import { setTimeout as sleep } from 'node:timers/promises';
import { isRepriseError } from '../../domain/errors.js';

/** So often is tried again what the SDK's own attempts did not mend: about two minutes in all (F10). */
const TRIES = 8;
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;

export interface RetryPolicy {
  readonly signal?: AbortSignal | undefined;
  /** Told what is waited for, and why. */
  readonly waiting?: (why: string) => void;
}

/**
 * Does something again that failed because the storage does not answer, with growing waits of which a random half is
 * left out, so that many do not come back at once. What the storage refuses is not asked twice.
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
