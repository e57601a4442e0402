import { readdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { RepriseError } from '../../domain/errors.js';
import { requireSameFor } from '../shared/bound-content.js';
import { claimDirectory, isRestoredDirectoryGone } from '../shared/claim-directory.js';
import type { EngineContext, RestoreFilesRequest } from '../engine.js';
import { readConfigFile } from './config-file.js';
import { readInfo, readTablespaces } from './info.js';
import { requireBoundManifest } from './bound-manifest.js';
import { runPgbackrestJob } from './job.js';
import { linkTarget } from '../../postgres/server/layout.js';
import { writeFileAtomic } from '../../files/atomic-file.js';

/** With this file there, pgBackRest takes a directory for one of its own, and `--delta` goes on in it. */
const MANIFEST = 'backup.manifest';

/**
 * Restores a backup's files, and nothing else: recovery is configured by the caller. `--type=none` leaves the
 * source's postgresql.auto.conf without recovery targets, and a recovery.signal without a restore_command, with which
 * no server starts by mistake. pg_control comes last. Checksums are verified file by file.
 * Over old data pgBackRest keeps what is as in the backup, and removes every other file, its `pg_wal` too.
 * Nothing is restored but what is bound.
 * @throws RepriseError `path-refused` for a directory that is neither empty nor this operation's own; `not-found`
 */
export async function restoreFiles(context: EngineContext, request: RestoreFilesRequest): Promise<void> {
  const dataDir = resolve(request.dataDir);
  const tablespaceDir = resolve(request.tablespaceDir);
  const stored = (await readInfo(context)).backups.find(({ label }) => label === request.backup.label);
  if (stored === undefined)
    throw new RepriseError(
      'not-found',
      `backup ${request.backup.label} is not in the repository`,
      'list the backups: reprise backup list',
    );
  const requireSame = () => requireBoundManifest(context, request);
  await requireSame();
  const tablespaces = await readTablespaces(context, stored.label);
  await claimDirectory(context, dataDir, request.overOld);
  await seedManifest(context, dataDir);
  const placeOf = (oid: string): string => request.tablespaces?.[oid] ?? join(tablespaceDir, oid);
  const oids = tablespaces.map(String);
  const isOver = (oid: string): boolean => request.overOld === true && request.tablespaces?.[oid] !== undefined;
  for (const above of new Set(oids.filter((oid) => !isOver(oid)).map((oid) => dirname(placeOf(oid)))))
    await claimDirectory(context, above);
  for (const oid of oids.filter(isOver)) await claimDirectory(context, placeOf(oid), true);
  await runPgbackrestJob(context, {
    // One operation may restore several backups, each to verify it.
    step: `restore-${stored.label}`,
    command: 'restore',
    options: [
      ...['--repo=1', `--pg1-path=${dataDir}`, `--set=${stored.label}`, '--delta', '--type=none'],
      // By number: a tablespace's name may hold a slash or anything else.
      ...oids.map((oid) => `--tablespace-map=${oid}=${placeOf(oid)}`),
      ...(await spoolOptions(context, dataDir)),
    ],
    resultIsGone: () => isRestoredDirectoryGone(dataDir),
    totalBytes: stored.databaseBytes,
  });
  // pgBackRest has read it again, and compared every file with it.
  await requireSameFor(dataDir, { requireSame });
}

/** An empty manifest before anything else: from its first file on, an interrupted restore can be continued. */
async function seedManifest(context: EngineContext, directory: string): Promise<void> {
  const names = await readdir(directory);
  // Old data without its PG_VERSION would not be taken for a data directory either.
  if (names.includes(MANIFEST) || names.includes('PG_VERSION')) return;
  await writeFileAtomic(join(directory, MANIFEST), '', context.user);
}

/** A restore clears the stanza's spool of acknowledged WAL; beside a living cluster that spool is the cluster's. */
async function spoolOptions(context: EngineContext, dataDir: string): Promise<string[]> {
  const own = (await readConfigFile(context)).get('pg1-path');
  if (own !== undefined && (await linkTarget(resolve(own))) === (await linkTarget(dataDir))) return [];
  // There is none of that name, and that is no error.
  return [`--spool-path=${join(dataDir, 'no-spool')}`];
}
