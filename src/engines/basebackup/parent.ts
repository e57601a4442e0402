import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { BackupType } from '../../domain/backup/backup.js';
import { RepriseError } from '../../domain/errors.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { giveTo } from '../../files/directories.js';
import type { LiveServerFacts } from '../../postgres/server/server-facts.js';
import type { BackupRequest, EngineContext, ReadContext } from '../engine.js';
import { damageOf } from '../shared/hash.js';
import { listBackups } from './list.js';
import { fileKey, manifestOf } from './manifest.js';
import type { BaseManifest } from './manifest.js';
import { PG_MANIFEST, spoolOf } from './names.js';
import { optionsOf } from './options.js';
import { ownDirectory } from './unpack.js';
import { streamToFile } from '../../files/atomic-file.js';

/** Incremental base backups came with 17. */
const OLDEST = 170_000;

/** What kind of backup is made, and on which it rests. */
export interface Choice {
  readonly type: BackupType;
  readonly parent: BaseManifest | null;
  /** A full one in place of an incremental one whose parent did not fit. */
  readonly instead?: boolean;
}

/**
 * `incr` where it was asked for, or where a full backup is younger than the policy's `full_every`; else `full`.
 * @throws RepriseError `capability-missing` for what the server or the engine cannot do, `no-usable-backup`
 */
export async function chooseType(
  context: EngineContext,
  { type, startedAt }: BackupRequest,
  server: LiveServerFacts,
): Promise<Choice> {
  if (type === 'diff')
    throw new RepriseError(
      'capability-missing',
      'a base backup is full or incremental: diff is not to be had',
      'backup run --type full or --type incr',
    );
  const { fullEverySeconds } = optionsOf(context);
  if (type === 'full' || (type === 'auto' && fullEverySeconds === undefined)) return { type: 'full', parent: null };
  const obstacle = await obstacleTo(context, server);
  if (obstacle !== null && type === 'incr') throw obstacle;
  const timeline = await timelineOf(context);
  // Of another timeline a recovery may have left the end behind: the server would refuse what rests on that.
  const listed = (await listBackups(context)).filter(
    (one) =>
      one.damaged === undefined &&
      one.cold !== true &&
      one.startedAt < startedAt &&
      one.wal?.stop.startsWith(timeline) === true,
  );
  const full = listed.findLast((one) => one.type === 'full');
  const due =
    fullEverySeconds !== undefined &&
    full !== undefined &&
    Date.parse(startedAt) - Date.parse(full.startedAt) >= fullEverySeconds * 1000;
  const newest = listed.at(-1);
  if (type === 'auto' && (obstacle !== null || newest === undefined || due)) return { type: 'full', parent: null };
  if (newest === undefined)
    throw new RepriseError(
      'no-usable-backup',
      `there is no backup of timeline ${Number.parseInt(timeline, 16)} that an incremental one could rest on`,
      'backup run --type full',
    );
  const parent = await manifestOf(context, newest.label);
  if (parent.server.systemIdentifier === server.systemIdentifier) return { type: 'incr', parent };
  if (type === 'auto') return { type: 'full', parent: null };
  throw new RepriseError(
    'identity-mismatch',
    `the newest backup is of the cluster ${parent.server.systemIdentifier}, and the server is ${server.systemIdentifier}`,
    'backup run --type full',
  );
}

/** Timeline that is written now, as names of segments begin: pg_control has that of the last checkpoint. */
async function timelineOf({ cluster: { connection } }: EngineContext): Promise<string> {
  const { rows } = await withClient(connection, connection.maintenanceDatabase, (client) =>
    client.query<{ segment: string }>('SELECT pg_walfile_name(pg_current_wal_insert_lsn()) AS segment'),
  );
  return rows[0]?.segment.slice(0, 8) ?? '';
}

/** Why the server takes no incremental backup now; null where it does. */
async function obstacleTo(
  { cluster: { connection } }: EngineContext,
  { versionNum }: LiveServerFacts,
): Promise<RepriseError | null> {
  if (versionNum < OLDEST)
    return new RepriseError(
      'capability-missing',
      `PostgreSQL ${Math.floor(versionNum / 10_000)} takes no incremental base backups: 17 and later do`,
      'backup run --type full, or the engine pgbackrest',
    );
  const { rows } = await withClient(connection, connection.maintenanceDatabase, (client) =>
    client.query<{ on: boolean }>(`SELECT current_setting('summarize_wal')::bool AS "on"`),
  );
  if (rows[0]?.on === true) return null;
  return new RepriseError(
    'config-invalid',
    'the server keeps no WAL summaries for an incremental backup',
    "ALTER SYSTEM SET summarize_wal = 'on'; SELECT pg_reload_conf(); then take a full backup",
  );
}

/** PostgreSQL's manifest of the parent as a file of this host, as it was recorded (F15). */
export async function parentManifest(context: EngineContext, parent: BaseManifest): Promise<string> {
  const file = parent.files.find(({ name }) => name === PG_MANIFEST);
  const damage =
    file === undefined ? 'it has none' : await damageOf(context, fileKey(context, parent.label, file), file);
  if (file === undefined || damage !== null) {
    throw new RepriseError(
      'backup-corrupt',
      `the manifest of ${parent.label}, on which this backup would rest, is damaged: ${damage}`,
      'backup run --type full',
    );
  }
  await ownDirectory(context, spoolOf(context));
  const path = join(spoolOf(context), 'parent_manifest');
  await pipeline(await context.storage.open(fileKey(context, parent.label, file)), streamToFile(path));
  await giveTo(path, context.user);
  return path;
}

/** A backup and all it rests on, the full one first. */
export async function chainOf(context: ReadContext, manifest: BaseManifest): Promise<readonly BaseManifest[]> {
  const parents = await Promise.all(manifest.dependsOn.toReversed().map((label) => manifestOf(context, label)));
  return [...parents, manifest];
}
