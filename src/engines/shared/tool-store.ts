import type { DescribedStorage } from '../../domain/config.js';
import { segmentIndex } from '../../domain/target/wal.js';
import type { ReadableStorage } from '../../storage/storage.js';

/** S3 as a tool's own settings name it; secrets by the names under which they are given. */
interface ToolS3 {
  readonly bucket: string;
  readonly prefix: string;
  /** With or without its scheme: https is meant. */
  readonly endpoint: string | undefined;
  readonly region: string | undefined;
  readonly pathStyle: boolean;
  readonly caFile: string | undefined;
  readonly keys: {
    readonly id: string | undefined;
    readonly secret: string | undefined;
    readonly token: string | undefined;
  };
}

/** The same as a repository of ours. */
export function describedS3(
  { bucket, prefix, endpoint, region, pathStyle, caFile, keys: { id, secret, token } }: ToolS3,
  secrets: DescribedStorage['secrets'],
): DescribedStorage {
  return {
    type: 's3',
    values: {
      bucket,
      prefix,
      endpoint: endpoint === undefined || endpoint.includes('://') ? endpoint : `https://${endpoint}`,
      region,
      force_path_style: pathStyle ? true : undefined,
      ca_file: caFile,
      ...(id === undefined || secret === undefined
        ? {}
        : { access_key_id: { env: id }, secret_access_key: { env: secret } }),
      session_token: token === undefined ? undefined : { env: token },
    },
    secrets,
  };
}

/** Keys below a folder that are in a cold class. */
export async function coldBelow(storage: ReadableStorage, folder: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key, cold } of storage.list(folder)) if (cold) keys.push(key);
  return keys;
}

/**
 * Those of a WAL archive that a recovery may read which begins with this segment, whatever follows a segment's name there:
 * of every timeline from this place on, with all histories.
 * @param first name of a segment; null: all
 */
export async function coldWal(storage: ReadableStorage, folder: string, first: string | null): Promise<string[]> {
  const isNeeded = (key: string): boolean => {
    const [, place] = /^[0-9A-F]{8}([0-9A-F]{16})/.exec(key.slice(key.lastIndexOf('/') + 1)) ?? [];
    return place === undefined || first === null || place >= segmentIndex(first);
  };
  return (await coldBelow(storage, folder)).filter(isNeeded);
}
