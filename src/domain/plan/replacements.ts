import type { OldDataConfig } from '../config.js';
import { RepriseError } from '../errors.js';
import { sizeInWords } from '../text/text.js';
import type { PlanObservations, Replacement } from './plan.js';
import {
  type RecoveryPlace,
  oldDataDirectory,
  oldDataDirectoryOn,
  newDatabaseName,
  oldDatabaseName,
  parentOf,
} from './recovery-place.js';
import type { ObservedDisk, RecoverySource } from './recovery-observations.js';

/** What becomes of the data directory that a recovery replaces, by the policy of the cluster (`recovery.old_data`). */
export type OldDataFate = 'none' | 'renamed' | 'copied' | 'overwritten';

export function oldDataFate(
  { inPlace }: RecoveryPlace,
  { mode }: OldDataConfig,
  { method, dataDirExists }: { readonly method: RecoverySource['method']; readonly dataDirExists: boolean },
): OldDataFate {
  // A directory that is gone is replaced by nothing: nothing is put aside, and the plan does not say so.
  if (method !== 'data-directory' || !dataDirExists) return 'none';
  if (mode === 'aside-on') return 'copied';
  // Only the cluster's own data, which the backup is known to be of, is ever overwritten.
  return mode === 'overwrite-delta' && inPlace ? 'overwritten' : 'renamed';
}

/**
 * What a recovery replaces, and where it is kept.
 * @throws RepriseError `capability-missing` where it is to be overwritten and the engine cannot
 */
export function replacements(
  { method, outline, policy }: RecoverySource,
  { dataDir: what }: RecoveryPlace,
  oldData: OldDataConfig,
  fate: OldDataFate,
  operationId: string,
): readonly Replacement[] {
  if (method === 'databases') {
    refuseSameNames(outline.backups, operationId);
    return outline.backups.flatMap(({ database }) =>
      database ? [{ what: `database ${database}`, keptAs: oldDatabaseName(database, operationId) }] : [],
    );
  }
  if (what === null || fate === 'none') return [];
  if (oldData.mode === 'aside-on')
    return [{ what, keptAs: oldDataDirectoryOn(oldData.path, what, operationId), copied: true }];
  if (fate === 'renamed') return [{ what, keptAs: oldDataDirectory(what, operationId) }];
  if (policy?.overwrites) return [{ what, keptAs: null }];
  throw new RepriseError(
    'capability-missing',
    `engine ${policy?.engine} cannot restore over old data, which old_data: { mode: overwrite-delta } asks for`,
    'use mode aside, or aside-on with a path',
  );
}

/** One restored twice, or kept under the name of another one, would be lost. */
function refuseSameNames(backups: RecoverySource['outline']['backups'], operationId: string): void {
  const names = backups.flatMap(({ database }) =>
    database ? [database, newDatabaseName(database, operationId), oldDatabaseName(database, operationId)] : [],
  );
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice === undefined) return;
  throw new RepriseError(
    'conflict',
    `the recovery would give the name ${JSON.stringify(twice)} to two databases`,
    'recover one database at a time: --database NAME',
  );
}

/**
 * Bytes that the plan takes and that are free for it, where the data goes. Old data that is emptied or overwritten gives
 * its own room.
 * @throws RepriseError `disk-full`, `path-refused` where old data cannot be copied to where it is to go
 */
export function roomFor(
  neededBytes: number,
  disk: ObservedDisk | null,
  dataDir: string | null,
): Pick<PlanObservations, 'neededBytes' | 'freeBytes'> {
  const room = disk === null ? { neededBytes, freeBytes: null } : roomOn(disk, neededBytes);
  if (room.freeBytes === null || room.freeBytes >= room.neededBytes) return room;
  throw new RepriseError(
    'disk-full',
    `the restore needs ${room.neededBytes} bytes and ${room.freeBytes} are free below ${parentOf(dataDir ?? '/')}`,
    'free space (reprise kept list shows old data), or recover to another place',
  );
}

function roomOn(
  { freeBytes, oldData, copyTo }: ObservedDisk,
  neededBytes: number,
): { neededBytes: number; freeBytes: number } {
  if (oldData === undefined) return { neededBytes, freeBytes };
  // The WAL of what is overwritten is saved before, beside it.
  if (copyTo === undefined)
    return { neededBytes: neededBytes + oldData.walBytes, freeBytes: freeBytes + oldData.usedBytes };
  if (!copyTo.writable) {
    throw new RepriseError(
      'path-refused',
      `old data cannot be copied to ${copyTo.path}: it is not a directory that ${copyTo.user ?? 'this worker'} may write in`,
      'create it, or mount the file system, and make it belong to that user (mode 0700)',
    );
  }
  if (copyTo.freeBytes < oldData.usedBytes) {
    throw new RepriseError(
      'disk-full',
      `the old data takes ${sizeInWords(oldData.usedBytes)}, and ${sizeInWords(copyTo.freeBytes)} are free in ${copyTo.path}, where it is copied to`,
      'free space there, or name another path under recovery: old_data',
    );
  }
  return { neededBytes, freeBytes: copyTo.sameFileSystem ? freeBytes : freeBytes + oldData.usedBytes };
}
