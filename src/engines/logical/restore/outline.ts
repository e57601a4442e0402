import type { Backup } from '../../../domain/backup/backup.js';
import { RepriseError } from '../../../domain/errors.js';
import type { OutlineRequest, ReadContext, RecoveryOutline } from '../../engine.js';
import { checkFetchRoom } from '../repository/local-copy.js';
import { damageOf } from '../../shared/hash.js';
import type { Fingerprint } from '../../shared/hash.js';
import { checkKey } from '../encryption.js';
import { manifestFiles, manifestOf } from '../repository/manifest.js';
import type { DumpManifest } from '../repository/manifest.js';
import { withMaintenance } from '../../../postgres/connection/with-client.js';
import { invalidDatabases, invalidDatabaseText } from '../../../postgres/server/databases.js';
import { LOGICAL_TARGETS, type LogicalOptions } from '../options.js';
import { namedObjects, refusedObjects } from '../archive/refused-objects.js';
import { tocOf } from '../archive/read-toc.js';
import { checkServer } from './target-server.js';
import { needsSuperuser } from './unprivileged.js';
import { toolMajor } from '../tools.js';

/**
 * Looks, without changing anything, whether the newest good dump of each database can be restored beside the live one.
 * The whole dump is compared with its SHA-256 now.
 *
 * @throws RepriseError `capability-missing` for other targets, `no-usable-backup`, `not-found`, `identity-mismatch`,
 *   `backup-corrupt`, `key-missing`, `version-mismatch`, `database-unreachable`, `disk-full`, `extension-missing`, `locale-missing`
 */
export async function outlineRecovery(context: ReadContext, request: OutlineRequest): Promise<RecoveryOutline> {
  const { databases, skipped } = await withoutInvalid(context, request);
  const backups = chooseBackups({ ...request, databases });
  const manifests = await Promise.all(backups.map((backup) => manifestOf(context, backup.label)));
  manifests.forEach((manifest, index) => checkIdentity(manifest, backups[index]?.database));
  await checkTool(context, manifests);
  const { server, warnings } = await checkServer(context, manifests);
  for (const [index, manifest] of manifests.entries()) await checkWhole(context, request, manifest, backups[index]);
  const needed = await superuserObjects(context, manifests);
  await checkFetchRoom(
    context,
    manifests.map(({ dump }) => dump),
  );
  const encrypted = manifests.filter(({ encryption }) => encryption !== undefined);
  const instants = request.candidates.map((backup) => backup.startedAt).sort();
  return {
    backups,
    target: request.target,
    timeline: null,
    systemIdentifier: server.systemIdentifier,
    sizeBytes: backups.reduce((sum, backup) => sum + backup.sizeBytes, 0),
    neededBytes: manifests.reduce((sum, manifest) => sum + manifest.databaseSizeBytes, 0),
    reachableFrom: instants[0] ?? null,
    reachableTo: instants.at(-1) ?? null,
    walEnd: null,
    salvageableSegments: 0,
    warnings: [...skipped, ...warnings, ...needed, ...oneJob(context, encrypted), ...fetching(context, manifests)],
  };
}

/** An invalid database was not dumped: where there is no older dump of it either, it keeps no other from its recovery. */
async function withoutInvalid(
  { cluster: { connection } }: ReadContext,
  { candidates, databases }: OutlineRequest,
): Promise<{ readonly databases: readonly string[]; readonly skipped: readonly string[] }> {
  const without = databases.filter((name) => candidates.every(({ database }) => database !== name));
  if (without.length === 0 || without.length === databases.length) return { databases, skipped: [] };
  const invalid = await withMaintenance(connection, (client) => invalidDatabases(client, without));
  return {
    databases: databases.filter((name) => !invalid.includes(name)),
    skipped: invalid.map((name) => `${invalidDatabaseText(name)}; there is no dump of it, and it is skipped`),
  };
}

function chooseBackups({ target, candidates, databases }: OutlineRequest): readonly Backup[] {
  if (!(LOGICAL_TARGETS as readonly string[]).includes(target.kind)) {
    throw new RepriseError(
      'capability-missing',
      `a dump contains one point in time only, so it cannot be used for the target ${target.kind}`,
      'use a policy whose engine archives WAL (recover --policy), or --to latest, or --to backup:ID',
    );
  }
  if (target.kind === 'backup') {
    const named = candidates.find((backup) => backup.id === target.id);
    if (named === undefined)
      throw new RepriseError(
        'not-found',
        `${target.id} is no complete backup of this policy`,
        'reprise backup list shows the backups',
      );
    return [named];
  }
  return databases.map((database) => {
    const newest = candidates.find((backup) => backup.database === database);
    if (newest !== undefined) return newest;
    throw new RepriseError(
      'no-usable-backup',
      `there is no complete backup of database ${JSON.stringify(database)} in this policy`,
      'recover the others with recover --database NAME, or choose another policy with recover --policy',
    );
  });
}

function checkIdentity(manifest: DumpManifest, database: string | undefined): void {
  if (database === undefined || manifest.database === database) return;
  throw new RepriseError(
    'identity-mismatch',
    `${manifest.label} is a dump of database ${JSON.stringify(manifest.database)}, not of ${JSON.stringify(database)}`,
    'choose a backup of that database with recover --to backup:ID',
  );
}

/**
 * What a login without rights cannot restore: refused, or, where the configuration has dumps restored as superuser, named.
 * @throws RepriseError `privilege-missing`
 */
async function superuserObjects(context: ReadContext, manifests: readonly DumpManifest[]): Promise<readonly string[]> {
  const notes: string[] = [];
  for (const manifest of manifests) {
    const key = manifestFiles(context, manifest).dump;
    const file = { key, encrypted: manifest.encryption !== undefined };
    if (await isCold(context, key)) continue;
    await checkKey(context, file);
    const refused = refusedObjects(await tocOf(context, file));
    if (refused.length === 0) continue;
    if (context.cluster.restoreAs !== 'superuser') throw needsSuperuser(refused);
    notes.push(`${manifest.label} holds what only a superuser may restore: ${namedObjects(refused)}`);
  }
  return notes;
}

/** An encrypted dump comes by a pipe, so that plain text is never on a disk, and a pipe has one reader. */
function oneJob({ policy }: ReadContext, [encrypted]: readonly DumpManifest[]): readonly string[] {
  const { restoreJobs } = policy.options as LogicalOptions;
  return encrypted === undefined || restoreJobs === 1
    ? []
    : [`${encrypted.label} is encrypted: it is restored by one job, not by ${restoreJobs}`];
}

/** A dump that is elsewhere is fetched when it is restored, and compared then, before anything is touched. */
function fetching({ storage, host }: ReadContext, manifests: readonly DumpManifest[]): readonly string[] {
  if (storage.capabilities.localPath) return [];
  const bytes = manifests.reduce((sum, { dump }) => sum + dump.sizeBytes, 0);
  return [`${bytes} bytes are fetched into ${host.scratchDir} first, and compared with their SHA-256 there`];
}

/** Of a file that is elsewhere only what costs nothing: its size, and that it can be read. */
async function damageAtHand(context: ReadContext, key: string, recorded: Fingerprint): Promise<string | null> {
  if (context.storage.capabilities.localPath) return damageOf(context, key, recorded);
  const there = await context.storage.stat(key);
  if (there?.sizeBytes !== recorded.sizeBytes)
    return there === null
      ? `${key} is missing`
      : `${key} has ${there.sizeBytes} bytes where ${recorded.sizeBytes} were recorded`;
  if (await isCold(context, key)) return null;
  const beginning = await context.storage.open(key);
  try {
    for await (const _chunk of beginning) break;
  } finally {
    beginning.destroy();
  }
  return null;
}

/** It cannot be read before the thaw, which the plan asks for; looked at again when it can. */
async function isCold({ storage }: ReadContext, key: string): Promise<boolean> {
  return ((await storage.coldObjects?.([key])) ?? []).length > 0;
}

async function checkTool(context: ReadContext, manifests: readonly DumpManifest[]): Promise<void> {
  const major = await toolMajor(context, 'pg_restore');
  const newer = manifests.find((manifest) => manifest.toolMajor > major);
  if (newer === undefined) return;
  throw new RepriseError(
    'version-mismatch',
    `${newer.label} was written by pg_dump ${newer.toolMajor}, and pg_restore here is of version ${major}`,
    `install the client programs of PostgreSQL ${newer.toolMajor} on this host`,
  );
}

async function checkWhole(
  context: ReadContext,
  request: OutlineRequest,
  manifest: DumpManifest,
  backup: Backup | undefined,
): Promise<void> {
  const files = manifestFiles(context, manifest);
  const reason =
    (backup?.sha256 !== undefined && backup.sha256 !== manifest.dump.sha256
      ? `its manifest differs from the recorded one`
      : null) ??
    (await damageAtHand(context, files.dump, manifest.dump)) ??
    ((await isCold(context, files.globals)) ? null : await damageOf(context, files.globals, manifest.globals));
  if (reason === null) return;
  const sameDatabase = request.candidates.filter((candidate) => candidate.database === manifest.database);
  const older = sameDatabase[sameDatabase.findIndex((candidate) => candidate.label === manifest.label) + 1];
  throw new RepriseError(
    'backup-corrupt',
    `${manifest.label} is damaged: ${reason}`,
    older === undefined
      ? 'there is no older backup of this database in this policy'
      : `the one before it is recover --to backup:${older.id}`,
    {
      label: manifest.label,
      damagedBackup: backup?.id,
      older: older?.id,
    },
  );
}
