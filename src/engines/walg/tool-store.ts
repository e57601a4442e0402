import type { DescribedStorage } from '../../domain/config.js';
import type { ReadableStorage } from '../../storage/storage.js';
import type { ReadContext } from '../engine.js';
import { coldBelow, coldWal, describedS3 } from '../shared/tool-store.js';
import { optionsOf } from './command.js';
import { localPrefix, readEnvFile } from './env-file.js';
import type { EnvFile } from './env-file.js';
import { BACKUP_FOLDER, sentinelName, WAL_FOLDER } from './storage-layout.js';

/** WAL-G's storage as its environment file names it; null where it is not S3. */
export async function describeStore(context: Pick<ReadContext, 'policy' | 'user'>): Promise<DescribedStorage | null> {
  return describedBy(await readEnvFile(optionsOf(context), context.user));
}

/** The same, or the directory of the backups where that is on this host. */
export async function keptAt(context: Pick<ReadContext, 'policy' | 'user'>): Promise<DescribedStorage | null> {
  const settings = await readEnvFile(optionsOf(context), context.user);
  const path = localPrefix(settings);
  return path === undefined ? describedBy(settings) : { type: 'directory', values: { path }, secrets: {} };
}

/** The settings of WAL-G for S3 (its documentation, "STORAGES"), of which the older spellings are those of WAL-E. */
function describedBy(settings: EnvFile): DescribedStorage | null {
  const named = (...names: readonly string[]): string | undefined =>
    names.find((name) => (settings.get(name) ?? '') !== '');
  const value = (...names: readonly string[]): string | undefined => settings.get(named(...names) ?? '');
  const [, bucket, prefix = ''] =
    /^s3:\/\/([^/]+)\/*(.*?)\/*$/.exec(value('WALG_S3_PREFIX', 'WALE_S3_PREFIX') ?? '') ?? [];
  if (bucket === undefined) return null;
  const keys = {
    id: named('AWS_ACCESS_KEY_ID', 'AWS_ACCESS_KEY'),
    secret: named('AWS_SECRET_ACCESS_KEY', 'AWS_SECRET_KEY'),
    token: named('AWS_SESSION_TOKEN'),
  };
  const [endpoint, region, caFile] = [
    value('AWS_ENDPOINT'),
    value('AWS_REGION', 'WALG_S3_REGION'),
    value('WALG_S3_CA_CERT_FILE'),
  ];
  return describedS3(
    { bucket, prefix, endpoint, region, pathStyle: value('AWS_S3_FORCE_PATH_STYLE') === 'true', caFile, keys },
    Object.fromEntries(settings),
  );
}

/** Cold files of a backup, and cold WAL from its beginning on. */
export async function coldFiles(
  _context: ReadContext,
  storage: ReadableStorage,
  { label }: { readonly label: string },
): Promise<readonly string[]> {
  const sentinel = `${BACKUP_FOLDER}/${sentinelName(label)}`;
  return [
    sentinel,
    ...(await coldBelow(storage, `${BACKUP_FOLDER}/${label}`)),
    ...(await coldWal(storage, WAL_FOLDER, label.slice('base_'.length))),
  ];
}
