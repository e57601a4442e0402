import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { RepriseError } from '../../domain/errors.js';
import { giveTo, syncDirectory, writeFileDurably } from '../../postgres/files.js';
import { claimDirectory } from '../claim-directory.js';
import type { EngineContext, RestoreFilesRequest } from '../engine.js';
import { fileKey, manifestOf } from './manifest.js';
import type { BaseManifest } from './manifest.js';
import { removeTree, unpack } from './unpack.js';
import type { Unpacking } from './unpack.js';
import { damageOfFiles } from './verify.js';

/**
 * Restores a backup's files, and nothing else: recovery is configured by the caller. Size and SHA-256 of every file come
 * first (F15); tablespaces are unpacked below a directory of their own, and the data directory last, with its pg_control
 * at its end (F2). A recovery.signal without a restore_command keeps a server from starting by mistake.
 * @throws RepriseError `backup-corrupt`; `path-refused` for a directory that is neither empty nor this operation's own
 */
export async function restoreFiles(context: EngineContext, request: RestoreFilesRequest): Promise<void> {
  const dataDir = resolve(request.dataDir);
  const manifest = await manifestOf(context, request.backup.label);
  const damage = await damageOfFiles(context, manifest);
  if (damage !== null) throw new RepriseError('backup-corrupt', damage, 'choose another backup with recover --to backup:ID', { damagedBackup: request.backup.id });
  const tablespaces = tablespacesOf(manifest, resolve(request.tablespaceDir));
  await claimDirectory(context, dataDir);
  if (tablespaces.length > 0) await claimDirectory(context, resolve(request.tablespaceDir));
  const walDir = join(dataDir, 'pg_wal');
  const parts: Unpacking[] = [
    ...tablespaces.map(({ oid, path }) => ({ archive: archiveOf(context, manifest, oid), into: path })),
    { archive: archiveOf(context, manifest, 'pg_wal'), into: walDir },
    { archive: archiveOf(context, manifest, 'base'), into: dataDir },
  ];
  await makeOwn(context, [...tablespaces.map(({ path }) => path), walDir]);
  await unpack(context, `restore-${manifest.label}`, parts, async () => {
    for (const { path } of tablespaces) await removeTree(path);
    for (const name of await readdir(dataDir)) await removeTree(join(dataDir, name));
  });
  await linkTablespaces(context, dataDir, tablespaces);
  await writeFile(join(dataDir, 'recovery.signal'), '', { mode: 0o600 });
  await giveTo(join(dataDir, 'recovery.signal'), context.user);
  await syncDirectory(dataDir);
}

interface Tablespace {
  readonly oid: string;
  readonly path: string;
}

/** By number: a tablespace's name may hold a slash or anything else (F35, F37). */
function tablespacesOf({ files }: BaseManifest, below: string): Tablespace[] {
  return files.flatMap(({ name }) => {
    const oid = /^(\d+)\.tar\.gz$/.exec(name)?.[1];
    return oid === undefined ? [] : [{ oid, path: join(below, oid) }];
  });
}

function archiveOf(context: EngineContext, { label }: BaseManifest, name: string): string {
  return context.storage.localPath(fileKey(context, label, { name: `${name}.tar.gz` }));
}

async function makeOwn({ user }: EngineContext, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await giveTo(path, user);
  }
}

/** PostgreSQL makes the links anew from tablespace_map at its first start: both have to name the new place. */
async function linkTablespaces(context: EngineContext, dataDir: string, tablespaces: readonly Tablespace[]): Promise<void> {
  if (tablespaces.length === 0) return;
  await makeOwn(context, [join(dataDir, 'pg_tblspc')]);
  for (const { oid, path } of tablespaces) {
    const link = join(dataDir, 'pg_tblspc', oid);
    await removeTree(link);
    await symlink(path, link);
  }
  const lines = tablespaces.map(({ oid, path }) => `${oid} ${path.replaceAll(/[\\\n\r]/g, String.raw`\$&`)}\n`);
  await writeFileDurably(join(dataDir, 'tablespace_map'), lines.join(''), context.user);
}
