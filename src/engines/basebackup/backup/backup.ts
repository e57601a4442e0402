import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isRepriseError, isRetryable, RepriseError } from '../../../domain/errors.js';
import { segmentAt, segmentBefore } from '../../../domain/target/wal.js';
import { countDatabases } from '../../../postgres/content/inventory.js';
import { recordClusterObjects } from '../../../postgres/content/read-objects.js';
import type { LiveServerFacts } from '../../../postgres/server/server-facts.js';
import { makeHostScratch } from '../../../postgres/server/scratch-directory.js';
import type { JobResult } from '../../../process/jobs/jobs.js';
import type { BackupRequest, EngineContext, MadeBackup } from '../../engine.js';
import { BASEBACKUP, fileKey, madeBackup, manifestText, readManifest } from '../repository/manifest.js';
import type { BackupFile, BaseManifest } from '../repository/manifest.js';
import { labelOf, manifestKey, PG_MANIFEST, spoolOf } from '../repository/names.js';
import { optionsOf } from '../options.js';
import { chooseOnce, doesNotFit, keepChoice } from './backup-type.js';
import { ownFiles } from '../repository/list.js';
import { parentManifest } from '../repository/chain.js';
import type { Choice } from './backup-type.js';
import { readPgManifest } from './pg-manifest.js';
import { archivingHint, liveServer } from '../wal/archiving.js';
import { takeBase, tarsOf, verifySpool } from './spool.js';
import { waitForSegment } from '../wal/wal-archive.js';
import { removeTree } from '../../../files/remove-tree.js';

/**
 * One backup of the cluster: spooled, compared with its manifest by pg_verifybackup, its stop WAL seen in the
 * archive, then written to the repository with our own manifest last. Every step leaves behind what the next
 * attempt finds.
 * @throws RepriseError `backup-corrupt`, `wal-not-archived`, `storage-full`, `privilege-missing`, `conflict`
 */
export async function backup(context: EngineContext, request: BackupRequest): Promise<readonly MadeBackup[]> {
  const manifest =
    (await publishedBefore(context, request)) ?? (await unlessFinal(context, () => makeAndPublish(context, request)));
  await removeTree(spoolOf(context));
  return [madeBackup(manifest, context.policy.repository)];
}

/** What an earlier attempt of this operation finished. Throws `conflict` where another operation has the name. */
async function publishedBefore(context: EngineContext, { startedAt }: BackupRequest): Promise<BaseManifest | null> {
  for (const label of [labelOf('full', startedAt), labelOf('incr', startedAt)]) {
    const published = await readManifest(context.storage, manifestKey(context, label));
    if (published?.operationId === context.operationId) return published;
    if (published !== null)
      throw new RepriseError(
        'conflict',
        `the backup ${label} exists already and belongs to another operation`,
        'run the backup again: its name is the second it starts in',
      );
  }
  return null;
}

/**
 * What a cancelled operation has begun: what it took on this host, and what it wrote to the repository of a backup that has no
 * manifest.
 */
export async function abandonBackup(context: EngineContext, startedAt: string | null): Promise<void> {
  await removeTree(spoolOf(context));
  const labels = startedAt === null ? [] : [labelOf('full', startedAt), labelOf('incr', startedAt)];
  for (const label of labels) {
    const keys = await ownFiles(context, label);
    if (keys.includes(manifestKey(context, label))) continue;
    for (const key of keys) await context.storage.remove(key);
  }
}

/** What no attempt continues with is removed: it is as big as the cluster. */
async function unlessFinal<T>(context: EngineContext, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const goesOn = isRepriseError(error) ? isRetryable(error) : context.signal.aborted;
    if (!goesOn) await removeTree(spoolOf(context));
    throw error;
  }
}

async function makeAndPublish(context: EngineContext, request: BackupRequest): Promise<BaseManifest> {
  const server = await liveServer(context);
  const { startedAt } = request;
  await makeHostScratch(context.host, context.user);
  const { choice, taken } = await take(context, request, server, await chooseOnce(context, request, server));
  const { type, parent } = choice;
  const named = { type, label: labelOf(type, startedAt), startedAt };
  const facts = await readPgManifest(join(tarsOf(context), PG_MANIFEST));
  requireIdentity(facts.systemIdentifier, server);
  await verifySpool(context);
  const { walSegmentBytes: segmentBytes, versionNum, systemIdentifier, dataChecksums } = server;
  const wal = {
    start: segmentAt(facts.timeline, facts.startLsn, segmentBytes),
    stop: segmentBefore(facts.timeline, facts.stopLsn, segmentBytes),
  };
  await waitForSegment(context, wal.stop, optionsOf(context).archiveTimeoutSeconds, archivingHint(context));
  const { connection, databases } = context.cluster;
  const manifest: BaseManifest = {
    schemaVersion: 1,
    engine: BASEBACKUP,
    ...named,
    cluster: context.cluster.name,
    policy: context.policy.name,
    operationId: context.operationId,
    finishedAt: taken.finishedAt,
    files: await upload(context, named.label),
    databaseBytes: facts.totalBytes,
    segmentBytes,
    wal,
    lsn: { start: facts.startLsn, stop: facts.stopLsn },
    server: { versionNum, systemIdentifier, dataChecksums },
    dependsOn: parent === null ? [] : [parent.label, ...parent.dependsOn],
    contents: await countDatabases(connection, databases, context.signal),
    objects: await recordClusterObjects(connection, databases, context.signal),
    ...(optionsOf(context).pageErrors === 'accept' && dataChecksums ? { pageErrors: ['pages were not checked'] } : {}),
  };
  await context.storage.write(manifestKey(context, named.label), manifestText(manifest));
  return manifest;
}

/** Where `auto` chose a parent that turns out not to fit, a full backup is taken: the next ones would fail in the same way. */
async function take(
  context: EngineContext,
  { type: asked, startedAt }: BackupRequest,
  server: LiveServerFacts,
  choice: Choice,
): Promise<{ choice: Choice; taken: JobResult }> {
  const { type, parent, instead = false } = choice;
  const { versionNum } = server;
  const label = labelOf(type, startedAt);
  // A key of its own: under the other one the job has failed for good.
  if (parent === null)
    return {
      choice,
      taken: await takeBase(context, label, null, { versionNum, step: instead ? 'basebackup-full' : 'basebackup' }),
    };
  try {
    return { choice, taken: await takeBase(context, label, await parentManifest(context, parent), { versionNum }) };
  } catch (error) {
    if (asked !== 'auto' || !doesNotFit(error)) throw error;
    return take(
      context,
      { type: 'full', startedAt },
      server,
      await keepChoice(context, { type: 'full', parent: null, instead: true }),
    );
  }
}

/** PostgreSQL 17 and later name the cluster in the manifest: it must be the one that was asked. */
function requireIdentity(found: string | null, server: LiveServerFacts): void {
  if (found === null || found === server.systemIdentifier) return;
  throw new RepriseError(
    'identity-mismatch',
    `the backup is of the cluster ${found}, and the server is ${server.systemIdentifier}`,
    'check whether a proxy sends replication connections to another server',
  );
}

async function upload(context: EngineContext, label: string): Promise<readonly BackupFile[]> {
  const tars = tarsOf(context);
  const names = (await readdir(tars)).sort();
  const files: BackupFile[] = [];
  for (const name of names) {
    const report = (done: number): void =>
      context.report({ phase: `writing ${name} to the repository`, done, unit: 'bytes' });
    const written = await context.storage.writeStream(
      fileKey(context, label, { name }),
      createReadStream(join(tars, name)),
      { signal: context.signal, report },
    );
    files.push({ name, ...written });
  }
  return files;
}
