import { quotedForCommand } from '../../postgres/command-quoting.js';
import type { ReadContext } from '../engine.js';
import { optionsOf } from './command.js';

/** `restore_command` for a server that recovers; WAL-G fetches ahead by itself. */
export function restoreCommand(context: Pick<ReadContext, 'policy'>): string {
  return `${start(context)} wal-fetch "%f" "%p"`;
}

/** `archive_command` of the recovered production cluster: same prefix, new timeline, owner-only files (F42). */
export function archiveCommand(context: Pick<ReadContext, 'policy'>): string {
  return `${start(context)} wal-push "%p"`;
}

/** The shell takes the settings from the file: none of them stands in the server's configuration (F39). */
function start(context: Pick<ReadContext, 'policy'>): string {
  const { envFile, binary } = optionsOf(context);
  return `umask 077 && set -a && . ${quotedForCommand(envFile)} && exec ${quotedForCommand(binary)}`;
}
