import { join } from 'node:path';
import type pg from 'pg';
import { RepriseError } from '../../../domain/errors.js';
import { sizeInWords } from '../../../domain/text/text.js';
import { archiveOneSegment, closeSegment } from '../../../postgres/wal/archiving.js';
import { withMaintenance } from '../../../postgres/connection/with-client.js';
import { freeBytes } from '../../../postgres/server/disk.js';
import { makeHostScratch } from '../../../postgres/server/scratch-directory.js';
import type { LiveServerFacts } from '../../../postgres/server/server-facts.js';
import { runProgram } from '../../../process/exec/run-program.js';
import type { EngineContext } from '../../engine.js';
import { walPrefix } from '../repository/names.js';
import { optionsOf, receivesWal } from '../options.js';
import { notReceived, receivingHint } from '../wal/receive.js';
import { archivingHint, liveServer } from '../wal/archiving.js';
import { slotName, slotState } from '../wal/slot.js';
import { waitForSegment } from '../wal/wal-archive.js';

/** Backup manifests came with 13. */
const OLDEST = 13;

/**
 * Refuses what cannot lead to a good backup: programs of another version, a missing right, no room to spool, WAL that
 * does not come to this very repository.
 * @throws RepriseError `version-mismatch`, `privilege-missing`, `topology-refused`, `disk-full`, `config-invalid`,
 *   `wal-not-archived`
 */
export async function preflightBackup(context: EngineContext): Promise<readonly string[]> {
  const { connection } = context.cluster;
  const server = await liveServer(context);
  await requireTools(context, server);
  await context.storage.prepare(walPrefix(context), context.user ?? undefined);
  await withMaintenance(connection, async (client) => {
    await requireRight(client);
    await requireSpace(context, await clusterBytes(client));
    await (receivesWal(context.policy.options)
      ? requireReceiving(context, client)
      : requireArchiving(context, server, client));
  });
  return [];
}

async function requireTools({ pgBin, user, signal }: EngineContext, server: LiveServerFacts): Promise<void> {
  const major = Math.floor(server.versionNum / 10_000);
  const { stdout } = await runProgram([join(pgBin, 'pg_basebackup'), '--version'], { user, signal });
  const own = Number(/\(PostgreSQL\) (\d+)/.exec(stdout)?.[1]);
  if (major < OLDEST)
    throw new RepriseError(
      'version-mismatch',
      `the server is PostgreSQL ${major}, whose base backups have no manifest to be verified by`,
      `use another engine, or PostgreSQL ${OLDEST} or later`,
    );
  if (own !== major)
    throw new RepriseError(
      'version-mismatch',
      `pg_basebackup here is of version ${own}, and the server of version ${major}`,
      `install postgresql-${major} on this host`,
    );
}

/** What the statements of a backup execute. */
const CALLED = ['pg_create_restore_point(text)', 'pg_switch_wal()'];

/** All rights at once: each one found by its own failure costs a person one more run. */
async function requireRight(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ role: string; may: boolean; missing: string[] }>(
    `SELECT quote_ident(current_user) AS role, rolreplication OR rolsuper AS may,
            ARRAY(SELECT signature FROM unnest($1::text[]) AS signature
                   WHERE NOT has_function_privilege('pg_catalog.' || signature, 'EXECUTE')) AS missing
       FROM pg_roles WHERE rolname = current_user`,
    [CALLED],
  );
  const { role = '?', may = false, missing = [] } = rows[0] ?? {};
  if (may && missing.length === 0) return;
  throw new RepriseError(
    'privilege-missing',
    `role ${role} may not take base backups`,
    [
      ...(may ? [] : [`ALTER ROLE ${role} REPLICATION`]),
      ...(missing.length === 0 ? [] : [`GRANT EXECUTE ON FUNCTION ${missing.join(', ')} TO ${role}`]),
    ].join('; '),
  );
}

async function clusterBytes(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query<{ bytes: string }>(
    'SELECT coalesce(sum(pg_database_size(oid)), 0)::text AS bytes FROM pg_database WHERE datallowconn',
  );
  return Number(rows[0]?.bytes ?? 0);
}

/** Compressed archives are smaller, by how much nobody knows; the cluster is unpacked beside them to be verified. */
async function requireSpace(context: EngineContext, bytes: number): Promise<void> {
  await makeHostScratch(context.host, context.user);
  const needed = 2 * bytes;
  const free = await freeBytes(context.host.scratchDir);
  if (free < needed) {
    throw new RepriseError(
      'disk-full',
      `the scratch directory ${context.host.scratchDir} has ${sizeInWords(free)} free, and a base backup may need ${sizeInWords(needed)} for its archives, and the files unpacked to verify them`,
      `free space there, or name another with hosts.${context.host.name}.scratch_dir`,
    );
  }
  const inRepository = await context.storage.freeBytes();
  if (inRepository !== null && inRepository < bytes / 10) {
    throw new RepriseError(
      'disk-full',
      `the repository has ${sizeInWords(inRepository)} free, and the cluster ${sizeInWords(bytes)}`,
      'free space there (reprise rotate --dry-run shows what can be removed), or enlarge it',
    );
  }
}

/** One segment is closed and has to come to this repository: the one proof that archiving works, and where to. */
async function requireArchiving(
  context: EngineContext,
  { archiveMode, archiveCommand }: LiveServerFacts,
  client: pg.ClientBase,
): Promise<void> {
  if (archiveMode === 'off' || archiveCommand === '') {
    const why = archiveMode === 'off' ? 'archive_mode is off' : 'archive_command is empty';
    const first = archiveMode === 'off' ? 'set archive_mode = on and restart the server; then ' : '';
    throw new RepriseError('config-invalid', `the server archives no WAL: ${why}`, `${first}${archivingHint(context)}`);
  }
  const timeoutSeconds = optionsOf(context).archiveTimeoutSeconds;
  const segment = await archiveOneSegment(client, { timeoutSeconds, signal: context.signal });
  // Archived somewhere it is by now.
  await waitForSegment(
    context,
    segment,
    Math.min(timeoutSeconds, 5),
    `archive_command writes to another place: ${archivingHint(context)}`,
  );
}

/** The receiver holds its slot, and a segment that is closed now comes to this repository. */
async function requireReceiving(context: EngineContext, client: pg.ClientBase): Promise<void> {
  const name = slotName(context);
  const slot = await slotState(client, name);
  if (slot === null) throw notReceived(context, `there is no replication slot ${name}`);
  if (!slot.active)
    throw notReceived(
      context,
      `its replication slot ${name} is not active, and for it the server keeps ${sizeInWords(slot.keptBytes)} of WAL`,
    );
  await waitForSegment(
    context,
    await closeSegment(client),
    optionsOf(context).archiveTimeoutSeconds,
    receivingHint(context),
  );
}
