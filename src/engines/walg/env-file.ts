import { readFile, stat } from 'node:fs/promises';
import type { PolicyConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import type { OsUser } from '../../process/jobs/jobs.js';
import type { EnginePlace } from '../engine.js';
import { digestOfConfig, requireReadable } from '../shared/tool-config.js';
import type { WalgOptions } from './options.js';
import { shellWord } from '../../domain/text/text.js';

/** Settings of WAL-G by name. Holds secrets: never shown. */
export type EnvFile = ReadonlyMap<string, string>;

const assignment = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$/;
// Only what is the same text to every shell: nothing that a shell would expand, run or take for two words.
const unquoted = /^([\w./:@%+,=~^-]*)\s*(?:#.*)?$/;
const single = /^'([^']*)'\s*(?:#.*)?$/;
const double = /^"((?:[^"\\$`]|\\["\\$`])*)"\s*(?:#.*)?$/;

const SECRET = /(?:SECRET|PASSWORD|PASSPHRASE|TOKEN|_KEY$|SAS|CREDENTIALS$)/;
const NO_SECRET = /(?:_ID|_PATH|_FILE)$/;
const PREFIX = /^WAL[GE]_(?:FILE|S3|GS|AZ|SWIFT|SSH)_PREFIX$/;

/**
 * Reads a file of `KEY=value` lines as the shell would that hands it to WAL-G, and refuses what only a shell could
 * read: what the file says must not depend on who reads it, and it must not run anything.
 * @throws RepriseError `config-invalid` naming the line, never its value
 */
export function parseEnvFile(text: string, path: string): EnvFile {
  const settings = new Map<string, string>();
  for (const [index, line] of text.split('\n').entries()) {
    if (/^\s*(?:#.*)?$/.test(line)) continue;
    const [, name, written] = assignment.exec(line) ?? [];
    const value = written === undefined ? undefined : valueOf(written);
    if (name === undefined || value === undefined) {
      throw new RepriseError(
        'config-invalid',
        `${path}:${index + 1} is no plain setting`,
        'write one KEY=value or export KEY="value" a line, without variables, commands or Windows line ends',
      );
    }
    settings.set(name, value);
  }
  return settings;
}

/**
 * The environment file of a policy, of which WAL-G's user can read all and nobody else a secret.
 * @throws RepriseError `config-invalid`
 */
export async function readEnvFile(options: WalgOptions, user: OsUser | null): Promise<EnvFile> {
  const { envFile } = options;
  await requireReadable(
    envFile,
    user,
    "check options.env_file of the policy and the rights of the file: PostgreSQL's user runs WAL-G",
  );
  const settings = parseEnvFile(await readFile(envFile, 'utf8'), envFile);
  await requireFit(settings, envFile);
  return settings;
}

async function requireFit(settings: EnvFile, path: string): Promise<void> {
  const mode = (await stat(path)).mode & 0o777;
  const secret = [...settings.keys()].find((name) => SECRET.test(name) && !NO_SECRET.test(name));
  if ((secret !== undefined && (mode & 0o077) !== 0) || (mode & 0o022) !== 0) {
    const why = secret === undefined ? 'others may write it' : `it holds ${secret}`;
    throw new RepriseError(
      'config-invalid',
      `${path} has mode 0${mode.toString(8)}, and ${why}`,
      `run: chmod 600 ${shellWord(path)}`,
    );
  }
  if (prefixOf(settings) === undefined) {
    throw new RepriseError(
      'config-invalid',
      `${path} does not say where the backups go`,
      'add WALG_S3_PREFIX=s3://bucket/folder or WALG_FILE_PREFIX=/directory',
    );
  }
  // With it WAL-G prints its whole environment into its log.
  if (settings.get('WALG_LOG_LEVEL')?.toUpperCase() === 'DEVEL') {
    throw new RepriseError(
      'config-invalid',
      `${path} sets WALG_LOG_LEVEL=DEVEL, with which WAL-G writes every secret into its log`,
      'remove that line',
    );
  }
}

/** Where WAL-G keeps everything, such as `s3://bucket/folder` or a directory. */
export function prefixOf(settings: EnvFile): string | undefined {
  return [...settings].find(([name, value]) => PREFIX.test(name) && value !== '')?.[1];
}

/** The directory of the backups where they are on this host; undefined for an object store. */
export function localPrefix(settings: EnvFile): string | undefined {
  return settings.get('WALG_FILE_PREFIX');
}

/** Settings with which WAL-G, or the object store, encrypts what it writes. */
const ENCRYPTS = [
  'WALG_LIBSODIUM_KEY',
  'WALG_LIBSODIUM_KEY_PATH',
  'WALG_PGP_KEY',
  'WALG_PGP_KEY_PATH',
  'WALE_GPG_KEY_ID',
  'WALG_GPG_KEY_ID',
  'WALG_CSE_KMS_ID',
  'WALG_S3_SSE',
];

/**
 * Where WAL-G's environment file says that the backups go, and whether they are encrypted.
 * @throws RepriseError `config-invalid` where it cannot be read
 */
export async function inspectWalgPlace(options: Readonly<Record<string, unknown>>): Promise<EnginePlace> {
  const { envFile } = options as WalgOptions;
  const settings = await readEnvFile(options as WalgOptions, null);
  const prefix = localPrefix(settings);
  if (prefix !== undefined && !prefix.startsWith('/')) {
    throw new RepriseError(
      'config-invalid',
      `${envFile} names no absolute directory in WALG_FILE_PREFIX`,
      'write an absolute path: each program may run WAL-G in another directory',
    );
  }
  return {
    path: prefix ?? null,
    encrypted: ENCRYPTS.some((name) => settings.has(name)),
    encryptHint: `in ${envFile}: WALG_LIBSODIUM_KEY_PATH=... or WALG_PGP_KEY_PATH=...; existing files stay unencrypted, so use a new prefix`,
    warnings: [],
  };
}

/** SHA-256 (hex) of the environment file. Throws `config-invalid` where it cannot be read. */
export function configDigest(policy: PolicyConfig): Promise<string> {
  return digestOfConfig((policy.options as WalgOptions).envFile);
}

function valueOf(written: string): string | undefined {
  return (
    unquoted.exec(written)?.[1] ?? single.exec(written)?.[1] ?? double.exec(written)?.[1]?.replace(/\\(["\\$`])/g, '$1')
  );
}
