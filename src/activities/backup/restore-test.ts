import { join } from 'node:path';
import type { Backup, TableCount } from '../../domain/backup/backup.js';
import type { ConnectionConfig, HostConfig } from '../../domain/config.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import type { MeasuredRestore } from '../../domain/plan/predict-duration.js';
import { sizeInWords } from '../../domain/text/text.js';
import type {
  BoundBackup,
  EngineContext,
  LogicalRestore,
  PhysicalRestore,
  VerifyVerdict,
} from '../../engines/engine.js';
import { withClient, withMaintenance } from '../../postgres/connection/with-client.js';
import { countApart, countTables, type RelationsApart } from '../../postgres/content/inventory.js';
import { invalidDatabases, invalidDatabaseText } from '../../postgres/server/databases.js';
import { freeBytes, usedBytes } from '../../postgres/server/disk.js';
import { makeHostScratch, makeScratchDirectory } from '../../postgres/server/scratch-directory.js';
import type { ScratchServer } from '../../postgres/server/scratch-cluster.js';
import { isLeaving } from '../../process/jobs/jobs.js';
import { pathExists } from '../../files/paths.js';
import { sha256Hex } from '../../records/digest.js';
import { openMeasuredRestores } from '../../records/measured-restores.js';
import { engineFor, policyOf, type ClusterContext } from '../cluster-context.js';
import { claimInstance, removeInstance } from '../temporary/instances.js';
import { preloadOfSource, recoverCopy, restoreDump, startDumpServer } from '../temporary/restored-copy.js';

/** Where the copy of a verification lies. */
export function scratchOf({ scratchDir }: Pick<HostConfig, 'scratchDir'>, operationId: string): string {
  return join(scratchDir, `prove-${sha256Hex(operationId).slice(0, 12)}`);
}

/**
 * The strongest verification: the backup is restored into an isolated scratch server that is removed afterwards, and what is
 * in it is counted. An attempt continues with the copy that an earlier one left.
 */
export async function testRestore(
  clusterContext: ClusterContext,
  context: EngineContext,
  backup: Backup,
  known: readonly Backup[],
): Promise<VerifyVerdict> {
  const engine = engineFor(clusterContext, policyOf(clusterContext, backup.policy));
  const root = scratchOf(clusterContext.host, context.operationId);
  await makeHostScratch(clusterContext.host, context.user);
  const dataDir = join(root, 'data');
  const { operationId } = context;
  const instance = await claimInstance(clusterContext, { dataDir, kind: 'scratch', operationId }, null);
  await makeScratchDirectory(root, context.user);
  try {
    const isFirst = !(await pathExists(dataDir));
    if (isFirst) await requireRoom(context, backup, engine.logical);
    // What is restored is what it has now, compared with its record; it is read once more by nobody without that.
    const content = await engine.bindBackup(context, backup, known);
    const took = isFirst ? new Took(clusterContext) : null;
    const bound = { backup, content };
    if (engine.physical) return await testPhysical(engine.physical, context, bound, { dataDir, took });
    if (engine.logical) return await testDump(engine.logical, context, bound, { dataDir, took });
    return { ok: false, detail: `engine ${engine.kind} cannot restore` };
  } catch (error) {
    // What a restore has to say about the backup is the verdict; anything else (a full disk, a kill) says nothing of it.
    if (isRepriseError(error) && ['check-failed', 'backup-corrupt'].includes(error.code))
      return { ok: false, detail: error.message };
    throw error;
  } finally {
    // A worker that shuts down leaves the copy to the next attempt.
    if (!isLeaving(context)) await removeInstance(clusterContext, instance);
  }
}

interface TestPlace {
  readonly dataDir: string;
  /** Null: an attempt before this one has begun it. */
  readonly took: Took | null;
}

async function testPhysical(
  physical: PhysicalRestore,
  context: EngineContext,
  bound: BoundBackup,
  { dataDir, took }: TestPlace,
): Promise<VerifyVerdict> {
  const { backup } = bound;
  const tablespaceDir = `${dataDir}.tablespaces`;
  await physical.restoreFiles(context, { ...bound, dataDir, tablespaceDir });
  const restoreSeconds = took?.seconds() ?? 0;
  const target = { stopsAt: { kind: 'end-of-backup' as const }, timeline: 'latest' as const };
  const preload = await preloadOfSource(context);
  const began = took?.seconds() ?? 0;
  const copy = await recoverCopy(physical, context, { dataDir }, target, preload);
  const { connection } = copy.server;
  const replaySeconds = (took?.seconds() ?? 0) - began;
  const verdict = await compareRestored(connection, backup.contents ?? []);
  // A plan counts each link of a chain, and not what they come to.
  if (took !== null && verdict.ok && (backup.dependsOn ?? []).length === 0) {
    const { user } = context;
    const sizeBytes = (await usedBytes(dataDir, user)) + (await usedBytes(tablespaceDir, user));
    await took.keep(backup, { method: 'data-directory', sizeBytes, walBytes: 0, restoreSeconds, replaySeconds });
  }
  return verdict;
}

async function testDump(
  logical: LogicalRestore,
  context: EngineContext,
  bound: BoundBackup,
  { dataDir, took }: TestPlace,
): Promise<VerifyVerdict> {
  const { backup } = bound;
  const tables = backup.contents?.length ?? 0;
  const preload = await preloadOfSource(context);
  const server = await startDumpServer(context, { dataDir, tables, database: RESTORED }, preload);
  const verdict = await restoredDump(logical, context, bound, server);
  const figures = { method: 'databases', sizeBytes: backup.sizeBytes, walBytes: null, replaySeconds: 0 } as const;
  await took?.keep(backup, { ...figures, restoreSeconds: took.seconds() });
  return verdict;
}

/** How long a restore took that one attempt did as a whole: of one that goes on with what is there nobody knows. */
class Took {
  private readonly began = performance.now();

  constructor(private readonly clusterContext: Pick<ClusterContext, 'host'>) {}

  seconds(): number {
    return (performance.now() - this.began) / 1000;
  }

  /** For the predictions of this host, as drills and recoveries are. */
  async keep(
    { id, engine }: Pick<Backup, 'id' | 'engine'>,
    figures: Omit<MeasuredRestore, 'id' | 'at' | 'engine' | 'otherSeconds'>,
  ): Promise<void> {
    const at = new Date().toISOString();
    const measured = { id: `restore-test/${id}/${at}`, engine, at, ...figures, otherSeconds: null };
    await openMeasuredRestores(this.clusterContext.host.stateDir).add(measured);
  }
}

/** @throws RepriseError `disk-full` before anything is restored */
async function requireRoom(context: EngineContext, backup: Backup, logical: LogicalRestore | undefined): Promise<void> {
  const { scratchDir } = context.host;
  const needed = logical === undefined ? backup.sizeBytes : await logical.databaseBytes(context, backup);
  const free = await freeBytes(scratchDir);
  if (free >= needed) return;
  throw new RepriseError(
    'disk-full',
    `a restore test of ${backup.id} needs at least ${sizeInWords(needed)}, and ${sizeInWords(free)} are free in ${scratchDir}`,
    `free space there, or name another place: hosts.${context.host.name}.scratch_dir`,
  );
}

/**
 * Whether the tables recorded with a physical backup are in the server restored from it, and can be read. Their rows were
 * counted close to it, not in it. Unlogged, temporary and foreign relations are counted apart: it holds no rows of them.
 */
export async function compareRestored(
  connection: ConnectionConfig,
  recorded: readonly TableCount[],
): Promise<VerifyVerdict> {
  const found: TableCount[] = [];
  const apart: Apart = { unlogged: 0, temporary: 0, foreign: 0 };
  const locked: Omit<TableCount, 'rows'>[] = [];
  const databases = [...new Set(recorded.map((count) => count.database))];
  const invalid = await withMaintenance(connection, (client) => invalidDatabases(client, databases));
  if (invalid.length > 0)
    return { ok: false, detail: `restored, but ${invalid.map((name) => invalidDatabaseText(name)).join('; ')}` };
  for (const database of databases) {
    await withClient(connection, database, async (client) => {
      found.push(...(await countTables(client, database)));
      const { locked: held, ...numbers } = await countApart(client);
      for (const kind of Object.keys(apart) as (keyof Apart)[]) apart[kind] += numbers[kind];
      locked.push(...held.map(({ schema, table }) => ({ database, schema, table })));
    });
  }
  const key = ({ database, schema, table }: Omit<TableCount, 'rows'>): string =>
    JSON.stringify([database, schema, table]);
  const there = new Set([...found, ...locked].map(key));
  const missing = recorded.filter((count) => !there.has(key(count)));
  if (missing.length > 0) {
    return {
      ok: false,
      detail: `restored, but ${missing.length} of ${recorded.length} tables are missing, ${missing[0]?.schema}.${missing[0]?.table} among them`,
      contents: found,
    };
  }
  const read = found.filter(({ unlogged }) => unlogged !== true);
  const rows = read.reduce((sum, count) => sum + count.rows, 0);
  return {
    ok: true,
    detail: `restored and started; ${read.length} tables with ${rows} rows could be read${apartText(apart, locked.length)}`,
    contents: found,
  };
}

/** By number. */
type Apart = { -readonly [K in Exclude<keyof RelationsApart, 'locked'>]: number };

function apartText({ unlogged, temporary, foreign }: Apart, locked: number): string {
  const parts = [
    unlogged > 0 && `${unlogged} unlogged, which a physical backup holds without rows`,
    temporary > 0 && `${temporary} temporary`,
    foreign > 0 && `${foreign} foreign`,
    locked > 0 && `${locked} that a transaction under way at the end of the backup, or a prepared one, has locked`,
  ].filter((part) => part !== false);
  return parts.length === 0 ? '' : `; counted apart: ${parts.join(', ')}`;
}

/** In a server of its own, so that no name of a database has to be in it. */
const RESTORED = 'reprise_restored';

async function restoredDump(
  logical: LogicalRestore,
  context: EngineContext,
  bound: BoundBackup,
  server: ScratchServer,
): Promise<VerifyVerdict> {
  const { backup } = bound;
  const { contents, accepted } = await restoreDump(logical, context, bound, server, RESTORED);
  return {
    ok: true,
    detail: `restored; ${contents.length} tables ${backup.contents === undefined ? 'could be read' : 'hold the rows recorded with the backup'}${acceptedText(accepted)}`,
    contents,
  };
}

/** Of what a restore went on after, as much as a person reads at once. */
export function acceptedText(accepted: readonly string[]): string {
  if (accepted.length === 0) return '';
  const more = accepted.length > 3 ? `; and ${accepted.length - 3} more` : '';
  return `; noted: ${accepted.slice(0, 3).join('; ')}${more}`;
}
