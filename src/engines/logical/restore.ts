import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import type { ConnectionConfig } from '../../domain/config.js';
import { withClient } from '../../postgres/connect.js';
import { libpqEnv } from '../../postgres/environment.js';
import { applyProperties } from '../../postgres/properties.js';
import type { JobExit } from '../../process/jobs.js';
import type { EngineContext, RestoreDatabaseRequest, RestoredDatabase } from '../engine.js';
import { compareCounts } from './copy-counts.js';
import { compareObjects } from './database-facts.js';
import { toolError } from './dump-errors.js';
import { damageOf } from './hash.js';
import { hasEnded, runJudged, verdictOn } from './judged-job.js';
import type { Verdict } from './judged-job.js';
import { manifestOf } from './manifest.js';
import type { DumpManifest } from './manifest.js';
import { encodeName, filesOf } from './names.js';
import { createOnce, dropOurs } from './new-database.js';
import type { NewDatabase } from './new-database.js';
import { readOptions } from './options.js';
import { judgeRestore } from './restore-errors.js';
import { takeInventory } from './snapshot.js';
import type { Inventory } from './snapshot.js';
import { databaseConninfo, majorOf, RESTORE_STALL_TIMEOUT_MS, STALL_TIMEOUT_MS } from './tools.js';
import { inWords } from './verify.js';

/** One restore on its way. */
interface Restoring {
  readonly context: EngineContext;
  readonly manifest: DumpManifest;
  readonly database: NewDatabase;
}

/**
 * Restores a dump into a new database beside the live one, compares every table's rows with what was recorded, and
 * gives the new database the properties of the dumped one, which pg_restore leaves out. A restore that is not whole
 * leaves no database behind (F21, F22).
 *
 * @throws RepriseError `backup-corrupt` (F15), `conflict` where the name is taken, `check-failed` where something is
 *   missing or pg_restore complained of more than is known to be harmless
 */
export async function restoreDatabase(context: EngineContext, request: RestoreDatabaseRequest): Promise<RestoredDatabase> {
  const { backup, connection, intoDatabase } = request;
  const manifest = await manifestOf(context, backup.label);
  const damaged = await damageOf(context, filesOf(context, backup.label).dump, manifest.dump);
  if (damaged !== null) throw new RepriseError('backup-corrupt', damaged, 'choose another backup with recover --to backup:ID');
  const restoring = { context, manifest, database: { connection, name: intoDatabase, operationId: context.operationId } };
  try {
    await createOnce(restoring.database, manifest);
    const accepted = await runPgRestore(restoring);
    await analyze(restoring);
    const inventory = await compareWithManifest(restoring);
    await withClient(connection, connection.maintenanceDatabase, (client) => applyProperties(client, intoDatabase, manifest.properties));
    return { contents: inventory.contents, accepted };
  } catch (error) {
    // Only what can not go on: a worker that shuts down leaves the job and its database.
    if (hasEnded(error) || (isRepriseError(error) && error.code === 'check-failed')) await dropOurs(restoring.database);
    throw error;
  }
}

async function runPgRestore({ context, manifest, database }: Restoring): Promise<readonly string[]> {
  const { restoreJobs } = readOptions(context.policy.options);
  const result = await runJudged(context.jobs, {
    step: `restore:${encodeName(database.name)}`,
    tool: 'pg_restore',
    argv: [
      join(context.pgBin, 'pg_restore'),
      '--no-password',
      '--verbose',
      `--jobs=${restoreJobs}`,
      `--dbname=${databaseConninfo(database.name)}`,
      ...(await withoutMissingTablespaces(database.connection, manifest)),
      context.storage.localPath(filesOf(context, manifest.label).dump),
    ],
    env: libpqEnv(database.connection, database.name),
    onGone: 'restart',
    cleanUp: async () => {
      await dropOurs(database);
      await createOnce(database, manifest);
    },
    judge: judgeExit,
    progress: async () => ({
      phase: `restoring ${manifest.database}`,
      done: await sizeOf(database),
      total: manifest.databaseSizeBytes,
      unit: 'bytes',
    }),
    stallTimeoutMs: RESTORE_STALL_TIMEOUT_MS,
  });
  return result.code === 0 ? [] : judgeRestore(await readFile(result.stderr, 'utf8')).accepted;
}

/** Exit 1 is "errors ignored on restore": each is looked at (F21). */
async function judgeExit(exit: JobExit): Promise<Verdict> {
  if (exit.code === 0) return 'ok';
  const stderr = await readFile(exit.stderr, 'utf8');
  if (exit.code === 1 && judgeRestore(stderr).refused.length === 0) return 'ok';
  return exit.code === null ? 'retry' : verdictOn(toolError('pg_restore', stderr));
}
