// Longer than 400 lines: one subject, from what lies in a folder to the backup that it becomes.
import { constants } from 'node:fs';
import { lstat, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isRepriseError, RepriseError } from '../../../domain/errors.js';
import { isLeaving, type JobExit, type JobExitClass } from '../../../process/jobs/jobs.js';
import type { AdoptionCandidate, AdoptionSurvey, EngineContext, MadeBackup, ReadContext } from '../../engine.js';
import { readHeader, readLocale, whyNoDump } from './archive-header.js';
import type { ArchiveHeader } from './archive-header.js';
import { whyPartial } from '../archive/partial.js';
import { compareDump } from './compare-dump.js';
import { tocOf } from '../archive/read-toc.js';
import { countDump } from '../repository/count-dump.js';
import { factsAndProperties } from './database-facts.js';
import { publishDump } from './dump.js';
import { dumpGlobals } from './dump-globals.js';
import { fingerprint } from '../../shared/hash.js';
import type { Fingerprint } from '../../shared/hash.js';
import { removeSecondName, type SealedFile } from '../encryption.js';
import { toolHasEnded, runToolJob } from '../../shared/run-tool-job.js';
import { LOGICAL_TOOLS } from '../tool-rules.js';
import { listBackups } from '../repository/list.js';
import { commitManifest, LOGICAL, madeBackup, readManifest } from '../repository/manifest.js';
import type { DumpManifest } from '../repository/manifest.js';
import { operationMark } from '../../shared/policy-folder.js';
import { filesOf, manifestKeyOf, incomingFilesOf, incomingPrefix, labelOf } from '../repository/names.js';
import type { BackupFiles } from '../repository/names.js';
import { STALL_TIMEOUT_MS } from '../tools.js';
import { uploadOutput } from './upload.js';
import { pathExists } from '../../../files/paths.js';

/** Nobody knows which cluster a dump came from: it holds no system identifier. */
const UNKNOWN_CLUSTER = 'unknown';
/** A file's time tells the dump's end only where it is near its beginning: copying a file changes it. */
const LONGEST_DUMP_MS = 86_400_000;
const OF_THE_FILE = ['backup-corrupt', 'identity-mismatch', 'privilege-missing', 'version-mismatch'];

/**
 * Dumps of this policy's databases in a folder; every other file is named with the reason.
 * @throws RepriseError `capability-missing` where the policy encrypts: plain text would get among what is encrypted
 */
export async function surveyDumps(context: ReadContext, directory: string): Promise<AdoptionSurvey> {
  if (context.policy.encryption !== undefined) {
    throw new RepriseError(
      'capability-missing',
      `policy ${context.policy.name} encrypts what it writes, and dumps are adopted as they are`,
      'name a policy without encryption: --policy',
    );
  }
  const candidates: AdoptionCandidate[] = [];
  const refused: { name: string; reason: string }[] = [];
  for (const name of await namesIn(directory)) {
    context.signal.throwIfAborted();
    const path = join(directory, name);
    try {
      const reason = (await whyNoFile(context, path)) ?? (await whyNoDump(path));
      if (reason !== null) refused.push({ name, reason });
      else candidates.push(await candidateOf(context, name, path));
    } catch (error) {
      if (context.signal.aborted || (isRepriseError(error) && !OF_THE_FILE.includes(error.code))) throw error;
      refused.push({ name, reason: error instanceof Error ? error.message : String(error) });
    }
  }
  return { candidates: candidates.toSorted((a, b) => (a.startedAt < b.startedAt ? -1 : 1)), refused };
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    // A folder is looked into by nobody, but for the one that a directory-format dump is.
    const shown = await Promise.all(
      entries.map(
        async (entry) =>
          !entry.name.startsWith('.') &&
          (!entry.isDirectory() || (await pathExists(join(directory, entry.name, 'toc.dat')))),
      ),
    );
    return entries
      .filter((_, index) => shown[index])
      .map(({ name }) => name)
      .sort();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new RepriseError(
      'not-found',
      `the folder ${directory} cannot be read on this host (${code})`,
      'name the folder by its path on the host of the cluster',
    );
  }
}

async function whyNoFile({ user }: ReadContext, path: string): Promise<string | null> {
  const found = await lstat(path);
  if (found.isDirectory()) return 'it is a dump in directory format: only dumps of pg_dump -Fc can be adopted';
  if (found.isSymbolicLink()) return 'it is a symbolic link: name the folder that holds the file itself';
  if (!found.isFile()) return 'it is no plain file';
  if ((found.mode & 0o022) !== 0) return 'it may be written by others than its owner: chmod go-w';
  const owners = [0, process.getuid?.() ?? 0, ...(user === null ? [] : [user.uid])];
  return owners.includes(found.uid)
    ? null
    : `it belongs to user ${found.uid}, who is neither root nor the user of the worker`;
}

async function candidateOf(context: ReadContext, name: string, path: string): Promise<AdoptionCandidate> {
  const header = await readHeader(context, path);
  const database = databaseNamed(context, header);
  const { mtime, size } = await stat(path);
  const startedAt = startOf(header, mtime, context.now());
  const took = mtime.getTime() - startedAt.getTime();
  const finishedAt = took >= 0 && took < LONGEST_DUMP_MS ? mtime : startedAt;
  const partial = whyPartial(await tocOf(context, { key: name, encrypted: false, path }));
  return {
    name,
    database,
    startedAt: startedAt.toISOString(),
    finishedAt: finishedAt.toISOString(),
    sizeBytes: size,
    ...(partial === null ? {} : { partial }),
  };
}

/** @throws RepriseError `identity-mismatch` for a dump of a database that the cluster's config does not name */
function databaseNamed({ cluster }: ReadContext, header: ArchiveHeader): string {
  const found = cluster.databases.find((name) => name.replaceAll(/[\r\n]/g, ' ') === header.database);
  if (found !== undefined) return found;
  throw new RepriseError(
    'identity-mismatch',
    `it is a dump of database ${JSON.stringify(header.database)}, and the cluster's databases are ${cluster.databases.join(', ')}`,
    'add it under databases:',
  );
}

/** A wall clock without a zone is read in this host's; where that is after the file's own time it cannot be right. */
function startOf({ createdAt }: ArchiveHeader, modified: Date, now: Date): Date {
  const local = new Date(createdAt.replace(' ', 'T'));
  const start = local <= modified ? local : modified;
  if (start <= now) return start;
  throw new RepriseError(
    'backup-corrupt',
    `it is dated in the future (${start.toISOString()})`,
    'set the clock right, or the time of the file',
  );
}

/** Copies one dump, reads all of it, and publishes it under our names; each step finds what an earlier attempt left. */
export async function takeDump(
  context: EngineContext,
  directory: string,
  candidate: AdoptionCandidate,
): Promise<MadeBackup | null> {
  const source = join(directory, candidate.name);
  if (await isKnown(context, source, candidate)) return null;
  const { label, startedAt, published } = await freeName(context, candidate);
  const files = filesOf(context, label, false);
  const ownMark = incomingFilesOf(context, context.operationId, label, false);
  if (published !== null) {
    await context.storage.remove(ownMark.manifest);
    return adopted(context, published, files);
  }
  await context.storage.prepare(incomingPrefix(context), context.user ?? undefined);
  if (context.storage.capabilities.localPath) {
    if ((await context.storage.stat(ownMark.manifest)) === null)
      await fill(context, source, candidate, { label, startedAt }, ownMark);
    await publishDump(context, label, false);
  } else {
    // The upload gets its last name at once: this tells a later attempt that the name is taken by its own operation.
    await context.storage.write(ownMark.manifest, '{}');
    await fill(context, source, candidate, { label, startedAt }, files);
    await context.storage.remove(ownMark.manifest);
  }
  const manifest = await readManifest(context.storage, files.manifest);
  if (manifest === null)
    throw new RepriseError(
      'conflict',
      `the backup ${label} disappeared while it was published`,
      'find out which other program removes files from the repository',
    );
  return adopted(context, manifest, files);
}

/** A manifest alone is no backup: reported is only what has its dump. */
async function adopted(
  { storage, policy }: EngineContext,
  manifest: DumpManifest,
  { dump }: BackupFiles,
): Promise<MadeBackup> {
  if ((await storage.stat(dump))?.sizeBytes === manifest.dump.sizeBytes) return madeBackup(manifest, policy.repository);
  throw new RepriseError(
    'conflict',
    `the dump of ${manifest.label} disappeared while it was published`,
    'remove its manifest and adopt again; find out which other program removes files from the repository',
  );
}

/** Copies and describes; what goes wrong before its manifest leaves nothing of it. */
async function fill(
  context: EngineContext,
  source: string,
  candidate: AdoptionCandidate,
  named: { label: string; startedAt: string },
  files: BackupFiles,
): Promise<void> {
  const manifest = await copy(context, source, candidate, files)
    .then((copied) => describeCopy(context, candidate, named, files, copied))
    .catch(async (error: unknown) => {
      // Where the worker shuts down, the copy goes on and is found by the next attempt.
      if (!isLeaving(context)) for (const key of [files.dump, files.globals]) await context.storage.remove(key);
      throw error;
    });
  // A manifest whose answer was lost may be there all the same: from here on its dump stays.
  await commitManifest(context.storage, files.manifest, manifest);
}

/** Whether another backup has this very content; only files of the same size are read for that. */
async function isKnown(
  context: EngineContext,
  source: string,
  { name, database, sizeBytes }: AdoptionCandidate,
): Promise<boolean> {
  const alike = (await listBackups(context)).filter(
    (backup) => backup.database === database && backup.sizeBytes === sizeBytes,
  );
  if (alike.length === 0) return false;
  const sha256 = await hashOfFile(context, source, name, sizeBytes);
  for (const { label } of alike.filter((backup) => backup.sha256 === sha256)) {
    const manifest = await readManifest(context.storage, manifestKeyOf(context, label));
    if (!isOwn(context, manifest, name)) return true;
  }
  return false;
}

/** SHA-256 of a file outside of the repository. */
async function hashOfFile(context: EngineContext, path: string, name: string, sizeBytes: number): Promise<string> {
  const storage = {
    open: async () => (await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)).createReadStream(),
  };
  return (await fingerprint({ ...context, storage }, path, `comparing SHA-256 of ${name}`, sizeBytes)).sha256;
}

const changed = (): RepriseError =>
  new RepriseError(
    'backup-corrupt',
    'it was changed while it was copied',
    'adopt it again when it is no longer written to',
  );

/** The second after which it is named; the next one where another backup has it. */
async function freeName(
  context: EngineContext,
  { database, startedAt, name }: AdoptionCandidate,
): Promise<{ label: string; startedAt: string; published: DumpManifest | null }> {
  for (let instant = Date.parse(startedAt); ; instant += 1000) {
    const at = new Date(instant).toISOString();
    const label = labelOf(database, at);
    const files = filesOf(context, label, false);
    const published = await readManifest(context.storage, files.manifest);
    if (isOwn(context, published, name)) return { label, startedAt: at, published };
    const begun =
      (await context.storage.stat(incomingFilesOf(context, context.operationId, label, false).manifest)) !== null;
    if (published === null && (begun || (await context.storage.stat(files.dump)) === null))
      return { label, startedAt: at, published };
  }
}

/** What an earlier attempt of this operation made of this file. */
function isOwn({ operationId }: EngineContext, manifest: DumpManifest | null, name: string): manifest is DumpManifest {
  return manifest?.operationId === operationId && manifest.adopted?.from === name;
}

/** Where the copy can be read on this host, and what was copied. */
interface Copied {
  readonly path: string;
  readonly dump: Fingerprint;
}

async function copy(
  context: EngineContext,
  source: string,
  { name, sizeBytes }: AdoptionCandidate,
  incoming: BackupFiles,
): Promise<Copied> {
  const free = await context.storage.freeBytes();
  const there = (await context.storage.stat(incoming.dump))?.sizeBytes ?? 0;
  if (free !== null && free < sizeBytes - there) {
    throw new RepriseError(
      'disk-full',
      `the repository has ${free} bytes free, and ${name} takes ${sizeBytes}`,
      'free space there, then adopt again: what was adopted stays',
    );
  }
  const step = `adopt-copy:${operationMark(name)}`;
  const classifyExit = async ({ code }: JobExit): Promise<JobExitClass> => (code === null ? 'retry' : 'fail');
  try {
    if (!context.storage.capabilities.localPath) {
      const { written } = await uploadOutput(context, {
        step,
        tool: 'cat',
        argv: ['cat', '--', source],
        key: incoming.dump,
        classifyExit,
        phase: `copying ${name}`,
        totalBytes: sizeBytes,
      });
      return { path: source, dump: { sizeBytes: written.sizeBytes, sha256: written.sha256 } };
    }
    const target = context.storage.localPath(incoming.dump);
    await removeSecondName(target);
    await runToolJob(context.jobs, LOGICAL_TOOLS, {
      step,
      tool: 'cp',
      // No hard link: whoever writes into the original later would change the backup. A reflink, where there are any, is as fast.
      argv: ['cp', '--reflink=auto', '--no-dereference', '--no-target-directory', '--', source, target],
      onGone: 'restart',
      cleanUp: () => context.storage.remove(incoming.dump),
      classifyExit,
      progress: async () => ({
        phase: `copying ${name}`,
        done: (await context.storage.stat(incoming.dump))?.sizeBytes ?? 0,
        total: sizeBytes,
        unit: 'bytes',
      }),
      stallTimeoutMs: STALL_TIMEOUT_MS,
    });
    return { path: target, dump: await fingerprint(context, incoming.dump, `reading ${name}`, sizeBytes) };
  } catch (error) {
    if (!toolHasEnded(error) || !/Permission denied/i.test(String(error.details['stderrTail']))) throw error;
    throw new RepriseError(
      'privilege-missing',
      `user ${context.user?.name ?? 'of the worker'} may not read it`,
      'let that user read it: chmod or setfacl',
    );
  }
}

/** All that a dump of our own has in its manifest; what the file does not hold is taken from the server as it is now. */
async function describeCopy(
  context: EngineContext,
  candidate: AdoptionCandidate,
  { label, startedAt }: { label: string; startedAt: string },
  incoming: BackupFiles,
  { path, dump }: Copied,
): Promise<DumpManifest> {
  const { database, finishedAt, name } = candidate;
  const header = await readHeader(context, path);
  if (databaseNamed(context, header) !== database) throw changed();
  const { superuser, server: here, ...live } = await factsAndProperties(context, database);
  const file = { key: incoming.dump, encrypted: false, path };
  const contents = await countAll(context, candidate, { dump, extensionTables: live.extensionTables }, file);
  // Of what was copied: the original may have been another file when it was looked at first.
  const toc = await tocOf(context, file);
  const compared = await compareDump(context, { database, startedAt }, toc);
  const partial = whyPartial(toc) ?? compared.partial;
  // Where the original was read instead of the copy, it must still be what was copied.
  if (
    !context.storage.capabilities.localPath &&
    (await hashOfFile(context, path, name, dump.sizeBytes)) !== dump.sha256
  )
    throw changed();
  const globals = await dumpGlobals(
    context,
    incoming.globals,
    { passwords: superuser, versionNum: here.versionNum },
    null,
  );
  return {
    schemaVersion: 1,
    engine: LOGICAL,
    label,
    cluster: context.cluster.name,
    policy: context.policy.name,
    database,
    operationId: context.operationId,
    startedAt,
    finishedAt: finishedAt < startedAt ? startedAt : finishedAt,
    dump,
    ...live,
    server: { versionNum: header.serverVersionNum, systemIdentifier: UNKNOWN_CLUSTER },
    toolMajor: header.toolMajor,
    properties: { ...live.properties, ...(await readLocale(context, path)) },
    extensions: header.extensions,
    globals,
    contents,
    countedIn: 'dump',
    objects: null,
    adopted: {
      from: name,
      at: context.now().toISOString(),
      whole: partial === null && compared.unknown === null,
      ...(compared.unknown === null ? {} : { unknown: compared.unknown }),
    },
    ...(partial === null ? {} : { partial }),
  };
}

/** Reads every block: the first time a truncated dump is seen for what it is. */
async function countAll(
  context: EngineContext,
  { database, name }: AdoptionCandidate,
  copied: Pick<DumpManifest, 'dump' | 'extensionTables'>,
  file: SealedFile,
): Promise<DumpManifest['contents']> {
  try {
    return (await countDump(context, `adopt-count:${operationMark(name)}`, { database, ...copied }, file)).tables;
  } catch (error) {
    const gaveUp = isRepriseError(error) && typeof error.details['code'] === 'number';
    if (!gaveUp) throw error;
    throw new RepriseError('backup-corrupt', `it is truncated or damaged: ${error.message}`, 'it cannot be restored');
  }
}
