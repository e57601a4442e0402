import { quotedForCommand } from '../../../postgres/wal/archiving.js';
import type { ReadContext, EngineContext } from '../../engine.js';
import { configArguments, optionsOf } from '../command.js';
import { withMaintenance } from '../../../postgres/connection/with-client.js';
import { checkArchiving, ensureStanza } from '../stanza.js';
import { liveFacts } from '../../shared/live-server.js';

/**
 * `restore_command` for a server that recovers, wherever its data directory is: PostgreSQL runs it there, and
 * pgBackRest wants to be told where that is. Not asynchronous: a clone has to leave the spool and the locks of the
 * living cluster alone.
 */
export function restoreCommand(context: Pick<ReadContext, 'policy'>): string {
  return `${start(context)} --pg1-path="$PWD" --no-archive-async archive-get %f "%p"`;
}

/** `archive_command` of the recovered production cluster: same stanza, new timeline, owner-only files. */
export function archiveCommand(context: Pick<ReadContext, 'policy'>): string {
  return `${start(context)} --no-neutral-umask archive-push %p`;
}

/** pgBackRest takes no backup while its own name is not in the command. */
export function acceptsArchiveCommand(command: string): boolean {
  return command.includes('pgbackrest');
}

function start(context: Pick<ReadContext, 'policy'>): string {
  const quoted = configArguments(optionsOf(context)).map((argument) => {
    const value = argument.indexOf('=') + 1;
    return argument.slice(0, value) + quotedForCommand(argument.slice(value));
  });
  return ['pgbackrest', ...quoted, `--stanza=${quotedForCommand(optionsOf(context).stanza)}`].join(' ');
}

/**
 * Sees that the recovered cluster, open for writes and with its archive_command back, archives into its stanza: the
 * same one, since its system identifier is the same, on a new timeline.
 * @throws RepriseError `identity-mismatch`, `wal-not-archived`, `config-invalid`
 */
export async function rearm(context: EngineContext): Promise<void> {
  const { connection } = context.cluster;
  // pgBackRest reads the timeline from pg_control, which is the old one's until the checkpoint after the promotion ends.
  await withMaintenance(connection, (client) => client.query('CHECKPOINT'));
  const server = await liveFacts(context);
  await ensureStanza(context, server);
  await checkArchiving(context, server);
}
