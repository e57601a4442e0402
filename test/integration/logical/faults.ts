import { execFile } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { DumpManifest } from '../../../src/engines/logical/repository/manifest.js';
import { onCleanup } from '../../helpers/cleanup.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { tempDir } from '../../helpers/temp.js';

const run = promisify(execFile);

/** PostgreSQL's programs with one of them replaced by a shell script; `$real` is the true one. */
export async function programsWith(binDir: string, program: string, script: string): Promise<string> {
  const directory = await tempDir('bin');
  for (const name of await readdir(binDir))
    if (name !== program) await symlink(join(binDir, name), join(directory, name));
  const path = join(directory, program);
  await writeFile(path, `#!/bin/bash\nreal=${join(binDir, program)}\n${script}\n`);
  await chmod(path, 0o755);
  return directory;
}

/** A small file system of its own; null where this process may not mount one. */
export async function smallFileSystem(bytes: number): Promise<string | null> {
  const path = join(await tempDir('small'), 'fs');
  await mkdir(path);
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes},mode=0700`, 'reprise-test', path]);
  } catch {
    return null;
  }
  onCleanup(() => run('umount', ['--lazy', path]));
  await giveToPostgres(path);
  return path;
}

/** Changes a manifest as a fault would, or as another server would have written it. */
export async function changeManifest(
  directory: string,
  label: string,
  change: (manifest: DumpManifest) => Partial<DumpManifest>,
): Promise<void> {
  const path = join(directory, `${label}.json`);
  const manifest = JSON.parse(await readFile(path, 'utf8')) as DumpManifest;
  await writeFile(path, JSON.stringify({ ...manifest, ...change(manifest) }));
}

export async function readManifestFile(directory: string, label: string): Promise<DumpManifest> {
  return JSON.parse(await readFile(join(directory, `${label}.json`), 'utf8')) as DumpManifest;
}

/** Every file below a directory that holds this text. */
export async function filesHolding(directory: string, text: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const hits = await Promise.all(paths.map(async (path) => (await readFile(path)).includes(text)));
  return paths.filter((_, index) => hits[index]);
}
