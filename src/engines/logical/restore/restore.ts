import { join } from 'node:path';
import { isRepriseError, RepriseError } from '../../../domain/errors.js';
import type { ConnectionConfig } from '../../../domain/config.js';
import { withClient, withMaintenance } from '../../../postgres/connection/with-client.js';
import { libpqEnv } from '../../../postgres/connection/environment.js';
import { serverFacts } from '../../../postgres/server/server-facts.js';
import { rootsInDatabase } from '../../../postgres/content/inventory.js';
import { applyProperties } from '../../../postgres/content/database-properties.js';
import type { EngineContext, RestoreDatabaseRequest, RestoredDatabase } from '../../engine.js';
import { compareCounts } from '../repository/count-dump.js';
import { compareObjects } from '../backup/database-facts.js';
import { wholeFile } from '../repository/local-copy.js';
import { toolHasEnded } from '../../shared/run-tool-job.js';
import { checkKey } from '../encryption.js';
import { boundManifest, manifestFiles } from '../repository/manifest.js';
import { createOnce, dropOurs } from './new-database.js';
import {
  floodOf,
  jobsOption,
  MOST_OUTPUT_BYTES,
  quiet,
  runPgRestore,
  runRestoreJob,
  tablespacesThere,
  restorableToc,
} from './pg-restore.js';
import { inDatabase, listOption, workDirectory } from './login-work.js';
import { addSearchPathOnly, dropGuard } from './restore-guard.js';
import { isRefused, markRefused } from './restore-note.js';
import { withSearchPath } from './search-path.js';
import { isAmong } from '../archive/only-tables.js';
import { tocOf } from '../archive/read-toc.js';
import { hasCron } from '../archive/pg-cron.js';
import { isCancelled } from '../../../process/jobs/jobs.js';
import { removeTree } from '../../../files/remove-tree.js';
import type { RestoreComplaints, Restoring } from './pg-restore.js';
import { discardLogin, restoreUnprivileged } from './unprivileged.js';
import { takeInventory } from '../backup/snapshot.js';
import type { Inventory } from '../backup/snapshot.js';
import { encodeName } from '../repository/names.js';
import { databaseConninfo, majorOf } from '../tools.js';
import { summarize } from '../repository/verify.js';

/** Major version from which on an event trigger may run when somebody logs in. */
const WITH_LOGIN_TRIGGERS = 17;
/** What another attempt would only meet again: what was restored by then is dropped. */
const FINAL: ReadonlySet<string> = new Set([
  ...['check-failed', 'conflict', 'query-failed', 'privilege-missing', 'extension-missing'],
]);

/**
 * Restores a dump into a new database beside the live one, compares every table's rows with what was recorded, and
 * gives the new database the properties of the dumped one, which pg_restore leaves out. Nothing is used but what is bound,
 * and code of the dump runs as a login without rights, unless the request says otherwise. A restore that is not whole leaves no
 * database behind, but for one that the request wants to see with its errors.
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
  const { systemIdentifier, versionNum } = await withMaintenance(connection, serverFacts);
  const restoring: Restoring = {
    context,
    manifest,
    dump,
    database: { connection, name: intoDatabase, operationId: context.operationId },
    systemIdentifier,
    versionNum,
    returnsErrors: request.returnsErrors === true,
    only: request.only,
  };
  if (await isRefused(restoring)) await discard(restoring);
  try {
    const steps = {
      analyze: async (): Promise<void> => {
        await file.requireSame();
        await analyze(restoring);
      },
      count: (errors: readonly string[]) => compareWithManifest(restoring, errors),
    };
    const restore = request.restoreAs === 'superuser' ? restoreAsSuperuser : restoreUnprivileged;
    const { accepted, errors, counted } = await restore(restoring, steps);
    const left = await withMaintenance(connection, (client) =>
      applyProperties(client, intoDatabase, manifest.properties),
    );
    await file.discard();
    // With errors it may wait for a person, and be asked for again: who swaps or drops the database removes it.
    if (!restoring.returnsErrors) await removeTree(workDirectory(restoring));
    return {
      contents: counted.contents,
      accepted: [...accepted, ...left],
      errors: [...errors, ...counted.differences],
    };
  } catch (error) {
    // Only what cannot go on: a worker that shuts down leaves the job and its database.
    if (isCancelled(context) || toolHasEnded(error) || (isRepriseError(error) && FINAL.has(error.code))) {
      await (isRepriseError(error) && error.details['isKept'] === true ? markRefused(restoring) : discard(restoring));
      await file.discard();
    }
    throw error;
  }
}

/** Nothing is left of a restore that another attempt would only meet again. */
async function discard(restoring: Restoring): Promise<void> {
  await dropOurs(restoring.database);
  await discardLogin(restoring);
}

/** What is restored, compared with what was recorded. */
interface Counted extends Inventory {
  /** Objects that are missing after errors that a person decides on. */
  readonly differences: readonly string[];
}

/** What is in the dump is run with the rights of the connection's role: the configuration and the plan say so. */
async function restoreAsSuperuser(
  restoring: Restoring,
  {
    analyze,
    count,
  }: { readonly analyze: () => Promise<void>; readonly count: (errors: readonly string[]) => Promise<Counted> },
): Promise<{ readonly accepted: readonly string[]; readonly errors: readonly string[]; readonly counted: Counted }> {
  const { database } = restoring;
  // Only a superuser gives functions of others a setting.
  const mayRepeat = await isSuperuser(database.connection);
  const { accepted, errors } = mayRepeat
    ? await withSearchPath(restoring, (searchPath) => restoreWhole(restoring, searchPath))
    : await restoreWhole(restoring, null);
  // Statistics of an index run its functions.
  await analyze();
  if (mayRepeat) await inDatabase(restoring, (client) => dropGuard(client, database.name));
  return { accepted, errors, counted: await count(errors) };
}

/** @param searchPath of functions that set none; null: none */
async function restoreWhole(restoring: Restoring, searchPath: string | null): Promise<RestoreComplaints> {
  const { database, manifest, systemIdentifier } = restoring;
  const { owner } = manifest.properties;
  const isNew = (await createOnce(database, manifest, owner)) === 'made';
  const fill = async (): Promise<void> => {
    if (searchPath !== null)
      await inDatabase(restoring, (client) => addSearchPathOnly(client, database.name, searchPath));
  };
  const makeAnew = async (): Promise<void> => {
    await dropOurs(database);
    await createOnce(database, manifest, owner);
    await fill();
  };
  const tablespaces = await tablespacesThere(database.connection, manifest);
  const isListed = restoring.only !== undefined || hasCron(manifest.extensions);
  const { entries } = isListed ? await restorableToc(restoring) : { entries: [] };
  return runPgRestore(restoring, {
    ...(searchPath === null
      ? { step: `restore:${encodeName(database.name)}@${systemIdentifier}` }
      : { step: `restore-with-search-path:${encodeName(database.name)}@${systemIdentifier}` }),
    connection: database.connection,
    options: [
      jobsOption(restoring),
      ...(tablespaces === null ? ['--no-tablespaces'] : []),
      ...(isListed ? [await listOption(restoring, 'whole', entries)] : []),
    ],
    prepare: isNew || searchPath === null ? fill : makeAnew,
    cleanUp: makeAnew,
  });
}

/** Statistics are not in a dump, and a database without them is slow in its first hour. */
async function analyze(restoring: Restoring): Promise<void> {
  const { context, database, systemIdentifier, versionNum } = restoring;
  await runRestoreJob(restoring, {
    step: `analyze:${encodeName(database.name)}@${systemIdentifier}`,
    tool: 'vacuumdb',
    argv: [
      join(context.pgBin, 'vacuumdb'),
      '--analyze-only',
      '--no-password',
      `--dbname=${databaseConninfo(database.name)}`,
    ],
    env: quiet(libpqEnv(database.connection, database.name, versionNum)),
    mostOutputBytes: MOST_OUTPUT_BYTES,
    classifyExit: async (exit) => (await floodOf(exit, 'vacuumdb')) ?? undefined,
    progress: async () => ({ phase: `statistics of ${database.name}`, done: 0, unit: 'tables' }),
  });
}

/** One by one, else with their partitions: where pg_dump has rows go to the root, they may come into others than before. */
function countDifferences(...[recorded, found, rootOf]: Required<Parameters<typeof compareCounts>>): readonly string[] {
  return compareCounts(recorded, found).length === 0 ? [] : compareCounts(recorded, found, rootOf);
}

/** @param errors of single statements: objects may be missing then, and rows never */
async function compareWithManifest(restoring: Restoring, errors: readonly string[]): Promise<Counted> {
  const { manifest, database, versionNum, only, context, dump } = restoring;
  const isWanted = only === undefined ? () => true : isAmong(await tocOf(context, dump), only);
  const withoutEventTriggers = majorOf(versionNum) >= WITH_LOGIN_TRIGGERS && (await isSuperuser(database.connection));
  const { found, rootOf } = await withClient(
    database.connection,
    database.name,
    async (client) => ({
      found: await takeInventory(client, manifest.database),
      rootOf: await rootsInDatabase(client),
    }),
    // A later attempt finds the event triggers of the dump there, which only a superuser makes.
    { withoutEventTriggers },
  );
  const ofRows =
    manifest.countedIn === 'nowhere'
      ? []
      : [...countDifferences(manifest.contents.filter(isWanted), found.contents.filter(isWanted), rootOf)];
  // Another major version counts some objects otherwise, such as NOT NULL constraints.
  const comparable = only === undefined && majorOf(versionNum) === majorOf(manifest.server.versionNum);
  const ofObjects = manifest.objects !== null && comparable ? compareObjects(manifest.objects, found.objects) : [];
  // A large object has bytes of its own.
  const lost = [...ofRows, ...ofObjects.filter((text) => errors.length === 0 || text.includes('of kind large object'))];
  if (lost.length === 0) return { ...found, differences: ofObjects };
  const what = `the restored database is not what was dumped: ${summarize(lost)}`;
  if (errors.length === 0)
    throw new RepriseError(
      'check-failed',
      what,
      'the live database was not touched; choose another backup with recover --to backup:ID',
    );
  throw new RepriseError(
    'check-failed',
    `${what}. pg_restore reported errors: ${summarize(errors)}`,
    `the live database was not touched, and the copy is kept as ${JSON.stringify(database.name)} (reprise kept list): look into it as a role without rights. Choose another backup with recover --to backup:ID, or mend on the server what the errors name, then try again, which makes the copy anew`,
    { isKept: true },
  );
}

async function isSuperuser(connection: ConnectionConfig): Promise<boolean> {
  const { rows } = await withMaintenance(connection, (client) =>
    client.query<{ superuser: boolean }>(
      'SELECT rolsuper AS superuser FROM pg_catalog.pg_roles WHERE rolname = current_user',
    ),
  );
  return rows[0]?.superuser === true;
}
