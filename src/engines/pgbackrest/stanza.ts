import { RepriseError } from '../../domain/errors.js';
import type { LiveServerFacts } from '../../postgres/server/server-facts.js';
import type { ToolContext } from '../shared/tool-config.js';
import { optionsOf, runPgbackrest } from './command.js';
import { otherPort, readConfigFile } from './config-file.js';
import type { StanzaInfo } from './info.js';
import { currentDatabase, readInfo } from './info.js';

/**
 * The stanza of this very cluster: made where there is none, accepted where it is this cluster's, refused where it is
 * another's. A stanza is never upgraded here: pg_upgrade makes a new system identifier, so that only a person
 * knows whether it is the same cluster's next version or another cluster.
 * @throws RepriseError `identity-mismatch`, `version-mismatch`; `pooler-refused` where pgBackRest would connect to something else
 */
export async function ensureStanza(
  context: ToolContext,
  server: Pick<LiveServerFacts, 'systemIdentifier' | 'versionNum' | 'port'>,
): Promise<StanzaInfo> {
  const { stanza } = optionsOf(context);
  const info = await readInfo(context);
  if (info.exists) requireSameCluster(info, stanza, server);
  const elsewhere = otherPort(await readConfigFile(context), stanza, server.port);
  if (elsewhere !== null)
    throw new RepriseError(
      'pooler-refused',
      `${elsewhere}: what listens there is a connection pooler or another server`,
      `set pg1-port=${server.port} in section [${stanza}] of pgBackRest's configuration`,
    );
  if (info.exists) return info;
  await runPgbackrest(context, 'stanza-create', [], { versionNum: server.versionNum });
  return readInfo(context);
}

/** Refuses a cluster that is not the stanza's present one. */
export function requireSameCluster(
  info: StanzaInfo,
  stanza: string,
  server: Pick<LiveServerFacts, 'systemIdentifier' | 'versionNum'>,
): void {
  const known = currentDatabase(info);
  if (known === undefined) return;
  const major = Math.floor(server.versionNum / 10_000);
  if (known.systemIdentifier !== server.systemIdentifier) {
    throw new RepriseError(
      'identity-mismatch',
      `stanza ${stanza} belongs to the cluster ${known.systemIdentifier} (PostgreSQL ${known.major}), and the server is ${server.systemIdentifier} (PostgreSQL ${major})`,
      major > known.major
        ? `if this is the same cluster after pg_upgrade, run: pgbackrest --stanza=${stanza} stanza-upgrade; otherwise give this cluster a separate stanza`
        : 'give this cluster a separate stanza, or correct pg1-path and the connection',
    );
  }
  if (known.major !== major) {
    throw new RepriseError(
      'version-mismatch',
      `stanza ${stanza} is for PostgreSQL ${known.major}, and the server is ${major}`,
      `run: pgbackrest --stanza=${stanza} stanza-upgrade`,
    );
  }
}

/**
 * Has a WAL segment archived and looks for it in the repository: the one proof that archiving works.
 * @throws RepriseError `wal-not-archived` within the policy's `archive_timeout`; `config-invalid` without archiving
 */
export async function checkArchiving(
  context: ToolContext,
  { versionNum }: Pick<LiveServerFacts, 'versionNum'>,
): Promise<void> {
  const { archiveTimeoutSeconds } = optionsOf(context);
  await runPgbackrest(context, 'check', [`--archive-timeout=${archiveTimeoutSeconds}`], {
    timeoutMs: archiveTimeoutSeconds * 2_000 + 60_000,
    versionNum,
  });
}
