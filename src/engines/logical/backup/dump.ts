import { join } from 'node:path';
import { isRepriseError, RepriseError } from '../../../domain/errors.js';
import { unlessPassed } from '../../../domain/operation/progress.js';
import { libpqEnv } from '../../../postgres/connection/environment.js';
import type { Encryption, TableCount } from '../../../domain/backup/backup.js';
import type { JobResult } from '../../../process/jobs/jobs.js';
import type { BackupRequest, EngineContext, MadeBackup } from '../../engine.js';
import { countDump } from '../repository/count-dump.js';
import { encryptionOf, runOnFile, writingArgv } from '../encryption.js';
import type { SealedFile } from '../encryption.js';
import { wholeFile } from '../repository/local-copy.js';
import { dumpGlobals } from './dump-globals.js';
import { fingerprint } from '../../shared/hash.js';
import type { Fingerprint } from '../../shared/hash.js';
import { toolHasEnded, runToolJob } from '../../shared/run-tool-job.js';
import { LOGICAL_TOOLS } from '../tool-rules.js';
import { parseJson, readIfThere } from '../../shared/manifest.js';
import { commitManifest, dumpFactsSchema, LOGICAL, madeBackup, readManifest } from '../repository/manifest.js';
import type { DumpFacts, DumpManifest } from '../repository/manifest.js';
import { encodeName, filesOf, incomingFilesOf, incomingPrefix, labelOf, manifestKeyOf } from '../repository/names.js';
import type { BackupFiles } from '../repository/names.js';
import type { LogicalOptions } from '../options.js';
import { expectedSize } from './preflight.js';
import { factsAndProperties } from './database-facts.js';
import { withInventory } from './snapshot.js';
import { LOCK_WAIT_TIMEOUT, STALL_TIMEOUT_MS, toolMajor } from '../tools.js';
import { uploadOutput } from './upload.js';

/** One database's dump on its way. */
interface Dumping {
  readonly context: EngineContext;
  readonly database: string;
  readonly label: string;
  readonly startedAt: string;
  readonly incoming: BackupFiles;
  readonly encryption: Encryption | null;
}

/**
 * Dumps one database and publishes it: dump, roles, and last the manifest that makes them a backup. Each step
 * leaves a file that the next attempt finds: it continues wherever an attempt was interrupted.
 *
 * @throws RepriseError `storage-full`, `privilege-missing`, `conflict` where another operation has the
 *   name, `tool-failed`; nothing partial is left then
 */
export async function backUpDatabase(
  context: EngineContext,
  request: BackupRequest,
  database: string,
): Promise<MadeBackup> {
  const label = labelOf(database, request.startedAt);
  const manifestKey = manifestKeyOf(context, label);
  const published = await readManifest(context.storage, manifestKey);
  if (published !== null && published.operationId !== context.operationId) {
    throw new RepriseError(
      'conflict',
      `the backup ${label} exists already and belongs to another operation`,
      'run the backup again: its name is the second it starts in',
    );
  }
  if (published === null) await makeAndPublish(context, { database, label, startedAt: request.startedAt });
  await context.storage.remove(factsKey(context, label));
  const manifest = published ?? (await readManifest(context.storage, manifestKey));
  if (manifest === null)
    throw new RepriseError(
      'conflict',
      `the backup ${label} disappeared while it was published`,
      'find out which other program removes files from the repository',
    );
  return madeBackup(manifest, context.policy.repository);
}

async function makeAndPublish(
  context: EngineContext,
  named: Pick<Dumping, 'database' | 'label' | 'startedAt'>,
): Promise<void> {
  const { label } = named;
  await context.storage.prepare(incomingPrefix(context), context.user ?? undefined);
  // What this operation has begun it goes on with, whatever became of the config meanwhile.
  const begun = await takenFacts(context, label);
  const encryption = begun === null ? await encryptionOf(context) : (begun.encryption ?? null);
  const files = filesOf(context, label, encryption !== null);
  // Where an object appears whole or not at all, it gets its name at once; only the manifest makes it a backup.
  const inPlace = !context.storage.capabilities.localPath;
  const incoming = inPlace ? files : incomingFilesOf(context, context.operationId, label, encryption !== null);
  if ((await context.storage.stat(incoming.manifest)) === null) {
    const manifest = await makeDump({ context, ...named, incoming, encryption });
    await commitManifest(context.storage, incoming.manifest, manifest);
  }
  if (!inPlace) await publishDump(context, label, encryption !== null);
}

/** Gives whole files their last names, the manifest last. */
export async function publishDump(context: EngineContext, label: string, encrypted: boolean): Promise<void> {
  const incoming = incomingFilesOf(context, context.operationId, label, encrypted);
  const files = filesOf(context, label, encrypted);
  await context.storage.publish(incoming.dump, files.dump);
  await context.storage.publish(incoming.globals, files.globals);
  await context.storage.publish(incoming.manifest, files.manifest);
}

/** A dump that ended well stays for the next attempt, whatever fails after it; what a failed one leaves goes at once. */
async function makeDump(dumping: Dumping): Promise<DumpManifest> {
  const { context, database, label, startedAt, incoming, encryption } = dumping;
  const file = { key: incoming.dump, encrypted: encryption !== null };
  const removedIf =
    (isLost: (error: unknown) => boolean) =>
    async (error: unknown): Promise<never> => {
      if (isLost(error))
        for (const key of [incoming.dump, incoming.globals, factsKey(context, label)])
          await context.storage.remove(key);
      throw error;
    };
  const facts = await factsOf(dumping).catch(removedIf(toolHasEnded));
  const { connection } = context.cluster;
  const hashes = (context.policy.options as LogicalOptions).contentHashes === true;
  const {
    result: { job: result, written },
    inventory,
  } = await withInventory({ connection, database, hashes, signal: context.signal }, (snapshot) =>
    runPgDump(dumping, facts, snapshot),
  ).catch(removedIf(toolHasEnded));
  const dump = written ?? (await fingerprint(context, incoming.dump, `reading back ${database}`));
  await readTableOfContents(context, file).catch(removedIf(showsDumpUnusable));
  // A dump that an earlier attempt started is of another snapshot than the one just counted.
  const counted = result.attached ? null : inventory;
  const countedIn = counted !== null ? 'snapshot' : canRead(context, file) ? 'dump' : 'nowhere';
  const inDump =
    countedIn === 'dump' ? await countOnHost({ ...dumping, dump, facts }).catch(removedIf(showsDumpUnusable)) : [];
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
    contents: counted?.contents ?? inDump,
    countedIn,
    objects: counted?.objects ?? null,
    ...(counted?.recorded === undefined ? {} : { recorded: counted.recorded }),
  };
}

/** pg_restore read the dump and failed, or the operation was cancelled. That the storage could not be read is no such error. */
function showsDumpUnusable(error: unknown): boolean {
  return isRepriseError(error) && (typeof error.details['code'] === 'number' || error.code === 'job-cancelled');
}

async function countOnHost({
  context,
  database,
  incoming,
  encryption,
  dump,
  facts,
}: Dumping & { dump: Fingerprint; facts: DumpFacts }): Promise<readonly TableCount[]> {
  const file = await wholeFile(context, incoming.dump, dump);
  const counts = await countDump(
    context,
    `count:${encodeName(database)}`,
    { ...facts, database, dump },
    { key: incoming.dump, encrypted: encryption !== null, path: file.path },
  );
  await file.discard();
  return counts.tables;
}

/** Facts and roles, taken before the dump: with them a dump that ended is whole even if the server is lost then. */
async function factsOf({ context, database, label, incoming, encryption }: Dumping): Promise<DumpFacts> {
  const taken = await takenFacts(context, label);
  if (taken !== null) return taken;
  const { superuser, ...ofDatabase } = await factsAndProperties(context, database);
  const globals = await dumpGlobals(
    context,
    incoming.globals,
    { passwords: superuser, versionNum: ofDatabase.server.versionNum },
    encryption,
  );
  const facts: DumpFacts = {
    ...ofDatabase,
    toolMajor: await toolMajor(context, 'pg_dump'),
    globals,
    encryption: encryption ?? undefined,
  };
  await context.storage.write(factsKey(context, label), JSON.stringify(facts));
  return facts;
}

async function takenFacts(context: EngineContext, label: string): Promise<DumpFacts | null> {
  const taken = await readIfThere(context.storage, factsKey(context, label));
  if (taken === null) return null;
  const facts = dumpFactsSchema.safeParse(parseJson(taken.toString('utf8')));
  // Half a file is as good as none: nothing was dumped with it yet.
  return facts.success ? facts.data : null;
}

/** Where an earlier attempt's dump was taken away since, it is made anew. */
async function runPgDump(
  { context, database, incoming, encryption }: Dumping,
  { standby, server }: DumpFacts,
  snapshot: string | null,
): Promise<{ readonly job: JobResult; readonly written: Fingerprint | null }> {
  const { compress } = context.policy.options as LogicalOptions;
  const total = await expectedSize(context, database);
  const removePartial = (): Promise<void> => context.storage.remove(incoming.dump);
  const tool = {
    step: `dump:${encodeName(database)}`,
    tool: 'pg_dump',
    argv: await writingArgv(context, encryption, incoming.dump, [
      join(context.pgBin, 'pg_dump'),
      '--format=custom',
      '--no-password',
      `--lock-wait-timeout=${LOCK_WAIT_TIMEOUT}`,
      ...(compress === undefined ? [] : [`--compress=${compress}`]),
      ...(standby === true ? ['--no-unlogged-table-data'] : []),
      ...(snapshot === null ? [] : [`--snapshot=${snapshot}`]),
    ]),
    // The name goes by PGDATABASE, never as an argument that could be a connection string.
    env: libpqEnv(context.cluster.connection, database, server.versionNum),
  };
  if (!context.storage.capabilities.localPath) {
    const { job, written } = await uploadOutput(context, {
      ...tool,
      key: incoming.dump,
      phase: `dumping ${database}`,
      totalBytes: total,
    });
    return { job, written: { sizeBytes: written.sizeBytes, sha256: written.sha256 } };
  }
  const job = await runToolJob(context.jobs, LOGICAL_TOOLS, {
    ...tool,
    onGone: 'restart',
    cleanUp: removePartial,
    resultIsGone: async () => (await context.storage.stat(incoming.dump)) === null,
    progress: async () => {
      const done = (await context.storage.stat(incoming.dump))?.sizeBytes ?? 0;
      return {
        phase: `dumping ${database}`,
        done,
        ...unlessPassed(total, done),
        unit: 'bytes',
      };
    },
    stallTimeoutMs: STALL_TIMEOUT_MS,
  });
  return { job, written: null };
}

/**
 * pg_restore must be able to read what pg_dump wrote. It says little of the data: that is what verify reads. A host
 * that has no key cannot look.
 */
async function readTableOfContents(context: EngineContext, file: SealedFile): Promise<void> {
  if (!canRead(context, file)) return;
  await runOnFile(context, file, [join(context.pgBin, 'pg_restore'), '--list', '--file=/dev/null'], 'beginning', {
    timeoutMs: 10 * 60_000,
  });
}

const canRead = ({ policy }: EngineContext, { encrypted }: SealedFile): boolean =>
  !encrypted || policy.encryption?.identity !== undefined;

function factsKey(context: EngineContext, label: string): string {
  return incomingFilesOf(context, context.operationId, label, false).manifest.replace(/json$/, 'facts.json');
}
