import { quotedForCommand } from '../../postgres/wal/archiving.js';
import type { ReadContext } from '../engine.js';
import { optionsOf } from './command.js';

/**
 * As long as its own header says (`XLogLongPageHeaderData`, bytes 32 to 35); histories have none. Of a file that was cut
 * off at the end of a block WAL-G unpacks the beginning and says nothing, and PostgreSQL dies of a short segment: left
 * out, it ends the log as a file that cannot be unpacked does.
 */
const IS_WHOLE =
  'case "%f" in *.*) ;; *) [ "$(stat -c %%s "%p")" -eq "$(od -An -tu4 -j32 -N4 "%p" | tr -d " ")" ] ;; esac';

/** `restore_command` for a server that recovers; WAL-G fetches ahead by itself. */
export function restoreCommand(context: Pick<ReadContext, 'policy'>): string {
  return `${settings(context)} && ${program(context)} wal-fetch "%f" "%p" && ${IS_WHOLE}`;
}

/** `archive_command` of the recovered production cluster: same prefix, new timeline, owner-only files (F42). */
export function archiveCommand(context: Pick<ReadContext, 'policy'>): string {
  return `${settings(context)} && exec ${program(context)} wal-push "%p"`;
}

/** The shell takes the settings from the file: none of them stands in the server's configuration (F39). */
function settings(context: Pick<ReadContext, 'policy'>): string {
  return `umask 077 && set -a && . ${quotedForCommand(optionsOf(context).envFile)}`;
}

function program(context: Pick<ReadContext, 'policy'>): string {
  return quotedForCommand(optionsOf(context).binary);
}
