import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeTempDir } from './make-temp-dir.js';
import { startTemporalServer } from './temporal-server.js';

/** A Temporal server with a database of its own, which outlives it. */
export interface KilledTemporal {
  readonly address: string;
  /** Kills the server, and starts it again on the same port with what it had. `downMs`: so long there is none. */
  readonly restart: (downMs?: number) => Promise<void>;
  /** Ends it for good. */
  readonly stop: () => Promise<void>;
}

/** Whoever starts it stops it. */
export async function startKilledTemporal(): Promise<KilledTemporal> {
  const dbFile = join(await makeTempDir('temporal-db'), 'temporal.db');
  let server = await startTemporalServer({ dbFile });
  const { address } = server;
  return {
    address,
    restart: async (downMs = 0) => {
      process.kill(server.pid, 'SIGKILL');
      await server.stop();
      await sleep(downMs);
      server = await startTemporalServer({ dbFile, port: Number(address.split(':')[1]) });
    },
    stop: async () => {
      await server.stop();
      await rm(dirname(dbFile), { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

/** With such a server, which ends however `fn` does. */
export async function withKilledTemporal<T>(
  fn: (address: string, restart: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const { address, restart, stop } = await startKilledTemporal();
  try {
    return await fn(address, restart);
  } finally {
    await stop();
  }
}
