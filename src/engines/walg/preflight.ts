import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { RepriseError } from '../../domain/errors.js';
import { IDENTITY_FILE } from '../../domain/storage/repository-identity.js';
import { writeFileAtomic } from '../../files/atomic-file.js';
import { pathExists } from '../../files/paths.js';
import { sessionTimeouts, timeoutsInWords, timeoutsOff } from '../../postgres/connection/session-timeouts.js';
import { withMaintenance } from '../../postgres/connection/with-client.js';
import type { LiveServerFacts } from '../../postgres/server/server-facts.js';
import type { EngineContext } from '../engine.js';
import { readBackupList, requireOwnPrefix } from './backup-list.js';
import { optionsOf } from './command.js';
import type { EnvFile } from './env-file.js';
import { localPrefix, prefixOf, readEnvFile } from './env-file.js';
import { archiveCommand, knownMarker } from './wal/recovery-wal.js';
import { liveFacts, requireArchiving } from '../shared/live-server.js';
import { requireNoTablespaces } from './tablespaces.js';
import type { WalgVersion } from './version.js';
import { knowsPostgres15, readVersion } from './version.js';
import { shellWord } from '../../domain/text/text.js';

/**
 * Refuses what cannot lead to a good backup, and returns what a person should know.
 * @throws RepriseError `version-mismatch`, `config-invalid`, `identity-mismatch`, `topology-refused`, `capability-missing`
 */
export async function preflightBackup(context: EngineContext): Promise<readonly string[]> {
  const settings = await readEnvFile(optionsOf(context), context.user);
  const version = await readVersion(context);
  const server = await liveFacts(context);
  requireArchiving(
    server,
    `set archive_mode = on and archive_command = '${archiveCommand(context).replaceAll("'", "''")}'`,
  );
  await requireFunctions(context, server, version);
  await requireNoTablespaces(context);
  requireSegmentSize(settings, server);
  requireOwnPrefix(await readBackupList(context), server.systemIdentifier);
  const { connection } = context.cluster;
  const timeouts = await sessionTimeouts(connection);
  const ended = timeoutsInWords(timeouts);
  return [
    ...warningsOf(context, settings, server, version),
    ...(ended === null ? [] : [`WAL-G: ${ended}; run: ${timeoutsOff(connection, timeouts)}`]),
    ...(await announceMarker(context, settings)),
  ];
}

/** Makes archive_command refuse the prefix without its marker from now on. */
async function announceMarker(context: EngineContext, settings: EnvFile): Promise<string[]> {
  const prefix = localPrefix(settings);
  if (prefix === undefined || !(await pathExists(join(prefix, IDENTITY_FILE)))) return [];
  const file = knownMarker(optionsOf(context).envFile);
  if (await pathExists(file)) return [];
  const made = await writeFileAtomic(file, `${prefix} has ${IDENTITY_FILE}\n`).then(
    () => chmod(file, 0o644),
    () => null,
  );
  return made === null
    ? [
        `${file} cannot be written, so archive_command goes on when the disk of ${prefix} is not mounted; run: touch ${shellWord(file)}`,
      ]
    : [];
}

/** PostgreSQL 15 gave the functions that begin and end a backup other names. */
async function requireFunctions(
  { cluster: { connection } }: EngineContext,
  server: LiveServerFacts,
  version: WalgVersion,
): Promise<void> {
  if (knowsPostgres15(version)) return;
  const { rows } = await withMaintenance(connection, (client) =>
    client.query<{ found: boolean }>("SELECT EXISTS (SELECT FROM pg_proc WHERE proname = 'pg_start_backup') AS found"),
  );
  if (rows[0]?.found === true) return;
  throw new RepriseError(
    'version-mismatch',
    `${version.text} does not know PostgreSQL ${Math.floor(server.versionNum / 10_000)}`,
    'PostgreSQL 15 and later need WAL-G 2.0.1 or newer: install it and name it in options.binary',
  );
}

function requireSegmentSize(settings: EnvFile, { walSegmentBytes }: LiveServerFacts): void {
  const megabytes = Number(settings.get('WALG_PG_WAL_SIZE') ?? 16);
  if (megabytes * 1024 * 1024 === walSegmentBytes) return;
  const found = walSegmentBytes / 1024 / 1024;
  throw new RepriseError(
    'config-invalid',
    `WAL segments of the server have ${found} MB, and WAL-G assumes ${megabytes} MB`,
    `add WALG_PG_WAL_SIZE=${found} to the environment file`,
  );
}

function warningsOf(
  context: EngineContext,
  settings: EnvFile,
  server: LiveServerFacts,
  version: WalgVersion,
): string[] {
  const warnings: string[] = [];
  const { envFile } = optionsOf(context);
  if (!server.archiveCommand.includes('wal-push'))
    warnings.push(
      'archive_command does not run wal-g wal-push itself, so Reprise can check only that WAL arrives in the storage',
    );
  const named = /\.\s+(?:'([^']+)'|"([^"]+)"|(\/[^\s;&]+))/.exec(server.archiveCommand);
  const path = named?.[1] ?? named?.[2] ?? named?.[3];
  if (path !== undefined && path !== envFile)
    warnings.push(`archive_command uses ${path}, and the policy uses ${envFile}`);
  if (settings.get('WALG_PREVENT_WAL_OVERWRITE') !== 'true') {
    warnings.push(
      `another cluster that archives to ${prefixOf(settings) ?? 'that prefix'} would overwrite WAL without an error; add WALG_PREVENT_WAL_OVERWRITE=true to ${envFile}`,
    );
  }
  if (!server.dataChecksums)
    warnings.push(
      'the server has no page checksums: WAL-G copies a page that is damaged on disk without noticing; see pg_checksums --enable',
    );
  if (!version.deletesByTarget)
    warnings.push(
      `${version.text} deletes only what is older than a backup that is kept: retention that keeps an older backup and removes a newer one is refused`,
    );
  return warnings;
}
