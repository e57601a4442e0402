import { quotedForCommand } from '../../postgres/wal/archiving.js';
import type { ReadContext } from '../engine.js';
import { optionsOf } from './command.js';

/**
 * `restore_command` for a server that recovers, wherever its data directory lies: PostgreSQL runs it there, and
 * pgBackRest wants to be told where that is. Not asynchronous: a clone has to leave the spool and the locks of the
 * living cluster alone.
 */
export function restoreCommand(context: Pick<ReadContext, 'policy'>): string {
  return `${start(context)} --pg1-path="$PWD" --no-archive-async archive-get %f "%p"`;
}

/** `archive_command` of the recovered production cluster: same stanza, new timeline, owner-only files (F42). */
export function archiveCommand(context: Pick<ReadContext, 'policy'>): string {
  return `${start(context)} --no-neutral-umask archive-push %p`;
}

function start(context: Pick<ReadContext, 'policy'>): string {
  const { config, stanza } = optionsOf(context);
  return `pgbackrest --config=${quotedForCommand(config)} --stanza=${quotedForCommand(stanza)}`;
}
