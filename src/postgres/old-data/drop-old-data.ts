import { rm } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { withClient } from '../connection/with-client.js';
import { processesIn } from '../server/postmaster.js';

/** Only names that a recovery itself gave are ever removed, whatever a record says. */
const DIRECTORY = /\.(aside|salvage|tablespaces|configuration)-[A-Za-z0-9-]+$/;
const DATABASE = /_(aside|new)_[A-Za-z0-9-]+$/;

/**
 * Removes old data that a recovery has kept: a directory, or a database. What is gone already is no error.
 * @throws RepriseError `path-refused` for a name no recovery gives, `conflict` while a server is running in the directory.
 */
export async function dropOldData({ where }: { readonly where: string }, connection: ConnectionConfig): Promise<void> {
  if (isAbsolute(where)) return removeDirectory(where);
  if (!DATABASE.test(where)) throw refused(where);
  await withClient(connection, connection.maintenanceDatabase, async (client) => {
    await client.query(`DROP DATABASE IF EXISTS ${pg.escapeIdentifier(where)}`);
  });
}

async function removeDirectory(path: string): Promise<void> {
  if (!DIRECTORY.test(path)) throw refused(path);
  const living = await processesIn(path);
  if (living.length > 0)
    throw new RepriseError(
      'conflict',
      `a server is running in ${path} (process ${living.join(', ')})`,
      'Stop it first, or keep the directory.',
    );
  await rm(path, { recursive: true, force: true });
}

function refused(where: string): RepriseError {
  return new RepriseError(
    'path-refused',
    `${JSON.stringify(where)} is not a name that a recovery gives to old data`,
    'Remove it by hand if you are sure.',
  );
}
