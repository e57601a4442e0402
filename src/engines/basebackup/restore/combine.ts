import { lstat, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { RepriseError } from '../../../domain/errors.js';
import { sizeInWords } from '../../../domain/text/text.js';
import { freeBytes } from '../../../postgres/server/disk.js';
import { makeHostScratch } from '../../../postgres/server/scratch-directory.js';
import { runProgram } from '../../../process/exec/run-program.js';
import { isRestoredDirectoryGone } from '../../shared/claim-directory.js';
import type { EngineContext } from '../../engine.js';
import type { FetchedFiles } from './fetch-files.js';
import type { BaseManifest } from '../repository/manifest.js';
import { PG_MANIFEST, spoolOf } from '../repository/names.js';
import { runToolJob } from '../../shared/run-tool-job.js';
import { BASEBACKUP_TOOLS } from '../tool-rules.js';
import { unpack } from './unpack.js';
import type { Unpacking } from './unpack.js';
import { copyFileAtomic } from '../../../files/atomic-file.js';
import { emptyDirectory, removeTree } from '../../../files/remove-tree.js';
import { makeOwnDirectory } from '../../../files/trusted-paths.js';

const STALL_MS = 12 * 3_600_000;

/** One backup of a chain with its archives at hand. */
export interface Link {
  readonly manifest: BaseManifest;
  readonly files: FetchedFiles;
}

/**
 * Makes a data directory of a full backup and the incremental ones that rest on it, by pg_combinebackup: each is unpacked
 * to the host's scratch directory, tablespaces as directories in their place, and moved out of there afterwards.
 * @param chain the full one first
 * @param tablespaces number and directory, which exists and is empty
 */
export async function combine(
  context: EngineContext,
  chain: readonly Link[],
  dataDir: string,
  tablespaces: readonly { oid: string; path: string }[],
): Promise<void> {
  const { user, signal } = context;
  await makeHostScratch(context.host, user);
  await requireSpace(context, chain);
  const label = chain.at(-1)?.manifest.label ?? '';
  const root = join(spoolOf(context), `chain-${label}`);
  const inputs = chain.map(({ manifest }) => join(root, manifest.label));
  const parts = chain.flatMap(({ manifest, files }, index) => partsOf(manifest, files, inputs[index] ?? root));
  for (const { into } of parts) await makeOwnDirectory(into, context.user);
  const resultIsGone = (): Promise<boolean> => isRestoredDirectoryGone(dataDir);
  const unpackedIsGone = async (): Promise<boolean> =>
    (await isRestoredDirectoryGone(dataDir)) && (await isRestoredDirectoryGone(inputs.at(-1) ?? root));
  await unpack(context, `unpack-${label}`, { parts, clear: () => removeTree(root), resultIsGone: unpackedIsGone });
  for (const [index, { files }] of chain.entries()) {
    const copy = join(inputs[index] ?? root, PG_MANIFEST);
    await copyFileAtomic(files.pathOf(PG_MANIFEST), copy, user);
  }
  await runToolJob(context.jobs, BASEBACKUP_TOOLS, {
    step: `combine-${label}`,
    tool: 'pg_combinebackup',
    argv: [join(context.pgBin, 'pg_combinebackup'), `--output=${dataDir}`, ...inputs],
    user: user ?? 'inherit',
    onGone: 'restart',
    resultIsGone,
    cleanUp: () => emptyDirectory(dataDir),
    stallTimeoutMs: STALL_MS,
  });
  for (const { oid, path } of tablespaces) await moveOut(join(dataDir, 'pg_tblspc', oid), path, { user, signal });
  await removeTree(root);
}

function partsOf({ files: recorded }: BaseManifest, files: FetchedFiles, into: string): Unpacking[] {
  return recorded
    .filter(({ name }) => name.endsWith('.tar.gz'))
    .map(({ name }) => {
      const base = name.replace(/\.tar\.gz$/, '');
      const place = base === 'base' ? into : base === 'pg_wal' ? join(into, 'pg_wal') : join(into, 'pg_tblspc', base);
      return { archive: files.pathOf(name), into: place };
    });
}

/** Into the directory that was made for it, unless an earlier attempt has moved it. */
export async function moveOut(from: string, to: string, how: Pick<EngineContext, 'user' | 'signal'>): Promise<void> {
  // A link in its place is the one that is made when all are moved.
  const found = await lstat(from).catch(() => null);
  if (found?.isDirectory() !== true) return;
  await rmdir(to).catch(() => undefined);
  await runProgram(['mv', '--no-target-directory', '--', from, to], { ...how, timeoutMs: STALL_MS });
}

async function requireSpace({ host }: EngineContext, chain: readonly Link[]): Promise<void> {
  const needed = chain.reduce((sum, { manifest }) => sum + manifest.databaseBytes, 0);
  const free = await freeBytes(host.scratchDir);
  if (free >= needed) return;
  throw new RepriseError(
    'disk-full',
    `the scratch directory ${host.scratchDir} has ${sizeInWords(free)} free, and the ${chain.length} backups to combine need ${sizeInWords(needed)} there`,
    `free space there, or name another with hosts.${host.name}.scratch_dir`,
  );
}
