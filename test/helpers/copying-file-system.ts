import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { onCleanup } from './cleanup.js';
import { giveToPostgres } from './postgres-user.js';
import { tempDir } from './temp.js';

const run = promisify(execFile);

/** Kinds of file systems that copy by reference, and how each is made in a file. */
const KINDS = {
  xfs: ['/usr/sbin/mkfs.xfs', '-q', '-m', 'reflink=1'],
  btrfs: ['/usr/sbin/mkfs.btrfs', '-q'],
} as const;

export type CopyingKind = keyof typeof KINDS;

/** A mounted file system; `lacks` says why this machine makes none. */
export interface CopyingFileSystem {
  readonly kind: CopyingKind;
  readonly mount: string;
  readonly lacks: string | null;
}

/**
 * Mounts a file system that copies by reference, which holds 400 MB at most; unmounted at the end of the test file. Called when the file is
 * loaded, so that a test that cannot run is skipped, and its name says why.
 */
export async function copyingFileSystem(kind: CopyingKind): Promise<CopyingFileSystem> {
  const [program, ...options] = KINDS[kind];
  const without = (lacks: string): CopyingFileSystem => ({ kind, mount: '', lacks });
  if (process.getuid?.() !== 0) return without('only root mounts');
  if (!existsSync(program)) return without(`no ${program}, which scripts/setup --test installs`);
  const directory = await tempDir(kind);
  const [image, mount] = [join(directory, 'image'), join(directory, 'm')];
  try {
    await run('truncate', ['-s', '400M', image]);
    await run(program, [...options, image]);
    await mkdir(mount);
    await run('mount', ['-t', kind, '-o', 'loop', image, mount]);
  } catch (error) {
    return without(`no loop mount of ${kind}: ${firstLine(error)}`);
  }
  onCleanup(() => run('umount', ['-l', mount]));
  await giveToPostgres(mount);
  return { kind, mount, lacks: null };
}

const firstLine = (error: unknown): string =>
  (error as { stderr?: string }).stderr?.trim().split('\n')[0] ?? String(error);
