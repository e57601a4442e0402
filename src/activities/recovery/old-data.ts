import { join } from 'node:path';
import { holdsUnfinishedRecovery } from '../../postgres/server/data-directory.js';
import { openHostState } from '../../records/host-state.js';
import type { ClusterContext } from '../cluster-context.js';
import { pathExists } from '../../files/paths.js';

/** Name under which the host keeps that an operation is about to open its server for writes. */
export const PROMOTION = 'promotion';
/** And that it is open: only then does it hold more than what it was recovered from. */
export const PROMOTED = 'promoted';

/** How a data directory put aside is named in the records. */
export const oldDirectory = (dataDir: string): string => `old data directory ${dataDir}`;

/** And the WAL saved from one that was overwritten. */
export const oldWal = (dataDir: string): string => `WAL of the overwritten data directory ${dataDir}`;

/**
 * Where the lost server's own files are: its data directory or, where that one comes from a recovery that was given up,
 * what the first of those put aside, or saved of what it overwrote. WAL that was never archived is there, and nowhere else.
 */
export async function oldDataDirOf({ catalogue, deps, host }: ClusterContext, dataDir: string): Promise<string> {
  if (!(await isBegunRecovery(dataDir))) return dataDir;
  const { kept, outcomes } = await catalogue.state();
  const state = openHostState(host.stateDir);
  let found = dataDir;
  for (const item of kept.toReversed()) {
    if (![oldDirectory(dataDir), oldWal(dataDir)].includes(item.what) || item.host !== deps.host) continue;
    if (outcomes.has(item.operationId) || (await state.onceDone(item.operationId, PROMOTED))) break;
    if (await pathExists(item.where)) found = item.where;
  }
  return found;
}

/**
 * Gone, half restored, or restored and never opened for writes: nothing was ever committed in it. Every engine restores
 * the control file last, or after what says that it is a backup.
 */
async function isBegunRecovery(dataDir: string): Promise<boolean> {
  if (!(await pathExists(dataDir)) || (await holdsUnfinishedRecovery(dataDir))) return true;
  if (!(await pathExists(join(dataDir, 'global', 'pg_control')))) return true;
  return (await pathExists(join(dataDir, 'backup_label'))) || (await pathExists(join(dataDir, 'backup.manifest')));
}
