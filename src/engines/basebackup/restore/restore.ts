import { symlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Backup } from '../../../domain/backup/backup.js';
import { RepriseError } from '../../../domain/errors.js';
import { writeFileAtomic } from '../../../files/atomic-file.js';
import { requireSameFor } from '../../shared/bound-content.js';
import { claimDirectory, isRestoredDirectoryGone } from '../../shared/claim-directory.js';
import type { EngineContext, RestoreFilesRequest } from '../../engine.js';
import { combine } from './combine.js';
import type { Link } from './combine.js';
import { fetchFiles } from './fetch-files.js';
import { tablespaceMapLine } from '../../../postgres/old-data/outside-parts.js';
import { tablespacesIn } from '../repository/manifest.js';
import type { BaseManifest } from '../repository/manifest.js';
import { boundChain } from '../repository/chain.js';
import { unpack } from './unpack.js';
import type { Unpacking } from './unpack.js';
import { emptyDirectory, removeTree } from '../../../files/remove-tree.js';
import { makeOwnDirectory } from '../../../files/trusted-paths.js';

/**
 * Restores a backup's files, and nothing else: recovery is configured by the caller. Size and SHA-256 of every file come
 * first. Tablespaces go below a directory of their own, then the data directory with its pg_control at its end;
 * an incremental backup is combined with those it rests on. A recovery.signal without a restore_command keeps a server
 * from starting by mistake.
 * @throws RepriseError `backup-corrupt`; `path-refused` for a directory that is neither empty nor this operation's own
 */
export async function restoreFiles(context: EngineContext, request: RestoreFilesRequest): Promise<void> {
  const dataDir = resolve(request.dataDir);
  const manifests = await boundChain(context, request);
  const chain: Link[] = [];
  for (const link of manifests) {
    const damagedBackup = idOf(request.backup, link);
    const corrupt = (damage: string): RepriseError =>
      new RepriseError('backup-corrupt', damage, 'choose another backup with recover --to backup:ID', {
        damagedBackup,
      });
    chain.push({ manifest: link, files: await fetchFiles(context, link, corrupt) });
  }
  const tablespaces = tablespacesOf(manifests.at(-1), request);
  await claimDirectory(context, dataDir);
  for (const above of new Set(tablespaces.map(({ path }) => dirname(path)))) await claimDirectory(context, above);
  await makeOwn(
    context,
    tablespaces.map(({ path }) => path),
  );
  const [full] = chain;
  if (full !== undefined && chain.length === 1) await unpackFull(context, full, dataDir, tablespaces);
  else await combine(context, chain, dataDir, tablespaces);
  for (const { files } of chain) await requireSameFor(dataDir, files);
  await linkTablespaces(context, dataDir, tablespaces);
  await writeFileAtomic(join(dataDir, 'recovery.signal'), '', context.user);
  // Last: an attempt cut off before finds them, and fetches nothing twice.
  for (const { files } of chain) await files.remove();
}

/** Id of a backup of the chain, as the one that rests on it is named. */
function idOf(backup: Backup, { label }: BaseManifest): string {
  return `${backup.id.slice(0, -backup.label.length)}${label}`;
}

async function unpackFull(
  context: EngineContext,
  { manifest, files }: Link,
  dataDir: string,
  tablespaces: readonly Tablespace[],
): Promise<void> {
  const walDir = join(dataDir, 'pg_wal');
  const parts: Unpacking[] = [
    ...tablespaces.map(({ oid, path }) => ({ archive: files.pathOf(`${oid}.tar.gz`), into: path })),
    { archive: files.pathOf('pg_wal.tar.gz'), into: walDir },
    { archive: files.pathOf('base.tar.gz'), into: dataDir },
  ];
  await makeOwn(context, [walDir]);
  const clear = async (): Promise<void> => {
    for (const { path } of tablespaces) await removeTree(path);
    await emptyDirectory(dataDir);
  };
  const ownLinks = tablespaces.map(({ oid }) => linkOf(dataDir, oid));
  await unpack(context, `restore-${manifest.label}`, {
    parts,
    ownLinks,
    clear,
    resultIsGone: () => isRestoredDirectoryGone(dataDir),
  });
}

interface Tablespace {
  readonly oid: string;
  readonly path: string;
}

function tablespacesOf(
  manifest: BaseManifest | undefined,
  { tablespaceDir, tablespaces: places = {} }: Pick<RestoreFilesRequest, 'tablespaceDir' | 'tablespaces'>,
): Tablespace[] {
  const oids = manifest === undefined ? [] : tablespacesIn(manifest);
  return oids.map((oid) => ({ oid, path: resolve(places[oid] ?? join(tablespaceDir, oid)) }));
}

async function makeOwn({ user }: EngineContext, paths: readonly string[]): Promise<void> {
  for (const path of paths) await makeOwnDirectory(path, user);
}

const linkOf = (dataDir: string, oid: string): string => join(dataDir, 'pg_tblspc', oid);

/** PostgreSQL makes the links anew from tablespace_map at its first start: both have to name the new place. */
async function linkTablespaces(
  context: EngineContext,
  dataDir: string,
  tablespaces: readonly Tablespace[],
): Promise<void> {
  if (tablespaces.length === 0) return;
  await makeOwn(context, [join(dataDir, 'pg_tblspc')]);
  for (const { oid, path } of tablespaces) {
    const link = linkOf(dataDir, oid);
    await removeTree(link);
    await symlink(path, link);
  }
  const lines = tablespaces.map(({ oid, path }) => `${tablespaceMapLine(oid, path)}\n`);
  await writeFileAtomic(join(dataDir, 'tablespace_map'), lines.join(''), context.user);
}
