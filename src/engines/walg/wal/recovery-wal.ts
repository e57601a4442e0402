import { quotedForCommand, archiveOneSegment } from '../../../postgres/wal/archiving.js';
import type { ReadContext, EngineContext } from '../../engine.js';
import { IDENTITY_FILE } from '../../../domain/storage/repository-identity.js';
import { optionsOf } from '../command.js';
import { withMaintenance } from '../../../postgres/connection/with-client.js';
import { RepriseError } from '../../../domain/errors.js';
import { readArchive } from './archive.js';
import { readBackupList, requireOwnPrefix } from '../backup-list.js';
import { liveFacts } from '../../shared/live-server.js';

/**
 * As long as its own header says (`XLogLongPageHeaderData`, bytes 32 to 35); histories have none. Of a file that was cut
 * off at the end of a block WAL-G unpacks the beginning and says nothing, and PostgreSQL stops with an error at a short segment: left
 * out, it ends the WAL as a file that cannot be unpacked does.
 */
const IS_WHOLE =
  'case "%f" in *.*) ;; *) [ "$(stat -c %%s "%p")" -eq "$(od -An -tu4 -j32 -N4 "%p" | tr -d " ")" ] ;; esac';

/** `restore_command` for a server that recovers; WAL-G fetches ahead by itself. */
export function restoreCommand(context: Pick<ReadContext, 'policy'>): string {
  return `${settings(context)} && ${program(context)} wal-fetch "%f" "%p" && ${IS_WHOLE}`;
}

/**
 * `archive_command` of the recovered production cluster: same prefix, new timeline, owner-only files. WAL-G would make a
 * directory that is missing, such as that of a disk that is not mounted: once the marker of the repository is known here,
 * nothing goes where it is missing.
 */
export function archiveCommand(context: Pick<ReadContext, 'policy'>): string {
  const known = quotedForCommand(knownMarker(optionsOf(context).envFile));
  const isThere = `{ [ -z "$WALG_FILE_PREFIX" ] || [ ! -e ${known} ] || [ -e "$WALG_FILE_PREFIX/${IDENTITY_FILE}" ]; }`;
  return `${settings(context)} && ${isThere} && exec ${program(context)} wal-push "%p"`;
}

/** File beside the environment file that says: the repository has its marker, and is not the right one without it. */
export const knownMarker = (envFile: string): string => `${envFile}.repository`;

/** The shell takes the settings from the file: none of them is in the server's configuration. */
function settings(context: Pick<ReadContext, 'policy'>): string {
  return `umask 077 && set -a && . ${quotedForCommand(optionsOf(context).envFile)}`;
}

function program(context: Pick<ReadContext, 'policy'>): string {
  return quotedForCommand(optionsOf(context).binary);
}

/**
 * Sees that the recovered cluster, open for writes and with its archive_command back, archives into its prefix: the
 * same one, since its system identifier is the same, on a new timeline.
 * @throws RepriseError `identity-mismatch`, `wal-not-archived`
 */
export async function rearm(context: EngineContext): Promise<void> {
  const { connection } = context.cluster;
  requireOwnPrefix(await readBackupList(context), (await liveFacts(context)).systemIdentifier);
  const { archiveTimeoutSeconds: timeoutSeconds } = optionsOf(context);
  const segment = await withMaintenance(connection, (client) =>
    archiveOneSegment(client, { timeoutSeconds, signal: context.signal }),
  );
  // The server believes what the command says: whether the segment is where it belongs, the storage says.
  if ((await readArchive(context)).segments.includes(segment)) return;
  throw new RepriseError(
    'wal-not-archived',
    `the server says that ${segment} was archived, and it is not in the storage`,
    `see that archive_command reads ${optionsOf(context).envFile}`,
  );
}
