import type { Engine } from '../engine.js';
import { describeBackup, backup } from './backup.js';
import { bindBackup } from './bound-manifest.js';
import { optionsOf } from './command.js';
import { configDigest } from './config-file.js';
import { planRemoval, remove } from './expire/expire.js';
import { listed, readInfo } from './info.js';
import { pgbackrestCapabilities } from './options.js';
import { outlineRecovery, readStanzaArchive } from './outline.js';
import { preflightBackup } from './preflight.js';
import { acceptsArchiveCommand, rearm, archiveCommand, restoreCommand } from './wal/recovery-wal.js';
import { restoreFiles } from './restore.js';
import { coldFiles, describeStore, keptAt } from './tool-store.js';
import { verify } from './verify/verify.js';

/** Physical backups and WAL archive by pgBackRest: one stanza a cluster, in the first repository of its configuration. */
export const pgbackrestEngine: Engine = {
  kind: 'pgbackrest',
  capabilities: pgbackrestCapabilities,
  preflightBackup,
  backup,
  list: async (context) => (await readInfo(context)).backups.map((backup) => listed(backup, optionsOf(context))),
  verify,
  planRemoval,
  remove,
  configDigest,
  keptAt,
  outlineRecovery,
  readArchive: readStanzaArchive,
  bindBackup,
  adoption: { describe: describeBackup },
  toolStore: { describe: describeStore, coldFiles },
  physical: { restoreFiles, restoreCommand, archiveCommand, acceptsArchiveCommand, rearm },
};
