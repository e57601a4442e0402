import type { OldDataConfig } from '../config.js';
import { RepriseError } from '../errors.js';
import type { Replacement } from './plan.js';
import {
  type RecoveryPlace,
  oldDataDirectory,
  oldDataDirectoryOn,
  newDatabaseName,
  oldDatabaseName,
} from './recovery-place.js';
import type { RecoverySource } from './recovery-observations.js';

/** What becomes of the data directory that a recovery replaces, by the policy of the cluster (`recovery.old_data`). */
export type OldDataFate = 'none' | 'renamed' | 'copied' | 'overwritten';

export function oldDataFate(
  { inPlace }: RecoveryPlace,
  { mode }: OldDataConfig,
  {
    method,
    dataDirExists,
    isForeign = false,
  }: { readonly method: RecoverySource['method']; readonly dataDirExists: boolean; readonly isForeign?: boolean },
): OldDataFate {
  // A directory that is gone is replaced by nothing: nothing is put aside, and the plan does not say so.
  if (method !== 'data-directory' || !dataDirExists) return 'none';
  if (mode === 'aside-on') return 'copied';
  // Only the cluster's own data, which the backup is known to be of, is ever overwritten.
  return mode === 'overwrite-delta' && inPlace && !isForeign ? 'overwritten' : 'renamed';
}

export interface Replacing {
  readonly oldData: OldDataConfig;
  readonly fate: OldDataFate;
  readonly operationId: string;
  /** Where the data directory really is; default: where it is said to be. */
  readonly home?: string;
  /** Of the old data, outside of its directory. */
  readonly parts?: readonly string[];
}

/**
 * What a recovery replaces, and where it is kept.
 * @throws RepriseError `capability-missing` where it is to be overwritten and the engine cannot
 */
export function replacements(
  { method, outline, policy }: RecoverySource,
  { dataDir: what }: RecoveryPlace,
  { oldData, fate, operationId, home = what ?? '', parts = [] }: Replacing,
): readonly Replacement[] {
  if (method === 'databases') {
    refuseSameNames(outline.backups, operationId);
    return outline.backups.flatMap(({ database }) =>
      database ? [{ what: `database ${database}`, keptAs: oldDatabaseName(database, operationId) }] : [],
    );
  }
  if (what === null || fate === 'none') return [];
  const outside = parts.length === 0 ? {} : { parts };
  if (fate === 'copied' && oldData.mode === 'aside-on')
    return [{ what, keptAs: oldDataDirectoryOn(oldData.path, what, operationId), copied: true, ...outside }];
  if (fate === 'renamed') return [{ what, keptAs: oldDataDirectory(home, operationId), ...outside }];
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
