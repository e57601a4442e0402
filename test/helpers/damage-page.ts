import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { runQuery } from './postgres.js';
import type { ServerAddress } from './postgres.js';

/** Changes bytes within page 0 of a new table in the database postgres, on disk; the path of its file below the data directory. */
export async function damagePage(server: ServerAddress, dataDir: string): Promise<string> {
  await runQuery(server, 'postgres', 'CREATE TABLE damaged AS SELECT generate_series(1, 1000) AS n');
  await runQuery(server, 'postgres', 'CHECKPOINT');
  const { rows } = await runQuery(server, 'postgres', "SELECT pg_relation_filepath('damaged') AS path");
  const { path } = rows[0] as { path: string };
  const file = await open(join(dataDir, path), 'r+');
  try {
    await file.write('changed', 4000);
    await file.sync();
  } finally {
    await file.close();
  }
  return path;
}
