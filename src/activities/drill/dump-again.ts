import { join } from 'node:path';
import type { DumpedAgain } from '../../checks/check.js';
import { compareContent } from '../../domain/drill/content.js';
import { isRepriseError, isRetryable, RepriseError } from '../../domain/errors.js';
import { sizeInWords, visible } from '../../domain/text/text.js';
import type { Engine, EngineContext } from '../../engines/engine.js';
import { type ReadTables, readTables } from '../../postgres/content/read-tables.js';
import { freeBytes, usedBytes } from '../../postgres/server/disk.js';
import type { ScratchServer } from '../../postgres/server/scratch-cluster.js';
import { makeHostScratch, makeScratchDirectory } from '../../postgres/server/scratch-directory.js';
import { isLeaving } from '../../process/jobs/jobs.js';
import type { ActivityRun } from '../activity-wrapper.js';
import type { DrillRestoreStep } from '../api.js';
import { scratchOf } from '../backup/restore-test.js';
import { claimInstance, removeInstance } from '../temporary/instances.js';
import { preloadOfSource, restoreDump, startDumpServer } from '../temporary/restored-copy.js';
import { DUMPS, instanceDumpContext } from '../temporary/instance-dump.js';
import { type DrillWork, instanceWork } from './staging.js';

/**
 * Dumps each database of staging, restores the dump in a server of its own as a recovery would, and compares every table. What is made for
 * that lies in the host's scratch directory and is removed.
 */
export async function dumpAgain(
  work: DrillWork,
  step: DrillRestoreStep,
  read: ReadTables,
  run: ActivityRun,
): Promise<readonly DumpedAgain[]> {
  const { clusterContext, place, plan } = work;
  const { host, user, deps } = clusterContext;
  const root = scratchOf(host, step.operationId);
  await makeHostScratch(host, user);
  const dataDir = join(root, 'data');
  const instance = await claimInstance(
    clusterContext,
    { dataDir, kind: 'scratch', operationId: step.operationId },
    null,
  );
  await makeScratchDirectory(root, user);
  const context = await instanceDumpContext(
    instanceWork(work, step.restore, step),
    { name: 'dump-again', databases: read.databases, repository: join(root, 'dumps') },
    run,
  );
  const engine = deps.engineOf(DUMPS);
  let starting: Promise<ScratchServer> | undefined;
  try {
    await requireRoom(root, await usedBytes(place.dataDir, user));
    const preload = await preloadOfSource(context);
    // A dump takes one processor: the server is made beside the first one.
    starting = startDumpServer(context, { dataDir, tables: read.tables.length, database: intoOf(0) }, preload);
    starting.catch(() => undefined);
    const server = starting;
    const found: DumpedAgain[] = [];
    for (const [index, database] of read.databases.entries()) {
      run.signal.throwIfAborted();
      found.push(
        await dumpOne(engine, { ...context, cluster: { ...context.cluster, databases: [database] } }, database, read, {
          startedAt: plan.createdAt,
          into: intoOf(index),
          server,
        }),
      );
    }
    return found;
  } finally {
    // What is just being made would be there again after its removal.
    await starting?.catch(() => undefined);
    // A worker that shuts down leaves them to the next attempt.
    if (!isLeaving(run)) await removeInstance(clusterContext, instance);
  }
}

/** No name of a database has to be free in the fresh server, which has some of its own. */
const intoOf = (index: number): string => `reprise_again_${index + 1}`;

interface Again {
  readonly into: string;
  /** UTC ISO-8601: names the dump, the same in every attempt. */
  readonly startedAt: string;
  readonly server: Promise<ScratchServer>;
}

async function dumpOne(
  engine: Engine,
  context: EngineContext,
  database: string,
  read: ReadTables,
  { startedAt, into, server }: Again,
): Promise<DumpedAgain> {
  const { logical } = engine;
  if (logical === undefined) throw new RepriseError('internal', `engine ${engine.kind} restores no dumps`);
  try {
    const [made] = await engine.backup(context, { type: 'full', startedAt });
    if (made === undefined) throw new RepriseError('internal', 'the dump left no backup');
    const backup = { ...made, proven: null, heldUntil: null, status: 'complete' as const };
    const content = await engine.bindBackup(context, backup, [backup]);
    const { connection } = await server;
    await restoreDump(logical, context, { backup, content }, { connection }, into);
    const again = await readTables(connection, [into], context.signal);
    return { database, ...compared(database, read, again) };
  } catch (error) {
    context.signal.throwIfAborted();
    // What may pass says nothing of the data; a tool that failed has been tried again by then.
    if (!isRepriseError(error) || (isRetryable(error) && error.code !== 'tool-failed')) throw error;
    return { database, tables: null, problem: error.message };
  }
}

function compared(database: string, before: ReadTables, after: ReadTables): Pick<DumpedAgain, 'tables' | 'problem'> {
  // A server that replays WAL reads no unlogged tables, and pg_dump leaves their rows out there.
  const own = before.tables.filter((one) => one.database === database && one.unlogged !== true);
  const all = compareContent(
    own,
    after.tables.map((one) => ({ ...one, database })),
  );
  const other = all.filter(({ hashes }) => hashes.recorded !== hashes.found);
  const [first] = other;
  return {
    tables: all.length - other.length,
    problem:
      first === undefined
        ? (after.problems[0] ?? null)
        : `${other.length} tables are not the same after another dump and restore, ${visible(`${first.schema}.${first.table}`)} among them`,
  };
}

/** For the dump and for what is restored from it. @throws RepriseError `disk-full` */
async function requireRoom(root: string, used: number): Promise<void> {
  const free = await freeBytes(root);
  if (free >= 2 * used) return;
  throw new RepriseError(
    'disk-full',
    `another dump and its restore need up to ${sizeInWords(2 * used)}, and ${sizeInWords(free)} are free in the scratch directory`,
    'name a larger directory under hosts.NAME.scratch_dir of the staging host, or switch the check off: checks: { dump-again: { type: dump-again, enabled: false } }',
  );
}
