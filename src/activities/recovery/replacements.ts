import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { PolicyConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { type PlanBinding, type PlanObservations, type Replacement, losesOldData } from '../../domain/plan/plan.js';
import { sizeInWords } from '../../domain/text/text.js';
import type { RecoveryOutline } from '../../engines/engine.js';
import { freeBytes, nearestExisting, usedBytes } from '../../postgres/server/disk.js';
import { runProgram } from '../../process/exec/run-program.js';
import { type RecoveryPlace, oldDatabaseName, oldDataDirectory, oldDataDirectoryOn } from './places.js';
import { type ClusterContext, engineFor } from '../cluster-context.js';
import { pathExists } from '../../files/paths.js';

/**
 * What a recovery replaces, and what becomes of it, by the policy of the cluster (`recovery.old_data`).
 * @throws RepriseError `capability-missing` where it is to be overwritten and the engine cannot
 */
export async function replacements(
  session: ClusterContext,
  policy: PolicyConfig | null,
  place: RecoveryPlace,
  { backups }: RecoveryOutline,
  operationId: string,
): Promise<readonly Replacement[]> {
  const engine = policy ? engineFor(session, policy) : null;
  if (engine?.capabilities.method !== 'data-directory') {
    return backups.flatMap(({ database }) =>
      database ? [{ what: `database ${database}`, keptAs: oldDatabaseName(database, operationId) }] : [],
    );
  }
  const { dataDir: what } = place;
  // A directory that is gone is replaced by nothing: nothing is put aside, and nobody is told that it was.
  if (what === null || !(await pathExists(what))) return [];
  const { oldData } = session.cluster.recovery;
  if (oldData.mode === 'aside-on')
    return [{ what, keptAs: oldDataDirectoryOn(oldData.path, what, operationId), copied: true }];
  // Only the cluster's own data, which the backup is known to be of, is ever overwritten.
  if (oldData.mode === 'aside' || !place.inPlace) return [{ what, keptAs: oldDataDirectory(what, operationId) }];
  if (engine.capabilities.overwrites) return [{ what, keptAs: null }];
  throw new RepriseError(
    'capability-missing',
    `engine ${engine.kind} cannot restore over old data, which old_data: { mode: overwrite-delta } asks for`,
    'use mode aside, or aside-on with a path',
  );
}

/**
 * Bytes that the plan takes and that are free for it, where the data goes. Old data that is emptied or overwritten gives
 * its own room.
 * @throws RepriseError `disk-full`, `path-refused` where old data cannot be copied to where it is to go
 */
export async function roomFor(
  session: ClusterContext,
  binding: Pick<PlanBinding, 'dataDir' | 'replaces'>,
  neededBytes: number,
): Promise<Pick<PlanObservations, 'neededBytes' | 'freeBytes'>> {
  const { dataDir, replaces } = binding;
  if (dataDir === null) return { neededBytes, freeBytes: null };
  const copied = replaces.find((one) => one.copied);
  if (!copied && !losesOldData(binding)) return { neededBytes, freeBytes: await freeBytes(dirname(dataDir)) };
  const old = await usedBytes(dataDir, session.user);
  const free = await freeBytes(dataDir);
  // The WAL of what is overwritten is saved before, beside it.
  if (!copied?.keptAs)
    return {
      neededBytes: neededBytes + (await usedBytes(join(dataDir, 'pg_wal'), session.user)),
      freeBytes: free + old,
    };
  const path = dirname(copied.keptAs);
  await requireWritable(session, path);
  const room = await freeBytes(path);
  if (room < old) {
    throw new RepriseError(
      'disk-full',
      `the old data takes ${sizeInWords(old)}, and ${sizeInWords(room)} are free in ${path}, where it is copied to`,
      'make room there, or name another path under recovery: old_data',
    );
  }
  return { neededBytes, freeBytes: (await sameFileSystem(path, dataDir)) ? free : free + old };
}

async function requireWritable({ user }: ClusterContext, path: string): Promise<void> {
  const { exitCode } = await runProgram(['test', '-d', path, '-a', '-w', path, '-a', '-x', path], {
    user,
    acceptCodes: [0, 1],
  });
  if (exitCode === 0) return;
  throw new RepriseError(
    'path-refused',
    `old data cannot be copied to ${path}: it is no directory that ${user?.name ?? 'this worker'} may write in`,
    'make it, or mount what belongs there, and give it to that user (mode 0700)',
  );
}

async function sameFileSystem(a: string, b: string): Promise<boolean> {
  return (await stat(await nearestExisting(a))).dev === (await stat(await nearestExisting(b))).dev;
}
