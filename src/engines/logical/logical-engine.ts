import type { Backup } from '../../domain/backup/backup.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import type { TableName } from '../../domain/table/table-name.js';
import type { BackupRequest, Engine, EngineContext, MadeBackup, ReadContext } from '../engine.js';
import { abandonedIfCancelled } from '../shared/abandon.js';
import { abandonDumps } from './backup/abandon.js';
import { surveyDumps, takeDump } from './backup/adopt.js';
import { isAmong, shareOf } from './archive/only-tables.js';
import { tocOf } from './archive/read-toc.js';
import { backUpDatabase } from './backup/dump.js';
import { logicalCapabilities } from './options.js';
import { listBackups } from './repository/list.js';
import { bindBackup, LOGICAL, madeBackup, manifestFiles, manifestOf } from './repository/manifest.js';
import { everyFileOf } from './repository/names.js';
import { outlineRecovery } from './restore/outline.js';
import { dumpableDatabases, preflightBackup } from './backup/preflight.js';
import { planRemoval, removeBackups } from './repository/remove.js';
import { restoreGlobals } from './restore/restore-globals.js';
import { restoreDatabase } from './restore/restore.js';
import { verifyDump } from './repository/verify.js';

/** `pg_dump -Fc` and the cluster's roles, restored beside the live database: for one database, any version, any host. */
export const logicalEngine: Engine = {
  kind: LOGICAL,
  capabilities: logicalCapabilities,
  preflightBackup,
  backup: (context, request) =>
    abandonedIfCancelled(
      context,
      () => backUpDatabases(context, request),
      () => abandonDumps(context, request.startedAt),
    ),
  abandonBackup: abandonDumps,
  list: listBackups,
  verify: verifyDump,
  planRemoval,
  remove: removeBackups,
  outlineRecovery,
  bindBackup,
  storedFiles: async (context, label) => everyFileOf(context, label),
  ownFiles: async (context, label) => everyFileOf(context, label),
  adoption: {
    describe: async (context, label) => madeBackup(await manifestOf(context, label), context.policy.repository),
    survey: surveyDumps,
    take: (context, directory, candidate) =>
      abandonedIfCancelled(
        context,
        () => takeDump(context, directory, candidate),
        () => abandonDumps(context, null),
      ),
  },
  logical: {
    restoreDatabase,
    restoreGlobals,
    databaseBytes,
  },
};

/** Indexes, whose size no backup records; and rows that compress less well than others. */
const SLACK = 2;
/** Of a database without tables, and of a table without rows, with its indexes and those of its TOAST table. */
const [EMPTY_DATABASE_BYTES, EMPTY_TABLE_BYTES] = [16 * 1024 * 1024, 64 * 1024];

/** Of some tables: what the backup recorded of them, else their share of the dump. */
async function databaseBytes(context: ReadContext, { label }: Backup, only?: readonly TableName[]): Promise<number> {
  const manifest = await manifestOf(context, label);
  const { databaseSizeBytes, contents, dump } = manifest;
  if (only === undefined) return databaseSizeBytes;
  const key = manifestFiles(context, manifest).dump;
  const toc = await tocOf(context, { key, encrypted: manifest.encryption !== undefined });
  const recorded = contents.filter(isAmong(toc, only)).map(({ bytes }) => bytes ?? null);
  const share = shareOf(toc, only, dump.sizeBytes);
  const rows = recorded.includes(null)
    ? (share ?? 1) * databaseSizeBytes
    : recorded.reduce<number>((sum, bytes) => sum + (bytes ?? 0), 0);
  const empty = EMPTY_DATABASE_BYTES + contents.length * EMPTY_TABLE_BYTES;
  return Math.min(databaseSizeBytes, Math.ceil(empty + SLACK * rows));
}

/** One dump a database, but for invalid ones, which preflight tells of. One that fails keeps no other from its backup. */
async function backUpDatabases(context: EngineContext, request: BackupRequest): Promise<readonly MadeBackup[]> {
  if (request.type !== 'auto' && request.type !== 'full') {
    throw new RepriseError(
      'capability-missing',
      `a dump is always full: there is no type ${request.type}`,
      'backup run --type full, or a policy of a physical engine',
    );
  }
  const made: MadeBackup[] = [];
  const failures: (readonly [database: string, failure: RepriseError])[] = [];
  for (const database of await dumpableDatabases(context)) {
    try {
      made.push(await backUpDatabase(context, request, database));
    } catch (error) {
      if (context.signal.aborted || !isRepriseError(error)) throw error;
      failures.push([database, error]);
    }
  }
  const [first] = failures;
  if (first !== undefined && (made.length === 0 || request.leaveOut === undefined)) throw first[1];
  for (const [database, failure] of failures) request.leaveOut?.(database, failure);
  return made;
}
