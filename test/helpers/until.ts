import { setTimeout as sleep } from 'node:timers/promises';

/** Looks until a condition holds; a look that fails is no yet. The limit only ends a test that fails. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  limitMs = 600_000,
): Promise<void> {
  let last: unknown;
  const since = Date.now();
  for (const limit = since + limitMs; Date.now() < limit; await pause(since)) {
    try {
      if (await condition()) return;
    } catch (error) {
      last = error;
    }
  }
  throw new Error(`waited in vain until ${what}`, { cause: last });
}

/**
 * Between two looks: a tenth of what was waited already, so that a long wait does not take the CPU from what it waits for, and
 * ends a tenth later at most.
 */
export async function pause(since: number, { least = 15, most = 100 } = {}): Promise<void> {
  await sleep(Math.min(Math.max((Date.now() - since) / 10, least), most));
}
