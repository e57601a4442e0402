import type { PhysicalRestore, ReadContext } from '../../engines/engine.js';

/**
 * Runs `recover` while the engine copies WAL to the recovering server, where the engine has to.
 * @param recover gets a signal that is also aborted when copying fails, and whether WAL is copied at all
 * @throws the failure of the copying where there is one; the server keeps waiting for WAL, and the next attempt copies it
 */
export async function withWalPrefetch<T>(
  physical: PhysicalRestore,
  context: ReadContext,
  dataDir: string,
  recover: (signal: AbortSignal, isPrefetched: boolean) => Promise<T>,
): Promise<T> {
  const prefetch = (await physical.prefetchWal?.(context, dataDir)) ?? null;
  if (prefetch === null) return recover(context.signal, false);
  const over = new AbortController();
  const signal = AbortSignal.any([context.signal, over.signal]);
  const failures: unknown[] = [];
  const copying = prefetch.copy(signal).catch((error: unknown) => {
    if (signal.aborted) return;
    failures.push(error);
    over.abort(error);
  });
  try {
    const result = await recover(signal, true);
    over.abort();
    await copying;
    await prefetch.close();
    return result;
  } catch (error) {
    over.abort();
    await copying;
    throw failures.length > 0 ? failures[0] : error;
  }
}
