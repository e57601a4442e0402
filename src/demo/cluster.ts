import { appendFile, rm, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { withClient, withMaintenance } from '../postgres/connection/with-client.js';
import { giveTo } from '../files/directories.js';
import { archiveOneSegment } from '../postgres/wal/archiving.js';
import { makeScratchDirectory } from '../postgres/server/scratch-directory.js';
import { serviceOf } from '../postgres/server/service.js';
import type { Service } from '../postgres/server/service.js';
import { runProgram } from '../process/exec/run-program.js';
import type { InitialContents } from './data/initial.js';
import { loadContents } from './data/load.js';
import { CLIENT_ROLE, DATABASE, OWNER_ROLE } from './data/schema.js';
import { pgbackrestConf } from './settings.js';
import type { Scratch } from './scratch.js';

/** A PostgreSQL cluster of the demo's own, archiving into its own pgBackRest repository; started. */
export async function createCluster(scratch: Scratch): Promise<void> {
  await makeRepositories(scratch);
  const { pgBin, dataDir, user } = scratch;
  // initdb reads the password before it does anything else; the file need not stay.
  const passwordFile = join(scratch.root, 'initdb.pw');
  await writeFile(passwordFile, scratch.passwords.reprise, { mode: 0o600 });
  await giveTo(passwordFile, user);
  try {
    await runProgram(
      [
        join(pgBin, 'initdb'),
        ...[`--pgdata=${dataDir}`, `--username=${scratch.connection.user}`, `--pwfile=${passwordFile}`],
        ...[
          '--auth=scram-sha-256',
          '--encoding=UTF8',
          '--locale=C.UTF-8',
          '--data-checksums',
          '--no-sync',
          '--no-instructions',
        ],
      ],
      { user },
    );
  } finally {
    await rm(passwordFile, { force: true });
  }
  const lines = Object.entries(serverSettings(scratch)).map(
    ([name, value]) => `${name} = '${value.replaceAll("'", "''")}'`,
  );
  await appendFile(join(dataDir, 'postgresql.conf'), `\n# Reprise demo\n${lines.join('\n')}\n`);
  await writeAccess(scratch);
  await service(scratch).start({ timeoutSeconds: 60 });
}

/**
 * Passwords (scram) for everybody over TCP; over the socket pgBackRest, which knows no password, is let in as the
 * superuser when it runs as the owner of the data directory: the way Debian does it.
 */
async function writeAccess({ dataDir, connection, user }: Scratch): Promise<void> {
  const owner = user?.name ?? userInfo().username;
  await writeFile(join(dataDir, 'pg_ident.conf'), `demo "${owner}" ${connection.user}\n`);
  await writeFile(
    join(dataDir, 'pg_hba.conf'),
    `local all ${connection.user} peer map=demo\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n`,
  );
}

/** The database `mairie`, its roles and its real data. */
export async function fillCluster(scratch: Scratch, contents: InitialContents): Promise<void> {
  const { connection, passwords } = scratch;
  await withMaintenance(connection, async (client) => {
    await client.query(`CREATE ROLE ${OWNER_ROLE} NOLOGIN`);
    await client.query(`CREATE ROLE ${CLIENT_ROLE} LOGIN PASSWORD ${client.escapeLiteral(passwords.client)}`);
    await client.query(`CREATE DATABASE ${DATABASE} OWNER ${OWNER_ROLE}`);
  });
  await withClient(connection, DATABASE, (client) => loadContents(client, contents));
}

/** With amcheck a drill looks into the indexes of a physical backup too; where its package is missing, the drill says that it did not. */
export async function installAmcheck({ connection }: Scratch): Promise<void> {
  await withClient(connection, DATABASE, async (client) => {
    const { rowCount } = await client.query("SELECT FROM pg_available_extensions WHERE name = 'amcheck'");
    if (rowCount === 1) await client.query('CREATE EXTENSION amcheck');
  });
}

/** Closes the WAL segment being written, so that the archiver takes it, and waits until it is archived. */
export function archiveNow(scratch: Scratch): Promise<string> {
  return withMaintenance(scratch.connection, (client) => archiveOneSegment(client));
}

export function service(scratch: Pick<Scratch, 'dataDir' | 'pgBin' | 'user'>): Service {
  return serviceOf({ service: { kind: 'pg_ctl' }, dataDir: scratch.dataDir }, scratch.pgBin, scratch.user);
}

function archiveCommand(scratch: Scratch): string {
  return `pgbackrest --config=${scratch.pgbackrestConf} --stanza=${scratch.stanza} archive-push %p`;
}

function serverSettings(scratch: Scratch): Record<string, string> {
  return {
    port: String(scratch.connection.port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: scratch.socketDir,
    unix_socket_permissions: '0700',
    archive_mode: 'on',
    archive_command: archiveCommand(scratch),
    wal_level: 'replica',
    max_wal_size: '1GB',
    shared_buffers: '128MB',
    max_connections: '50',
    log_timezone: 'UTC',
    timezone: 'UTC',
  };
}

async function makeRepositories(scratch: Scratch): Promise<void> {
  for (const name of ['backups', 'pgbackrest', 'pgbackrest-log', 'pgbackrest-lock', 'pgbackrest-spool']) {
    await makeScratchDirectory(join(scratch.root, name), scratch.user);
  }
  await writeFile(scratch.pgbackrestConf, pgbackrestConf(scratch), { mode: 0o600 });
  await giveTo(scratch.pgbackrestConf, scratch.user);
}
