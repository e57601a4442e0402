import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type { Logger } from '@temporalio/worker';
import type { HostDependencies } from '../activities/dependencies.js';
import { leftOver, sweepHost } from '../activities/sweep.js';
import { keepFrozen } from '../activities/table/freeze.js';
import { closedByTemporal, type HasClosed } from '../activities/workflow-closed.js';

/** How often a host looks whether something is left of operations that are over. */
const EVERY_MS = 30_000;

interface Sweeping {
  readonly client: Client;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
  /** Ends it. */
  readonly signal: AbortSignal;
  readonly everyMs?: number;
}

/**
 * Releases what operations left that ended without doing so: at the start of a worker, and as long as it runs where an operation has
 * ended with a temporary instance, a frozen table, or anything else of its cluster. An instance's server may be open to people, and a
 * host that only has drills knows no rotation, which sweeps too.
 */
export async function keepSwept(
  deps: HostDependencies,
  { client, logger, signal, everyMs = EVERY_MS }: Sweeping,
): Promise<void> {
  const hasClosed = closedByTemporal(client);
  await swept(deps, hasClosed, logger);
  let before: ReadonlySet<string> = new Set();
  while (!signal.aborted) {
    await sleep(everyMs, undefined, { signal, ref: false }).catch(() => undefined);
    if (signal.aborted) return;
    await keepFrozen(deps, hasClosed).catch((error: unknown) =>
      logger.warn(`new partitions of frozen tables on host ${deps.host} were not blocked: ${String(error)}`),
    );
    const over = await leftOver(deps, hasClosed).catch(() => before);
    // Seen twice: an attempt of the ended operation has noticed by then.
    if ([...over].some((dataDir) => before.has(dataDir))) await swept(deps, hasClosed, logger);
    before = over;
  }
}

async function swept(deps: HostDependencies, hasClosed: HasClosed, logger: Sweeping['logger']): Promise<void> {
  try {
    const released = await sweepHost(deps, hasClosed);
    for (const operationId of released) logger.info(`released what the ended operation ${operationId} still held`);
  } catch (error) {
    logger.warn(`what ended operations left on host ${deps.host} was not released: ${String(error)}`);
  }
}
