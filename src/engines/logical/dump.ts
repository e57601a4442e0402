import { join } from 'node:path';
import { RepriseError } from '../../domain/errors.js';
import { withClient } from '../../postgres/connect.js';
import { libpqEnv } from '../../postgres/environment.js';
import { databaseProperties } from '../../postgres/properties.js';
import type { JobResult } from '../../process/jobs.js';
import { runTool } from '../../process/run.js';
import type { BackupRequest, EngineContext, MadeBackup } from '../engine.js';
import { countDump } from './count-dump.js';
import { dumpGlobals } from './globals.js';
import { fingerprint } from './hash.js';
import { hasEnded, runJudged } from './judged-job.js';
import { LOGICAL, madeBackup, readIfThere, readManifest } from './manifest.js';
import type { DumpFacts, DumpManifest } from './manifest.js';
import { encodeName, filesOf, incomingFilesOf, incomingPrefix, labelOf } from './names.js';
import type { BackupFiles } from './names.js';
import type { LogicalOptions } from './options.js';
import { expectedSize } from './preflight.js';
import { readDatabaseFacts } from './database-facts.js';
import { besideInventory } from './snapshot.js';
import { LOCK_WAIT_TIMEOUT, STALL_TIMEOUT_MS, toolMajor } from './tools.js';

/** One database's dump on its way. */
interface Dumping {
  readonly context: EngineContext;
  readonly database: string;
  readonly label: string;
  readonly startedAt: string;
  readonly incoming: BackupFiles;
}

/**
 * Dumps one database and publishes it: dump, roles, and last the manifest that makes them a backup (B1, B4). Each step
 * leaves a file behind that the next attempt finds, so that an attempt cut off anywhere is taken up there.
 *
 * @throws RepriseError `storage-full` (F5), `privilege-missing` (F19, F20), `conflict` where another operation has the
 *   name, `tool-failed`; nothing partial is left then
 */
export async function backUpDatabase(context: EngineContext, request: BackupRequest, database: string): Promise<MadeBackup> {
  const label = labelOf(database, request.startedAt);
  const files = filesOf(context, label);
  const incoming = incomingFilesOf(context, context.operationId, label);
  const published = await readManifest(context.storage, files.manifest);
  if (published !== null && published.operationId !== context.operationId) {
    throw new RepriseError('conflict', `the backup ${label} exists already and is another operation's`, 'run the backup again: its name is the second it starts in');
  }
  if (published === null) {
    await context.storage.prepare(incomingPrefix(context), context.user ?? undefined);
    if ((await context.storage.stat(incoming.manifest)) === null) {
      const manifest = await makeDump({ context, database, label, startedAt: request.startedAt, incoming }).catch(async (error: unknown) => {
        if (hasEnded(error)) await removeIncoming(context, incoming);
        throw error;
      });
      await context.storage.write(incoming.manifest, `${JSON.stringify(manifest, null, 1)}\n`);
    }
    await context.storage.publish(incoming.dump, files.dump);
    await context.storage.publish(incoming.globals, files.globals);
    await context.storage.publish(incoming.manifest, files.manifest);
  }
  await context.storage.remove(factsKey(incoming));
  const manifest = published ?? (await readManifest(context.storage, files.manifest));
  if (manifest === null) throw new RepriseError('conflict', `the backup ${label} vanished while it was published`, 'see who else removes files from the repository');
  return madeBackup(manifest, context.policy.repository);
}

async function makeDump(dumping: Dumping): Promise<DumpManifest> {
  const { context, database, label, startedAt, incoming } = dumping;
  const facts = await factsOf(dumping);
  const { connection } = context.cluster;
  const { result, inventory } = await besideInventory(connection, database, context.signal, (snapshot) => runPgDump(dumping, snapshot));
  const dump = await fingerprint(context, incoming.dump, `reading back ${database}`);
  await readTableOfContents(context, incoming.dump);
  // A dump that an earlier attempt started is of another snapshot than the one just counted.
  const counted = result.attached ? null : inventory;
  const contents = counted?.contents ?? (await countDump(context, `count:${encodeName(database)}`, { ...facts, database }, incoming.dump)).tables;
  return {
    schemaVersion: 1,
    engine: LOGICAL,
    label,
    cluster: context.cluster.name,
    policy: context.policy.name,
    database,
    operationId: context.operationId,
    startedAt,
    finishedAt: result.finishedAt,
    dump,
    ...facts,
    contents,
    countedIn: counted === null ? 'dump' : 'snapshot',
    objects: counted?.objects ?? null,
  };
}

/** Facts and roles, taken before the dump: with them a dump that ended is whole even if the server is lost then. */
async function factsOf({ context, database, incoming }: Dumping): Promise<DumpFacts> {
  const taken = await readIfThere(context.storage, factsKey(incoming));
  if (taken !== null) return JSON.parse(taken.toString('utf8')) as DumpFacts;
  const { superuser, ...ofDatabase } = await withClient(context.cluster.connection, database, async (client) => ({
    ...(await readDatabaseFacts(client)),
    properties: await databaseProperties(client, database),
  }));
  const globals = await dumpGlobals(context, incoming.globals, superuser);
  const facts: DumpFacts = { ...ofDatabase, toolMajor: await toolMajor(context, 'pg_dump'), globals };
  await context.storage.write(factsKey(incoming), JSON.stringify(facts));
  return facts;
}

async function runPgDump({ context, database, incoming }: Dumping, snapshot: string | null): Promise<JobResult> {
  const { compress } = context.policy.options as LogicalOptions;
  const total = await expectedSize(context, database);
  const removePartial = (): Promise<void> => context.storage.remove(incoming.dump);
  return runJudged(context.jobs, {
    step: `dump:${encodeName(database)}`,
    tool: 'pg_dump',
    argv: [
      join(context.pgBin, 'pg_dump'),
      '--format=custom',
      '--no-password',
      `--lock-wait-timeout=${LOCK_WAIT_TIMEOUT}`,
      `--file=${context.storage.localPath(incoming.dump)}`,
      ...(compress === undefined ? [] : [`--compress=${compress}`]),
      ...(snapshot === null ? [] : [`--snapshot=${snapshot}`]),
    ],
    // The name goes by PGDATABASE, never as an argument that could be a connection string (F36).
    env: libpqEnv(context.cluster.connection, database),
    onGone: 'restart',
    cleanUp: removePartial,
    progress: async () => {
      const done = (await context.storage.stat(incoming.dump))?.sizeBytes ?? 0;
      return { phase: `dumping ${database}`, done, ...(total === null ? {} : { total: Math.max(total, done) }), unit: 'bytes' };
    },
    stallTimeoutMs: STALL_TIMEOUT_MS,
  });
}

/** pg_restore must be able to read what pg_dump wrote. It says little of the data (F3): that is what verify reads. */
async function readTableOfContents(context: EngineContext, key: string): Promise<void> {
  const argv = [join(context.pgBin, 'pg_restore'), '--list', '--file=/dev/null', context.storage.localPath(key)];
  await runTool(argv, { user: context.user, signal: context.signal, timeoutMs: 10 * 60_000 });
}

/** Takes away all that a failed dump has left. */
async function removeIncoming(context: EngineContext, incoming: BackupFiles): Promise<void> {
  for (const key of [incoming.dump, incoming.globals, factsKey(incoming)]) await context.storage.remove(key);
}

const factsKey = (incoming: BackupFiles): string => incoming.manifest.replace(/json$/, 'facts.json');
