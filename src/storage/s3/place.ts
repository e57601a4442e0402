import type { S3Options } from './options.js';

/**
 * The root of a repository's objects, the same for every spelling of the server's address: an address holds no letter
 * case and no default port. On AWS no two buckets share a name, whatever region or endpoint they are reached by.
 */
export function placeInS3({ endpoint, bucket, prefix }: Pick<S3Options, 'endpoint' | 'bucket' | 'prefix'>): string {
  return ['', endpoint === undefined ? 'aws' : serverOf(endpoint), bucket, prefix].join('/');
}

/** URL lowers the host's letters and leaves out the default port of its scheme. */
function serverOf(endpoint: string): string {
  const { host, pathname } = new URL(endpoint);
  return /^s3([.-][a-z0-9-]+)*\.amazonaws\.com$/.test(host) ? 'aws' : `${host}${pathname.replace(/\/+$/, '')}`;
}
