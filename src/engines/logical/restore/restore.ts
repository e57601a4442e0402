import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isRepriseError, RepriseError } from '../../../domain/errors.js';
import type { ConnectionConfig } from '../../../domain/config.js';
import { withClient } from '../../../postgres/connection/with-client.js';
import { libpqEnv } from '../../../postgres/connection/environment.js';
import { serverFacts } from '../../../postgres/server/server-facts.js';
import { applyProperties } from '../../../postgres/content/database-properties.js';
import { NOT_DECRYPTED } from '../../../process/age/age.js';
import type { JobExit, JobExitClass } from '../../../process/jobs/jobs.js';
import type { EngineContext, RestoreDatabaseRequest, RestoredDatabase } from '../../engine.js';
import { compareCounts } from '../repository/count-dump.js';
import { compareObjects } from '../backup/database-facts.js';
import { toolFailure } from '../../../process/exec/tool-rules.js';
import { LOGICAL_TOOLS } from '../tool-rules.js';
import { wholeFile } from '../repository/local-copy.js';
import { toolHasEnded, runToolJob } from '../../shared/run-tool-job.js';
import { checkKey, readingArgv } from '../encryption.js';
import { boundManifest, manifestFiles } from '../repository/manifest.js';
import type { DumpManifest } from '../repository/manifest.js';
import { encodeName } from '../repository/names.js';
import { createOnce, dropOurs } from './new-database.js';
import type { SealedFile } from '../encryption.js';
import type { NewDatabase } from './new-database.js';
import type { LogicalOptions } from '../options.js';
import { classifyComplaints } from './restore-complaints.js';
import { takeInventory } from '../backup/snapshot.js';
import type { Inventory } from '../backup/snapshot.js';
import { databaseConninfo, majorOf, RESTORE_STALL_TIMEOUT_MS } from '../tools.js';
import { summarize } from '../repository/verify.js';

/** One restore on its way. */
interface Restoring {
  readonly context: EngineContext;
  readonly manifest: DumpManifest;
  readonly dump: SealedFile;
  readonly database: NewDatabase;
  /** Part of its jobs' names: what was restored into another server, such as a scratch one, says nothing of this one. */
  readonly systemIdentifier: string;
}

/**
 * Restores a dump into a new database beside the live one, compares every table's rows with what was recorded, and
 * gives the new database the properties of the dumped one, which pg_restore leaves out. Nothing is used but what is bound. A restore that is not whole
 * leaves no database behind.
 *
 * @throws RepriseError `backup-corrupt`, `key-missing`, `conflict` where the name is taken, `check-failed` where something is
 *   missing or pg_restore complained of more than is known to be harmless
 */
export async function restoreDatabase(
  context: EngineContext,
  request: RestoreDatabaseRequest,
): Promise<RestoredDatabase> {
  const { backup, content, connection, intoDatabase } = request;
  const manifest = await boundManifest(context, backup.label, content);
  const { dump: key } = manifestFiles(context, manifest);
  const file = await wholeFile(context, key, manifest.dump);
  const dump = { key, encrypted: manifest.encryption !== undefined, path: file.path };
  await checkKey(context, dump);
  const { systemIdentifier } = await withClient(connection, connection.maintenanceDatabase, serverFacts);
  const restoring = {
    context,
    manifest,
    dump,
    database: { connection, name: intoDatabase, operationId: context.operationId },
    systemIdentifier,
  };
  try {
    const isNew = (await createOnce(restoring.database, manifest)) === 'made';
    const accepted = await runPgRestore(restoring, isNew);
    await file.requireSame();
    await analyze(restoring);
    const inventory = await compareWithManifest(restoring);
    const left = await withClient(connection, connection.maintenanceDatabase, (client) =>
      applyProperties(client, intoDatabase, manifest.properties),
    );
    await file.discard();
    return {
      contents: inventory.contents,
      accepted: [...accepted, ...left.map((what) => `${what} was left out: the role is not on this server`)],
    };
  } catch (error) {
    // Only what can not go on: a worker that shuts down leaves the job and its database.
    if (toolHasEnded(error) || (isRepriseError(error) && ['check-failed', 'conflict'].includes(error.code))) {
      await dropOurs(restoring.database);
      await file.discard();
    }
    throw error;
  }
}

/** @param isNew the database was made by this attempt: what an earlier one restored was dropped again */
async function runPgRestore(
  { context, manifest, dump, database, systemIdentifier }: Restoring,
  isNew: boolean,
): Promise<readonly string[]> {
  const { restoreJobs } = context.policy.options as LogicalOptions;
  const result = await runToolJob(context.jobs, LOGICAL_TOOLS, {
    step: `restore:${encodeName(database.name)}@${systemIdentifier}`,
    tool: 'pg_restore',
    argv: await readingArgv(context, dump, [
      join(context.pgBin, 'pg_restore'),
      '--no-password',
      '--verbose',
      // Several jobs need a file to seek in; a decrypted one comes by a pipe.
      `--jobs=${dump.encrypted ? 1 : restoreJobs}`,
      `--dbname=${databaseConninfo(database.name)}`,
      ...(await withoutMissingTablespaces(database.connection, manifest)),
    ]),
    env: libpqEnv(database.connection, database.name),
    onGone: 'restart',
    resultIsGone: async () => isNew,
    cleanUp: async () => {
      await dropOurs(database);
      await createOnce(database, manifest);
    },
    classifyExit,
    progress: async () => ({
      phase: `restoring ${manifest.database}`,
      done: await sizeOf(database),
      total: manifest.databaseSizeBytes,
      unit: 'bytes',
    }),
    stallTimeoutMs: RESTORE_STALL_TIMEOUT_MS,
  });
  return result.code === 0 ? [] : classifyComplaints(await readFile(result.stderr, 'utf8')).accepted;
}

/**
 * Exit 1 is "errors ignored on restore": each is looked at. A connection lost may be found again, and what was
 * ended by a signal started again; all else would only happen once more.
 */
async function classifyExit(exit: JobExit): Promise<JobExitClass | RepriseError> {
  if (exit.code === null) return 'retry';
  const stderr = await readFile(exit.stderr, 'utf8');
  const { refused } = classifyComplaints(stderr);
  if (exit.code === 1 && refused.length === 0) return 'ok';
  const meant = toolFailure(LOGICAL_TOOLS, { name: 'pg_restore', exitCode: exit.code, output: stderr });
  if (meant.code === 'database-unreachable') return 'retry';
  if (exit.code === NOT_DECRYPTED) return meant.code === 'tool-failed' ? 'fail' : meant;
  const isKnown = meant.code !== 'tool-failed';
  return new RepriseError(
    isKnown ? meant.code : 'check-failed',
    `pg_restore reported errors: ${summarize(refused)}`,
    isKnown
      ? meant.hint
      : 'All it printed is in the job records of this host. Choose another backup, or create what is missing on the server first.',
  );
}

/** A tablespace that is not there would fail every table in it: then all go to the default one, as the plan has said. */
async function withoutMissingTablespaces(
  connection: ConnectionConfig,
  manifest: DumpManifest,
): Promise<readonly string[]> {
  if (manifest.tablespaces.length === 0) return [];
  const there = await withClient(connection, connection.maintenanceDatabase, (client) =>
    client.query<{ name: string }>('SELECT spcname::text AS name FROM pg_catalog.pg_tablespace'),
  );
  const names = new Set(there.rows.map(({ name }) => name));
  return manifest.tablespaces.every((name) => names.has(name)) ? [] : ['--no-tablespaces'];
}

/** Statistics are not in a dump, and a database without them is slow in its first hour. */
async function analyze({ context, database, systemIdentifier }: Restoring): Promise<void> {
  await runToolJob(context.jobs, LOGICAL_TOOLS, {
    step: `analyze:${encodeName(database.name)}@${systemIdentifier}`,
    tool: 'vacuumdb',
    argv: [
      join(context.pgBin, 'vacuumdb'),
      '--analyze-only',
      '--no-password',
      `--dbname=${databaseConninfo(database.name)}`,
    ],
    env: libpqEnv(database.connection, database.name),
    onGone: 'restart',
    progress: async () => ({ phase: `statistics of ${database.name}`, done: 0, unit: 'tables' }),
    stallTimeoutMs: RESTORE_STALL_TIMEOUT_MS,
  });
}

async function compareWithManifest({ manifest, database }: Restoring): Promise<Inventory> {
  const { found, versionNum } = await withClient(database.connection, database.name, async (client) => ({
    found: await takeInventory(client, manifest.database),
    versionNum: (await serverFacts(client)).versionNum,
  }));
  const differences = manifest.countedIn === 'nowhere' ? [] : [...compareCounts(manifest.contents, found.contents)];
  // Another major version counts some objects otherwise, such as NOT NULL constraints.
  const comparable = manifest.objects !== null && majorOf(versionNum) === majorOf(manifest.server.versionNum);
  if (manifest.objects !== null && comparable) differences.push(...compareObjects(manifest.objects, found.objects));
  if (differences.length === 0) return found;
  throw new RepriseError(
    'check-failed',
    `the restored database is not what was dumped: ${summarize(differences)}`,
    'the live database was not touched; choose another backup with recover --to backup:ID',
  );
}

async function sizeOf({ connection, name }: NewDatabase): Promise<number> {
  const { rows } = await withClient(connection, connection.maintenanceDatabase, (client) =>
    client.query<{ size: string | null }>(
      'SELECT pg_catalog.pg_database_size(oid)::text AS size FROM pg_catalog.pg_database WHERE datname = $1',
      [name],
    ),
  );
  return Number(rows[0]?.size ?? 0);
}
