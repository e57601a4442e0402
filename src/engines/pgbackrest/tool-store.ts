import type { DescribedStorage } from '../../domain/config.js';
import type { ReadableStorage } from '../../storage/storage.js';
import type { ReadContext } from '../engine.js';
import { coldBelow, coldWal, describedS3 } from '../shared/tool-store.js';
import { optionsOf } from './command.js';
import { DEFAULT_REPOSITORY, localRepository, readConfigFile } from './config-file.js';
import type { ToolContext } from '../shared/tool-config.js';
import type { ConfigFile } from './config-file.js';

/** Options that hold a secret, by what stands for them. */
const SECRETS = { S3_KEY: 'repo1-s3-key', S3_KEY_SECRET: 'repo1-s3-key-secret', S3_TOKEN: 'repo1-s3-token' } as const;

/** The repository as pgbackrest.conf names it; null where it is not S3, or is reached by another host. */
export async function describeStore(context: ToolContext): Promise<DescribedStorage | null> {
  return describedBy(await readConfigFile(context));
}

/** The same, or the repository's directory where that is on this host. */
export async function keptAt(context: ToolContext): Promise<DescribedStorage | null> {
  const config = await readConfigFile(context);
  const path = localRepository(config);
  return path === null ? describedBy(config) : { type: 'directory', values: { path }, secrets: {} };
}

/** The options of pgBackRest for S3 (its configuration reference, "Repository Options"). */
function describedBy(config: ConfigFile): DescribedStorage | null {
  const bucket = config.get('repo1-s3-bucket');
  if (config.get('repo1-type') !== 's3' || bucket === undefined || config.has('repo1-host')) return null;
  const [region, caFile, port] = [
    config.get('repo1-s3-region'),
    config.get('repo1-storage-ca-file'),
    config.get('repo1-storage-port'),
  ];
  const server = config.get('repo1-storage-host') ?? config.get('repo1-s3-endpoint');
  const secrets = Object.fromEntries(
    Object.entries(SECRETS).flatMap(([name, option]) => (config.has(option) ? [[name, config.get(option) ?? '']] : [])),
  );
  const named = (name: keyof typeof SECRETS): string | undefined => (name in secrets ? name : undefined);
  return describedS3(
    {
      bucket,
      region,
      caFile,
      prefix: (config.get('repo1-path') ?? DEFAULT_REPOSITORY).replaceAll(/^\/+|\/+$/g, ''),
      endpoint: server === undefined ? undefined : `${server}${port === undefined ? '' : `:${port}`}`,
      pathStyle: config.get('repo1-s3-uri-style') === 'path',
      keys: { id: named('S3_KEY'), secret: named('S3_KEY_SECRET'), token: named('S3_TOKEN') },
    },
    secrets,
  );
}

/** Cold files of a backup, and cold WAL from its beginning on. */
export async function coldFiles(
  context: ReadContext,
  storage: ReadableStorage,
  { label, walStart }: { readonly label: string; readonly walStart: string | null },
): Promise<readonly string[]> {
  const { stanza } = optionsOf(context);
  return [
    ...(await coldBelow(storage, `backup/${stanza}/${label}`)),
    ...(await coldWal(storage, `archive/${stanza}`, walStart)),
  ];
}
