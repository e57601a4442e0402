import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { PolicyConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { iniSections } from '../../domain/text/ini.js';
import { isErrno } from '../../files/paths.js';
import { runProgram } from '../../process/exec/run-program.js';
import type { CommandContext } from './command.js';
import { optionsOf } from './command.js';

/** Options of one stanza as pgbackrest.conf gives them; a stanza's own go before `[global]`. Holds secrets: never shown. */
export type ConfigFile = ReadonlyMap<string, string>;

/** Where a repository lies that does not say. */
export const DEFAULT_REPOSITORY = '/var/lib/pgbackrest';

/**
 * Reads pgbackrest.conf as far as Reprise needs it: where things are and what expires.
 * @throws RepriseError `config-invalid` where it is missing or pgBackRest's user cannot read it
 */
export async function readConfigFile(context: CommandContext): Promise<ConfigFile> {
  const { config, stanza } = optionsOf(context);
  const { exitCode } = await runProgram(['test', '-r', config], { user: context.user, acceptCodes: [0, 1] });
  if (exitCode !== 0) {
    throw new RepriseError(
      'config-invalid',
      `${config} is missing, or not readable by ${context.user?.name ?? "the worker's user"}`,
      'check options.config of the policy and the rights of the file',
    );
  }
  return parseConfigFile(await readFile(config, 'utf8'), stanza);
}

/**
 * SHA-256 (hex) of the file as it is: no option of it may change between an approval and what is done.
 * @throws RepriseError `config-invalid` where it cannot be read
 */
export async function configDigest(policy: PolicyConfig): Promise<string> {
  const { config } = optionsOf({ policy });
  const content = await readFile(config).catch((error: unknown) => {
    if (!isErrno(error, 'ENOENT', 'EACCES', 'ENOTDIR')) throw error;
    throw new RepriseError(
      'config-invalid',
      `${config} is missing, or the worker may not read it`,
      'put it back as it was approved; another one needs another plan',
    );
  });
  return createHash('sha256').update(content).digest('hex');
}

/** Reads the sections `[global]` and `[stanza]`, and those of a command such as `[global:backup]`. */
export function parseConfigFile(text: string, stanza: string): ConfigFile {
  const sections = iniSections(text);
  const optionsBelow = (name: string) =>
    sections.filter((section) => section.name.split(':')[0] === name).flatMap(({ options }) => options);
  return new Map([...optionsBelow('global'), ...optionsBelow(stanza)]);
}

/** What in the configuration works against Reprise, each with what to do. */
export async function configWarnings(config: ConfigFile, path: string): Promise<string[]> {
  const warnings: string[] = [];
  const expiring = ['repo1-retention-full', 'repo1-retention-diff', 'repo1-retention-archive'].filter((name) =>
    config.has(name),
  );
  if (expiring.length > 0) {
    warnings.push(
      `pgbackrest expires by itself: ${path} sets ${expiring.join(', ')}, so that a backup or expire started beside Reprise (cron) removes what Reprise has promised to keep; remove these settings`,
    );
  }
  if (config.get('repo1-retention-archive-type') === 'time') {
    warnings.push(
      `${path} sets repo1-retention-archive-type=time, which pgBackRest does not know (full, diff or incr): it refuses every command; remove the line, Reprise computes which WAL may go`,
    );
  }
  if (config.has('archive-push-queue-max')) {
    warnings.push(
      `${path} sets archive-push-queue-max: when the archive stands still, WAL is dropped and recovery has a gap; a new backup is needed after that`,
    );
  }
  if ([...config.keys()].some((name) => /^repo[2-9]/.test(name))) {
    warnings.push(`${path} names several repositories: Reprise lists, verifies and rotates only the first, repo1`);
  }
  const repository = localRepository(config);
  if (repository !== null) {
    const mode = await stat(repository).then(
      (found) => found.mode & 0o777,
      () => 0o700,
    );
    if ((mode & 0o077) !== 0) {
      warnings.push(
        `the repository ${repository} has mode 0${mode.toString(8)}: other users may look into it; run: chmod 0700 ${repository}`,
      );
    }
  }
  return warnings;
}

/** Directory of the repository on this host; null where another host or an object store has it. */
export function localRepository(config: ConfigFile): string | null {
  const isHere = (config.get('repo1-type') ?? 'posix') === 'posix' && !config.has('repo1-host');
  return isHere ? (config.get('repo1-path') ?? DEFAULT_REPOSITORY) : null;
}
