import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { RepriseError } from '../../../domain/errors.js';
import { sizeInWords } from '../../../domain/text/text.js';
import { freeBytes } from '../../../postgres/server/disk.js';
import { giveTo } from '../../../files/directories.js';
import { makeHostScratch } from '../../../postgres/server/scratch-directory.js';
import type { EngineContext } from '../../engine.js';
import { seeFiles } from '../../shared/bound-content.js';
import { damageOf } from '../../shared/hash.js';
import { fileKey } from '../repository/manifest.js';
import type { BackupFile, BaseManifest } from '../repository/manifest.js';
import { spoolOf } from '../repository/names.js';
import { streamToFile } from '../../../files/atomic-file.js';
import { removeTree } from '../../../files/remove-tree.js';
import { makeOwnDirectory } from '../../../files/trusted-paths.js';

/** The archives of a backup as files of this host, each with its recorded size and SHA-256. */
export interface FetchedFiles {
  pathOf(name: string): string;
  /** @throws RepriseError `conflict` where one that was used in its place was changed since it was compared */
  requireSame(): Promise<void>;
  /** Takes away what was fetched only for this. */
  remove(): Promise<void>;
}

/**
 * Compares every file with what was recorded, in place where tools can read the repository; else on its way to the
 * host's scratch directory, where a file that an earlier attempt brought whole is not fetched again.
 * @throws RepriseError `backup-corrupt` before anything is unpacked, `disk-full`
 */
export async function fetchFiles(
  context: EngineContext,
  manifest: BaseManifest,
  corrupt: (damage: string) => RepriseError,
): Promise<FetchedFiles> {
  const { label, files } = manifest;
  if (context.storage.capabilities.localPath) {
    const pathOf = (name: string): string => context.storage.localPath(fileKey(context, label, { name }));
    const { requireSame } = await seeFiles(files.map(({ name }) => pathOf(name)));
    for (const file of files) {
      const damage = await damageOf(context, fileKey(context, label, file), file);
      if (damage !== null) throw corrupt(damage);
    }
    return { pathOf, requireSame, remove: () => Promise.resolve() };
  }
  await makeHostScratch(context.host, context.user);
  const directory = join(spoolOf(context), label);
  await makeOwnDirectory(directory, context.user);
  const missing: BackupFile[] = [];
  for (const file of files) if (!(await isWhole(join(directory, file.name), file))) missing.push(file);
  await requireSpace(context, missing);
  for (const file of missing) await fetchFile(context, manifest, file, directory, corrupt);
  return {
    pathOf: (name) => join(directory, name),
    requireSame: () => Promise.resolve(),
    remove: () => removeTree(spoolOf(context)),
  };
}

async function fetchFile(
  context: EngineContext,
  { label }: BaseManifest,
  file: BackupFile,
  directory: string,
  corrupt: (damage: string) => RepriseError,
): Promise<void> {
  const path = join(directory, file.name);
  const counted = hashing((done) =>
    context.report({ phase: `fetching ${file.name}`, done, total: file.sizeBytes, unit: 'bytes' }),
  );
  await pipeline(await context.storage.open(fileKey(context, label, file)), counted.stream, streamToFile(path), {
    signal: context.signal,
  });
  const found = counted.result();
  if (found.sizeBytes !== file.sizeBytes || found.sha256 !== file.sha256) {
    await removeTree(path);
    throw corrupt(
      `${file.name} of ${label} is not what was recorded: ${found.sizeBytes} bytes where there were ${file.sizeBytes}, or another SHA-256`,
    );
  }
  await giveTo(path, context.user);
}

async function isWhole(path: string, file: BackupFile): Promise<boolean> {
  const there = await stat(path).catch(() => null);
  if (there?.size !== file.sizeBytes) return false;
  const counted = hashing(() => undefined);
  await pipeline(createReadStream(path), counted.stream.resume());
  return counted.result().sha256 === file.sha256;
}

function hashing(report: (bytes: number) => void) {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const stream = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      sizeBytes += chunk.length;
      report(sizeBytes);
      done(null, chunk);
    },
  });
  return { stream, result: () => ({ sizeBytes, sha256: hash.digest('hex') }) };
}

async function requireSpace({ host }: EngineContext, files: readonly BackupFile[]): Promise<void> {
  const needed = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const free = await freeBytes(host.scratchDir);
  if (free >= needed) return;
  throw new RepriseError(
    'disk-full',
    `the scratch directory ${host.scratchDir} has ${sizeInWords(free)} free, and the archives of the backup have ${sizeInWords(needed)}`,
    `free space there, or name another with hosts.${host.name}.scratch_dir`,
  );
}
