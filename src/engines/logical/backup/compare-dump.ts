import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isRepriseError } from '../../../domain/errors.js';
import { libpqEnv } from '../../../postgres/connection/environment.js';
import { withClient } from '../../../postgres/connection/with-client.js';
import type { EngineContext } from '../../engine.js';
import { runToolJob } from '../../shared/run-tool-job.js';
import { compareLive, type Comparison, type LiveDatabase } from '../archive/compare-live.js';
import { readToc, type ArchiveToc } from '../archive/toc.js';
import { listBackups } from '../repository/list.js';
import { readManifest } from '../repository/manifest.js';
import { encodeName, manifestKeyOf } from '../repository/names.js';
import { LOGICAL_TOOLS } from '../tool-rules.js';
import { LOCK_WAIT_TIMEOUT, STALL_TIMEOUT_MS } from '../tools.js';

/** A dump of unknown origin: of which database it says to be, and when it began. */
interface NamedDump {
  readonly database: string;
  readonly startedAt: string;
}

/**
 * Compares a dump that is adopted with the live database and with the backup of our own that is nearest to it in time. Where the
 * live database cannot be read, nobody can tell whether the dump is whole.
 */
export async function compareDump(context: EngineContext, dump: NamedDump, toc: ArchiveToc): Promise<Comparison> {
  try {
    const live: LiveDatabase = {
      toc: await definitionsOf(context, dump.database),
      largeObject: await firstLargeObject(context, dump.database),
      ownTables: await ownTables(context, dump),
    };
    return compareLive(toc, live);
  } catch (error) {
    if (context.signal.aborted || !isRepriseError(error)) throw error;
    return { partial: null, unknown: `the database could not be compared with it: ${error.message}` };
  }
}

/** Once for all dumps of a database that an operation adopts. */
async function definitionsOf(context: EngineContext, database: string): Promise<ArchiveToc> {
  const job = await runToolJob(context.jobs, LOGICAL_TOOLS, {
    step: `adopt-definitions:${encodeName(database)}`,
    tool: 'pg_dump',
    argv: [
      join(context.pgBin, 'pg_dump'),
      ...[
        '--format=custom',
        '--compress=0',
        '--schema-only',
        '--no-password',
        `--lock-wait-timeout=${LOCK_WAIT_TIMEOUT}`,
      ],
    ],
    env: libpqEnv(context.cluster.connection, database),
    onGone: 'restart',
    progress: async () => ({ phase: `reading the definitions of ${database}`, done: 0, unit: 'tables' }),
    stallTimeoutMs: STALL_TIMEOUT_MS,
  });
  return readToc(await readFile(job.stdout));
}

async function firstLargeObject({ cluster }: EngineContext, database: string): Promise<number | null> {
  const { rows } = await withClient(cluster.connection, database, (client) =>
    client.query<{ oid: string | null }>('SELECT min(oid)::text AS oid FROM pg_catalog.pg_largeobject_metadata'),
  );
  const oid = rows[0]?.oid ?? null;
  return oid === null ? null : Number(oid);
}

/** Tables of the backup of our own that is nearest in time; those of a part of a database tell nothing. */
async function ownTables(
  context: EngineContext,
  { database, startedAt }: NamedDump,
): Promise<LiveDatabase['ownTables']> {
  const distance = (at: string): number => Math.abs(Date.parse(at) - Date.parse(startedAt));
  const near = (await listBackups(context))
    .filter((backup) => backup.database === database && backup.partial === undefined && backup.damaged === undefined)
    .toSorted((a, b) => distance(a.startedAt) - distance(b.startedAt));
  for (const { label } of near) {
    const manifest = await readManifest(context.storage, manifestKeyOf(context, label));
    if (manifest === null || manifest.adopted !== undefined || manifest.countedIn === 'nowhere') continue;
    return manifest.contents;
  }
  return null;
}
