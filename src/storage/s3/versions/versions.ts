import { Readable } from 'node:stream';
import { ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import type { ListObjectVersionsCommandInput, ListObjectVersionsCommandOutput } from '@aws-sdk/client-s3';
import type { DeserializeMiddleware } from '@smithy/types';
import type { ObjectVersion } from '../../storage.js';
import type { S3Bucket } from '../client.js';
import { inOrder, takeVersions } from './version-entries.js';

interface Markers {
  readonly KeyMarker?: string | undefined;
  readonly VersionIdMarker?: string | undefined;
}

/**
 * Versions and delete markers below a prefix, by key in byte order and then newest first, a page in memory and one on its
 * way. `after` is a key of an earlier listing: those that follow it.
 */
export async function* listVersions(bucket: S3Bucket, Prefix: string, after?: string): AsyncGenerator<ObjectVersion> {
  const pages = pagesAhead(async (from: Markers | undefined) => {
    const start: Markers = from ?? { KeyMarker: after === undefined ? undefined : `${Prefix}${after}` };
    const command = new ListObjectVersionsCommand({
      Bucket: bucket.options.bucket,
      Prefix,
      EncodingType: 'url',
      OptionalObjectAttributes: ['RestoreStatus'],
      ...start,
    });
    const taken = takeFrom(command);
    const page = await bucket.send(command, `listing the versions of ${Prefix}`);
    const next: Markers = {
      KeyMarker: page.NextKeyMarker === undefined ? undefined : decodeKey(page.NextKeyMarker, page.EncodingType),
      VersionIdMarker: page.NextVersionIdMarker,
    };
    return {
      page: inOrder(taken().map((version) => ({ ...version, key: decodeKey(version.key, page.EncodingType) }))),
      next: page.IsTruncated ? next : undefined,
    };
  });
  for await (const page of pages) {
    for (const version of page) {
      const key = version.key.slice(Prefix.length);
      // Not every server leaves out the marker's own key where no version of it is named.
      if (key !== '' && key !== after) yield { ...version, key };
    }
  }
}

/** Pages of a listing, the next one requested while one is read. */
export async function* pagesAhead<P, N>(
  request: (next: N | undefined) => Promise<{ readonly page: P; readonly next: N | undefined }>,
): AsyncGenerator<P> {
  let coming: ReturnType<typeof request> | null = request(undefined);
  while (coming !== null) {
    const { page, next }: Awaited<ReturnType<typeof request>> = await coming;
    coming = next === undefined ? null : request(next);
    // A caller that stops early does not await this page: its failure is ignored.
    coming?.catch(() => undefined);
    yield page;
  }
}

/** Keys come percent-encoded (`EncodingType: url`), since XML cannot hold all of them; a blank as a plus on some servers. */
export function decodeKey(key: string, encoding: string | undefined): string {
  return encoding === 'url' ? decodeURIComponent(key.replaceAll('+', ' ')) : key;
}

/** Reads the versions of its answer before the SDK does, which gets the rest. */
function takeFrom(command: ListObjectVersionsCommand): () => readonly ObjectVersion[] {
  let taken: readonly ObjectVersion[] = [];
  const read: DeserializeMiddleware<ListObjectVersionsCommandInput, ListObjectVersionsCommandOutput> =
    (next) => async (args) => {
      const result = await next(args);
      const { response } = result as { response: { statusCode?: number; body?: Readable } };
      if (response.statusCode !== 200 || !response.body) return result;
      const { versions, rest } = takeVersions(Buffer.concat((await response.body.toArray()) as Buffer[]).toString());
      taken = versions;
      response.body = Readable.from([Buffer.from(rest)]);
      return result;
    };
  command.middlewareStack.addRelativeTo(read, {
    relation: 'after',
    toMiddleware: 'deserializerMiddleware',
    name: 'repriseVersions',
    override: true,
  });
  return () => taken;
}
