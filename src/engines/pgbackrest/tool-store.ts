import type { DescribedStorage } from '../../domain/described-storage.js';
import type { ReadableStorage } from '../../storage/storage.js';
import type { ReadContext } from '../engine.js';
import { coldBelow, coldWal } from '../tool-store.js';
import { optionsOf } from './command.js';
import { DEFAULT_REPOSITORY, readConfigFile } from './config-file.js';
import type { ConfigFile } from './config-file.js';

const [KEY, SECRET, TOKEN] = ['repo1-s3-key', 'repo1-s3-key-secret', 'repo1-s3-token'];

/** The repository as pgbackrest.conf names it; null where it is not S3, or is reached by another host. */
export async function describeStore(context: ReadContext): Promise<DescribedStorage | null> {
  return describedBy(await readConfigFile(context));
}

/** The options of pgBackRest for S3 (its configuration reference, "Repository Options"). */
export function describedBy(config: ConfigFile): DescribedStorage | null {
  const bucket = config.get('repo1-s3-bucket');
  if (config.get('repo1-type') !== 's3' || bucket === undefined || config.has('repo1-host')) return null;
  const [region, caFile, port] = [config.get('repo1-s3-region'), config.get('repo1-storage-ca-file'), config.get('repo1-storage-port')];
  const server = config.get('repo1-storage-host') ?? config.get('repo1-s3-endpoint');
  const shared = config.has(KEY) && config.has(SECRET);
  return {
    type: 's3',
    values: {
      ...{ bucket, prefix: (config.get('repo1-path') ?? DEFAULT_REPOSITORY).replaceAll(/^\/+|\/+$/g, '') },
      ...(server === undefined ? {} : { endpoint: `${server.includes('://') ? '' : 'https://'}${server}${port === undefined ? '' : `:${port}`}` }),
      ...(region === undefined ? {} : { region }),
      ...(config.get('repo1-s3-uri-style') === 'path' ? { force_path_style: true } : {}),
      ...(caFile === undefined ? {} : { ca_file: caFile }),
      ...(shared ? { access_key_id: { env: KEY }, secret_access_key: { env: SECRET } } : {}),
      ...(config.has(TOKEN) ? { session_token: { env: TOKEN } } : {}),
    },
    secrets: Object.fromEntries(config),
  };
}

/** Cold files of a backup, and cold WAL from its beginning on. */
export async function coldFiles(context: ReadContext, storage: ReadableStorage, { label, walStart }: { readonly label: string; readonly walStart: string | null }): Promise<readonly string[]> {
  const { stanza } = optionsOf(context);
  return [...(await coldBelow(storage, `backup/${stanza}/${label}`)), ...(await coldWal(storage, `archive/${stanza}`, walStart))];
}
