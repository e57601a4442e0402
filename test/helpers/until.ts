import { setTimeout as sleep } from 'node:timers/promises';

/** Looks until a condition holds; a look that fails is no yet. The limit only ends a test that fails. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  limitMs = 600_000,
): Promise<void> {
  let last: unknown;
  for (const limit = Date.now() + limitMs; Date.now() < limit; await sleep(15)) {
    try {
      if (await condition()) return;
    } catch (error) {
      last = error;
    }
  }
  throw new Error(`waited in vain until ${what}`, { cause: last });
}
