import { RepriseError } from '../../domain/errors.js';
import { withMaintenance } from '../../postgres/connection/with-client.js';
import { runProgram } from '../../process/exec/run-program.js';
import type { EngineContext } from '../engine.js';
import { optionsOf } from './command.js';
import type { ConfigFile } from './config-file.js';
import { configFiles, configWarnings, readConfigFile } from './config-file.js';
import { mainConfig } from './config-places.js';
import { OLDEST_PGBACKREST, type PgbackrestOptions } from './options.js';
import { archiveCommand } from './wal/recovery-wal.js';
import { checkArchiving, ensureStanza } from './stanza.js';
import { liveFacts, requireArchiving } from '../shared/live-server.js';

/**
 * Refuses what cannot lead to a good backup, and returns what a person should know.
 * @throws RepriseError `version-mismatch`, `config-invalid`, `identity-mismatch`, `topology-refused`,
 *   `capability-missing`, `wal-not-archived`
 */
export async function preflightBackup(context: EngineContext): Promise<readonly string[]> {
  await requireVersion();
  const file = await readConfigFile(context);
  const server = await liveFacts(context);
  requireArchiving(
    server,
    `set archive_mode = on and archive_command = '${archiveCommand(context).replaceAll("'", "''")}'`,
  );
  await requireNames(context);
  await ensureStanza(context, server);
  await checkArchiving(context, server);
  return [
    ...(await configWarnings(file, (await configFiles(optionsOf(context))).join(' and '))),
    ...commandWarnings(server.archiveCommand, optionsOf(context), file),
  ];
}

/** @throws RepriseError `version-mismatch`, `tool-missing` */
async function requireVersion(): Promise<void> {
  const { stdout } = await runProgram(['pgbackrest', 'version']);
  const [, major, minor] = /(\d+)\.(\d+)/.exec(stdout) ?? [];
  const found = [Number(major ?? 0), Number(minor ?? 0)] as const;
  if (found[0] < OLDEST_PGBACKREST[0] || (found[0] === OLDEST_PGBACKREST[0] && found[1] < OLDEST_PGBACKREST[1])) {
    throw new RepriseError(
      'version-mismatch',
      `${stdout} is too old`,
      `install pgbackrest ${OLDEST_PGBACKREST.join('.')} or later`,
    );
  }
}

/** A newline in a database's name breaks the lines of the manifest, and with it the backup of the whole cluster. */
async function requireNames({ cluster: { connection } }: EngineContext): Promise<void> {
  const { rows } = await withMaintenance(connection, (client) =>
    client.query<{ name: string }>("SELECT datname AS name FROM pg_database WHERE datname LIKE E'%\\n%'"),
  );
  const [bad] = rows;
  if (bad === undefined) return;
  throw new RepriseError(
    'capability-missing',
    `pgBackRest cannot back up a cluster with a database whose name holds a newline: ${JSON.stringify(bad.name)}`,
    'rename that database, or use the engine logical',
  );
}

/** An archive_command may be a script of one's own; `check` proves that it works, whatever it is. */
export function commandWarnings(command: string, options: PgbackrestOptions, file: Pick<ConfigFile, 'get'>): string[] {
  const warnings: string[] = [];
  if (!command.includes('archive-push'))
    warnings.push(
      `archive_command does not run pgbackrest archive-push itself, so Reprise can check only that it works now`,
    );
  const named = /--config[= ](?:'([^']+)'|"([^"]+)"|(\S+))/.exec(command);
  const path = named?.[1] ?? named?.[2] ?? named?.[3];
  if (path !== undefined && path !== mainConfig(options))
    warnings.push(
      `archive_command uses ${path}, and the policy uses ${mainConfig(options)} for stanza ${options.stanza}`,
    );
  if (!command.includes('--no-neutral-umask') && file.get('neutral-umask') !== 'n')
    warnings.push(
      `WAL in the archive can be read by the group of its owner too (0640), as pgBackRest makes it; for the owner alone: ${ownerOnly(command)}`,
    );
  return warnings;
}

/** What has to be typed; a script of one's own has to be changed itself. */
function ownerOnly(command: string): string {
  if (!command.includes(' archive-push')) return 'neutral-umask=n in the [global] section of its configuration';
  const own = command.replace(' archive-push', ' --no-neutral-umask archive-push').replaceAll("'", "''");
  return `ALTER SYSTEM SET archive_command = '${own}'; SELECT pg_reload_conf();`;
}
