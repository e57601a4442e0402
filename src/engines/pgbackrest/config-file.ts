import { readFile, stat } from 'node:fs/promises';
import type { PolicyConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { iniSections } from '../../domain/text/ini.js';
import { digestOfConfig, requireReadable } from '../shared/tool-config.js';
import type { ToolContext } from '../shared/tool-config.js';
import { optionsOf } from './command.js';
import type { EnginePlace } from '../engine.js';
import type { PgbackrestOptions } from './options.js';

/** Options of one stanza as pgbackrest.conf gives them; a stanza's own go before `[global]`. Holds secrets: never shown. */
export type ConfigFile = ReadonlyMap<string, string>;

/** Where pgBackRest keeps a repository whose configuration names no path. */
export const DEFAULT_REPOSITORY = '/var/lib/pgbackrest';

/**
 * Reads pgbackrest.conf as far as Reprise needs it: where things are and what expires.
 * @throws RepriseError `config-invalid` where it is missing or pgBackRest's user cannot read it
 */
export async function readConfigFile(context: ToolContext): Promise<ConfigFile> {
  const { config, stanza } = optionsOf(context);
  await requireReadable(config, context.user, 'check options.config of the policy and the rights of the file');
  return parseConfigFile(await readFile(config, 'utf8'), stanza);
}

/** SHA-256 (hex) of pgbackrest.conf. Throws `config-invalid` where it cannot be read. */
export function configDigest(policy: PolicyConfig): Promise<string> {
  return digestOfConfig(optionsOf({ policy }).config);
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
      `pgbackrest expires backups by itself: ${path} sets ${expiring.join(', ')}, so that a backup or expire started by something else (cron) removes backups that Reprise keeps; remove these settings`,
    );
  }
  if (config.get('repo1-retention-archive-type') === 'time') {
    warnings.push(
      `${path} sets repo1-retention-archive-type=time, which pgBackRest does not know (full, diff or incr): it refuses every command; remove the line, Reprise computes which WAL to remove`,
    );
  }
  if (config.has('archive-push-queue-max')) {
    warnings.push(
      `${path} sets archive-push-queue-max: when archiving fails for long, WAL is dropped and there is a gap in the WAL; a new backup is needed after that`,
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

/**
 * Where pgbackrest.conf says that the first repository is, and whether it is encrypted.
 * @throws RepriseError `config-invalid` where it cannot be read
 */
export async function inspectPgbackrestPlace(options: Readonly<Record<string, unknown>>): Promise<EnginePlace> {
  const { config, stanza } = options as PgbackrestOptions;
  const text = await readFile(config, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new RepriseError(
      'config-invalid',
      `${config} cannot be read (${error.code ?? 'unknown'})`,
      'correct options.config of the policy, or the rights of the file',
    );
  });
  const file = parseConfigFile(text, stanza);
  const warnings = await configWarnings(file, config);
  const holdsSecret = [...file.keys()].some((name) => /-(pass|key|key-secret|token)$/.test(name));
  if (holdsSecret && ((await stat(config)).mode & 0o077) !== 0)
    warnings.push(`${config} contains a secret and can be read by other users; run: chmod 600 ${config}`);
  return {
    path: localRepository(file),
    encrypted: (file.get('repo1-cipher-type') ?? 'none') !== 'none',
    encryptHint: `in ${config}: repo1-cipher-type=aes-256-cbc and repo1-cipher-pass=...; a repository is encrypted from its stanza-create on, so give it a new repo1-path`,
    warnings,
  };
}
