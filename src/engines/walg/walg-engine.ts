import type { Engine } from '../engine.js';
import { describeBackup, backup } from './backup.js';
import { readBackupList, listed } from './backup-list.js';
import { bindBackup } from './bound-files.js';
import { configDigest } from './env-file.js';
import { hold, release } from './removal/holds.js';
import { walgCapabilities } from './options.js';
import { outlineRecovery, readWholeArchive } from './outline.js';
import { preflightBackup } from './preflight.js';
import { rearm, archiveCommand, restoreCommand } from './wal/recovery-wal.js';
import { keptBehind, planRemoval, remove } from './removal/remove.js';
import { restoreFiles } from './restore.js';
import { coldFiles, describeStore, keptAt } from './tool-store.js';
import { verify } from './verify.js';

/** Physical backups and WAL archive by WAL-G: one cluster a prefix, with the settings of its environment file. */
export const walgEngine: Engine = {
  kind: 'walg',
  capabilities: walgCapabilities,
  preflightBackup,
  backup,
  list: async (context) => (await readBackupList(context)).map(listed),
  verify,
  planRemoval,
  keptBehind,
  remove,
  holds: { hold, release },
  configDigest,
  keptAt,
  outlineRecovery,
  readArchive: readWholeArchive,
  bindBackup,
  adoption: { describe: describeBackup },
  toolStore: { describe: describeStore, coldFiles },
  physical: { restoreFiles, restoreCommand, archiveCommand, rearm },
};
