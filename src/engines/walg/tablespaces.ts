import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { RepriseError } from '../../domain/errors.js';
import { withMaintenance } from '../../postgres/connection/with-client.js';
import { isErrno } from '../../files/paths.js';
import type { ReadContext } from '../engine.js';
import { parseJson } from '../shared/manifest.js';
import { unlessLost } from '../shared/backup-record.js';
import type { WalgBackup } from './backup-list.js';
import type { ToolContext } from '../shared/tool-config.js';
import { optionsOf } from './command.js';
import { localPrefix, readEnvFile } from './env-file.js';
import { BACKUP_FOLDER, sentinelName } from './storage-layout.js';

/** A stored backup, and whether its record says that it was fetched before. */
export interface ToFetch {
  readonly stored: Pick<WalgBackup, 'label' | 'dependsOn' | 'operationId'>;
  readonly proven: boolean;
}

/** The part of a sentinel that names where tablespaces were; WAL-G writes null where there is none. */
const sentinel = z.object({ Spec: z.object({ tablespaces: z.array(z.string()).nullish() }).nullish() });

/** WAL-G restores a tablespace to where it was, whatever directory it is told: over the living one's files. */
export async function requireNoTablespaces(context: Pick<ReadContext, 'cluster'>): Promise<void> {
  const found = await liveTablespace(context);
  if (found === undefined) return;
  throw new RepriseError(
    'capability-missing',
    `this engine does not restore tablespaces, and the cluster has ${JSON.stringify(found)}`,
    'use the engine pgbackrest, or move what is in it to pg_default and drop it',
  );
}

/**
 * Refuses to fetch what may hold tablespaces, anywhere in its chain: the backup itself says so where it is on this host;
 * one that Reprise made has none; of another one in an object store the running server has to tell, or, with the server
 * lost, that it was fetched before under this very rule.
 * @throws RepriseError `capability-missing`
 */
export async function requireSafeToFetch(
  context: ToolContext,
  all: readonly Pick<WalgBackup, 'label' | 'operationId'>[],
  { stored, proven }: ToFetch,
): Promise<void> {
  const prefix = localPrefix(await readEnvFile(optionsOf(context), context.user));
  for (const label of [stored.label, ...stored.dependsOn]) {
    const names = prefix === undefined ? null : await recordedTablespaces(prefix, label);
    if (names?.length === 0) continue;
    if (names !== null) throw refused(stored.label, `it has tablespaces (${names.join(', ')})`);
    if (all.some((one) => one.label === label && one.operationId !== null)) continue;
    await requireLiveNone(context, stored.label, proven);
  }
}

async function requireLiveNone(context: ToolContext, label: string, proven: boolean): Promise<void> {
  const live = await unlessLost(liveTablespace(context));
  if (typeof live === 'string')
    throw refused(label, `it may have tablespaces, as the server does (${JSON.stringify(live)})`);
  if (live === null && !proven)
    throw refused(
      label,
      'it was never fetched here, and the server does not answer, so it is not known whether it has tablespaces',
    );
}

function refused(label: string, why: string): RepriseError {
  return new RepriseError(
    'capability-missing',
    `backup ${label} is not fetched: ${why}, and WAL-G would restore them over those of the running cluster`,
    'restore it by hand on another machine, where those directories are not in use (wal-g backup-fetch --restore-spec moves them); take backups of a cluster with tablespaces with the engine pgbackrest',
  );
}

async function liveTablespace({ cluster: { connection } }: Pick<ReadContext, 'cluster'>): Promise<string | undefined> {
  const { rows } = await withMaintenance(connection, (client) =>
    client.query<{ name: string }>(
      "SELECT spcname::text AS name FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')",
    ),
  );
  return rows[0]?.name;
}

/** Names that the backup's own record has; null where it cannot be read. */
async function recordedTablespaces(prefix: string, label: string): Promise<readonly string[] | null> {
  const text = await readFile(join(prefix, BACKUP_FOLDER, sentinelName(label)), 'utf8').catch((error: unknown) => {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return null;
    throw error;
  });
  const found = text === null ? null : sentinel.safeParse(parseJson(text));
  return found?.success === true ? (found.data.Spec?.tablespaces ?? []) : null;
}
