import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isRepriseError, RepriseError } from '../../../domain/errors.js';
import type { BackupType } from '../../../domain/backup/backup.js';
import { withMaintenance } from '../../../postgres/connection/with-client.js';
import { listBackups } from '../repository/list.js';
import type { BaseManifest } from '../repository/manifest.js';
import { optionsOf } from '../options.js';
import type { LiveServerFacts } from '../../../postgres/server/server-facts.js';
import { writeFileAtomic } from '../../../files/atomic-file.js';
import { isErrno } from '../../../files/paths.js';
import type { BackupRequest, EngineContext, ListedBackup } from '../../engine.js';
import { parseJson } from '../../shared/manifest.js';
import { manifestOf } from '../repository/manifest.js';
import { CHOICE, spoolOf } from '../repository/names.js';
import { makeOwnDirectory } from '../../../files/trusted-paths.js';

/** Incremental base backups came with 17. */
const OLDEST = 170_000;

/** What kind of backup is made, and on which it rests. */
export interface Choice {
  readonly type: BackupType;
  readonly parent: BaseManifest | null;
  /** A full one in place of an incremental one whose parent did not fit. */
  readonly instead?: boolean;
}

const choiceSchema = z.object({
  type: z.enum(['full', 'incr']),
  parent: z.string().nullable(),
  instead: z.boolean(),
});

/**
 * What kind of backup an operation makes, chosen by its first attempt and kept beside what that took: a later one would
 * choose otherwise where backups came or went meanwhile, and publish archives as what they are not.
 * @throws RepriseError `not-found`, `backup-corrupt` of a parent that is gone since, and what {@link chooseType} throws
 */
export async function chooseOnce(
  context: EngineContext,
  request: BackupRequest,
  server: LiveServerFacts,
): Promise<Choice> {
  const kept = await readFile(fileOf(context), 'utf8').catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return null;
    throw error;
  });
  const found = choiceSchema.safeParse(kept === null ? undefined : parseJson(kept));
  // Half a file was written by an attempt that took nothing yet.
  if (!found.success) return keepChoice(context, await chooseType(context, request, server));
  const { type, parent, instead } = found.data;
  return { type, instead, parent: parent === null ? null : await manifestOf(context, parent) };
}

export async function keepChoice(context: EngineContext, choice: Choice): Promise<Choice> {
  const { type, parent, instead = false } = choice;
  const kept = { type, parent: parent?.label ?? null, instead };
  await makeOwnDirectory(spoolOf(context), context.user);
  await writeFileAtomic(fileOf(context), JSON.stringify(kept), null);
  return choice;
}

/** Whether a failure says that nothing can rest on that parent: `auto` takes a full backup then. */
export function doesNotFit(error: unknown): boolean {
  return (
    isRepriseError(error) && ['no-usable-backup', 'config-invalid', 'backup-corrupt', 'not-found'].includes(error.code)
  );
}

const fileOf = (context: EngineContext): string => join(spoolOf(context), CHOICE);

/**
 * `incr` where it was asked for, or where a full backup is younger than the policy's `full_every`; else `full`.
 * @throws RepriseError `capability-missing` for what the server or the engine cannot do, `no-usable-backup`
 */
async function chooseType(
  context: EngineContext,
  { type, startedAt }: BackupRequest,
  server: LiveServerFacts,
): Promise<Choice> {
  if (type === 'diff')
    throw new RepriseError(
      'capability-missing',
      'a base backup is full or incremental: there is no type diff',
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
  const due = isFullDue(listed, startedAt, fullEverySeconds);
  const newest = listed.at(-1);
  if (type === 'auto' && (obstacle !== null || newest === undefined || due)) return { type: 'full', parent: null };
  if (newest === undefined)
    throw new RepriseError(
      'no-usable-backup',
      `there is no backup of timeline ${Number.parseInt(timeline, 16)} that an incremental one could depend on`,
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

/** Whether the last full backup has the age at which another one is taken. */
function isFullDue(listed: readonly ListedBackup[], startedAt: string, fullEverySeconds = Infinity): boolean {
  const full = listed.findLast(({ type }) => type === 'full');
  return full !== undefined && Date.parse(startedAt) - Date.parse(full.startedAt) >= fullEverySeconds * 1000;
}

/** Timeline that is written now, as names of segments begin: pg_control has that of the last checkpoint. */
async function timelineOf({ cluster: { connection } }: EngineContext): Promise<string> {
  const { rows } = await withMaintenance(connection, (client) =>
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
  const { rows } = await withMaintenance(connection, (client) =>
    client.query<{ on: boolean }>(`SELECT current_setting('summarize_wal')::bool AS "on"`),
  );
  if (rows[0]?.on === true) return null;
  return new RepriseError(
    'config-invalid',
    'the server keeps no WAL summaries for an incremental backup',
    "ALTER SYSTEM SET summarize_wal = 'on'; SELECT pg_reload_conf(); then take a full backup",
  );
}
