import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { PolicyConfig } from '../../domain/config.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { iniSections } from '../../domain/text/ini.js';
import { pathExists } from '../../files/paths.js';
import { digestOfConfig, requireReadable } from '../shared/tool-config.js';
import type { ToolContext } from '../shared/tool-config.js';
import { optionsOf } from './command.js';
import { configPlaces, mainConfig } from './config-places.js';
import type { EnginePlace, SetUpServer } from '../engine.js';
import type { PgbackrestOptions } from './options.js';
import { shellWord } from '../../domain/text/text.js';

/** Options of one stanza as pgbackrest.conf gives them; a stanza's own go before `[global]`. Holds secrets: never shown. */
export type ConfigFile = ReadonlyMap<string, string>;

/** Where pgBackRest keeps a repository whose configuration names no path. */
export const DEFAULT_REPOSITORY = '/var/lib/pgbackrest';
const DEFAULT_PORT = 5432;

/** The files that pgBackRest reads, in its order: the main one, then those of the include directory by their names. */
export async function configFiles(options: PgbackrestOptions): Promise<readonly string[]> {
  const { file, otherwise, fileRequired, include, includeRequired } = configPlaces(options);
  const main = fileRequired || otherwise === null || (await pathExists(file)) ? file : otherwise;
  const names =
    include === null
      ? []
      : await readdir(include).catch((error: NodeJS.ErrnoException) => {
          if (error.code === 'ENOENT' && !includeRequired) return [];
          throw new RepriseError(
            'config-invalid',
            `the directory ${include} of pgBackRest's configuration cannot be read (${error.code ?? 'unknown'})`,
            'correct options.config_include_path of the policy, or the rights of the directory',
          );
        });
  const found = [
    ...(fileRequired || (await pathExists(main)) ? [main] : []),
    ...names
      .filter((name) => name.endsWith('.conf'))
      .sort(compareBytes)
      .map((name) => join(include ?? '', name)),
  ];
  if (found.length > 0) return found;
  throw new RepriseError(
    'config-invalid',
    `pgBackRest has no configuration: neither ${file}${include === null ? '' : ` nor a *.conf file in ${include}`} is there`,
    'correct options.config, options.config_path or options.config_include_path of the policy',
  );
}

/**
 * Reads the configuration of pgBackRest as far as Reprise needs it: where things are and what expires.
 * @throws RepriseError `config-invalid` where it is missing or pgBackRest's user cannot read it
 */
export async function readConfigFile(context: ToolContext): Promise<ConfigFile> {
  const files = await configFiles(optionsOf(context));
  for (const file of files)
    await requireReadable(file, context.user, 'check options.config of the policy and the rights of the file');
  return parseConfigFile(await wholeText(files), optionsOf(context).stanza);
}

async function wholeText(files: readonly string[]): Promise<string> {
  return (await Promise.all(files.map((file) => readFile(file, 'utf8')))).join('\n');
}

/** SHA-256 (hex) of the configuration: of its one file, or of the names and hashes of all. Throws `config-invalid` where it cannot be read. */
export async function configDigest(policy: PolicyConfig): Promise<string> {
  const files = await configFiles(optionsOf({ policy }));
  const digests = await Promise.all(files.map(digestOfConfig));
  const [only] = digests;
  if (digests.length === 1 && only !== undefined) return only;
  return createHash('sha256')
    .update(files.map((file, index) => `${file}\0${digests[index] ?? ''}\n`).join(''))
    .digest('hex');
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
        `the repository ${repository} has mode 0${mode.toString(8)}: other users may look into it; run: chmod 0700 ${shellWord(repository)}`,
      );
    }
  }
  return warnings;
}

/** Says that a stanza is in no configuration, or leads elsewhere, with the lines that mend it; null where nothing is to be done. */
export async function missingStanza(
  options: PgbackrestOptions,
  { dataDir, port, answers, socketDir }: SetUpServer,
): Promise<{ message: string; lines: string } | null> {
  const file = mainConfig(options);
  const stanza = [
    `[${options.stanza}]`,
    `pg1-path=${dataDir}`,
    `pg1-port=${port}`,
    ...(socketDir === null ? [] : [`pg1-socket-path=${socketDir}`]),
  ];
  const tellsTheServer = 'the first backup makes the stanza; docs/pgbackrest.md says more';
  // As `copies` says it: the same thing is said once.
  const wrong = await inspectPgbackrestPlace(options).then(
    () => null,
    (error: unknown) => error,
  );
  if (wrong !== null) {
    if (!isRepriseError(wrong) || (await pathExists(file))) return null;
    const global = ['[global]', `repo1-path=${DEFAULT_REPOSITORY}`, 'start-fast=y', 'process-max=2', ''];
    return { message: wrong.message, lines: `write ${file}:\n${[...global, ...stanza].join('\n')}\n${tellsTheServer}` };
  }
  const files = await configFiles(options);
  const text = await wholeText(files);
  if (iniSections(text).some(({ name }) => name.split(':')[0] === options.stanza)) {
    const why = answers ? otherPort(parseConfigFile(text, options.stanza), options.stanza, port) : null;
    return why === null ? null : { message: why, lines: `write into section [${options.stanza}]: pg1-port=${port}` };
  }
  return {
    message: `${files.join(', ')} has no stanza ${options.stanza}`,
    lines: `add to ${file}:\n${stanza.join('\n')}\n${tellsTheServer}`,
  };
}

/**
 * Why pgBackRest does not reach the server by the port of its configuration; null where it does. What listens on another port is a
 * pooler, in whose sessions pgBackRest would leave its settings and locks, or another server.
 */
export function otherPort(config: ConfigFile, stanza: string, port: number): string | null {
  // Where `pg1` is another host's server, or goes by a name of an older pgBackRest, nothing is known of this one's port.
  const isKnown = config.has('pg1-path') && !config.has('pg1-host');
  const configured = Number(config.get('pg1-port') ?? DEFAULT_PORT);
  return !isKnown || configured === port
    ? null
    : `pgBackRest's configuration leads stanza ${stanza} to port ${configured} (pg1-port), and the server itself is on port ${port}`;
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
  const own = options as PgbackrestOptions;
  const files = await configFiles(own);
  const text = await wholeText(files).catch((error: NodeJS.ErrnoException) => {
    throw new RepriseError(
      'config-invalid',
      `${error.path ?? mainConfig(own)} cannot be read (${error.code ?? 'unknown'})`,
      'correct options.config of the policy, or the rights of the file',
    );
  });
  const file = parseConfigFile(text, own.stanza);
  const config = files.join(' and ');
  const warnings = await configWarnings(file, config);
  for (const path of files) {
    const holdsSecret = iniSections(await readFile(path, 'utf8')).some((section) =>
      section.options.some(([name]) => /-(pass|key|key-secret|token)$/.test(name)),
    );
    if (holdsSecret && ((await stat(path)).mode & 0o077) !== 0)
      warnings.push(`${path} contains a secret and can be read by other users; run: chmod 600 ${shellWord(path)}`);
  }
  return {
    path: localRepository(file),
    encrypted: (file.get('repo1-cipher-type') ?? 'none') !== 'none',
    encryptHint: `in ${config}: repo1-cipher-type=aes-256-cbc and repo1-cipher-pass=...; a repository is encrypted from its stanza-create on, so give it a new repo1-path`,
    warnings,
  };
}

const compareBytes = (left: string, right: string): number => Buffer.compare(Buffer.from(left), Buffer.from(right));
