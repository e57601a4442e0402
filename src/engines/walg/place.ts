import { RepriseError } from '../../domain/errors.js';
import type { EnginePlace } from '../engine.js';
import { localPrefix, readEnvFile } from './env-file.js';
import type { WalgOptions } from './options.js';

/** Where WAL-G keeps its base backups, below the prefix. */
export const BACKUP_FOLDER = 'basebackups_005';
/** And the WAL. */
export const WAL_FOLDER = 'wal_005';

/** The file that WAL-G writes last, and with which a backup is in its list. */
export function sentinelName(label: string): string {
  return `${label}_backup_stop_sentinel.json`;
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
      'write it from the root on: every program may run WAL-G from another directory',
    );
  }
  return {
    path: prefix ?? null,
    encrypted: ENCRYPTS.some((name) => settings.has(name)),
    encryptHint: `in ${envFile}: WALG_LIBSODIUM_KEY_PATH=... or WALG_PGP_KEY_PATH=...; what is there already stays as it is, so begin with a new prefix`,
    warnings: [],
  };
}
