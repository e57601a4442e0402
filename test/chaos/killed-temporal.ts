import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeTempDir } from '../helpers/make-temp-dir.js';
import { startTemporalServer } from '../helpers/temporal-server.js';

/** A Temporal server with a database of its own; `restart` kills it and starts it again on the same port, with what it had. */
export async function withKilledTemporal<T>(
  fn: (address: string, restart: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const dbFile = join(await makeTempDir('temporal-db'), 'temporal.db');
  let temporal = await startTemporalServer({ dbFile });
  const { address } = temporal;
  const restart = async (): Promise<void> => {
    process.kill(temporal.pid, 'SIGKILL');
    await temporal.stop();
    temporal = await startTemporalServer({ dbFile, port: Number(address.split(':')[1]) });
  };
  try {
    return await fn(address, restart);
  } finally {
    await temporal.stop();
    await rm(dirname(dbFile), { recursive: true, force: true });
  }
}
