import type { Backup } from '../../src/domain/backup/backup.js';
import type { MadeBackup } from '../../src/engines/engine.js';

/** A backup as catalogue and engine agree on it. */
export function asBackup(made: MadeBackup): Backup {
  return { ...made, proven: null, heldUntil: null, status: 'complete' };
}

/** The backup of a call that makes one. */
export function onlyBackup([made]: readonly MadeBackup[]): Backup {
  if (made === undefined) throw new Error('no backup was made');
  return asBackup(made);
}
