import type { PhysicalRestore, ReadContext } from '../../engines/engine.js';

/**
 * Lets a server recover while the engine brings it WAL, where the engine has to. A feed that fails ends the recovery's
 * watch by the signal, and is what is thrown; the server waits for the next attempt.
 */
export async function withWalPrefetch<T>(
  physical: PhysicalRestore,
  context: ReadContext,
  dataDir: string,
  recover: (signal: AbortSignal, fed: boolean) => Promise<T>,
): Promise<T> {
  const feed = (await physical.prefetchWal?.(context, dataDir)) ?? null;
  if (feed === null) return recover(context.signal, false);
  const over = new AbortController();
  const signal = AbortSignal.any([context.signal, over.signal]);
  const failures: unknown[] = [];
  const bringing = feed.bring(signal).catch((error: unknown) => {
    if (signal.aborted) return;
    failures.push(error);
    over.abort(error);
  });
  try {
    const result = await recover(signal, true);
    over.abort();
    await bringing;
    await feed.close();
    return result;
  } catch (error) {
    over.abort();
    await bringing;
    throw failures.length > 0 ? failures[0] : error;
  }
}
