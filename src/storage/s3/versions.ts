import { Readable } from 'node:stream';
import { ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import type { DeleteMarkerEntry, ListObjectVersionsCommandInput, ListObjectVersionsCommandOutput, ObjectVersion as S3Version } from '@aws-sdk/client-s3';
import type { DeserializeMiddleware } from '@smithy/types';
import { compareKeys } from '../keys.js';
import { isUnreadable } from './cold.js';
import type { ObjectVersion } from '../storage.js';
import type { S3Bucket } from './client.js';

type VersionsPage = Pick<ListObjectVersionsCommandOutput, 'Versions' | 'DeleteMarkers' | 'EncodingType'>;

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
    const start: Markers = from ?? (after === undefined ? {} : { KeyMarker: `${Prefix}${after}` });
    const command = new ListObjectVersionsCommand({ Bucket: bucket.options.bucket, Prefix, EncodingType: 'url', OptionalObjectAttributes: ['RestoreStatus'], ...start });
    const tags = watchOrder(command);
    const page = await bucket.send(command, `listing the versions of ${Prefix}`);
    const next: Markers = { KeyMarker: page.NextKeyMarker === undefined ? undefined : decodeKey(page.NextKeyMarker, page.EncodingType), VersionIdMarker: page.NextVersionIdMarker };
    return { page: asListed(tags(), page), next: page.IsTruncated ? next : undefined };
  });
  for await (const page of pages) {
    for (const version of page) {
      const key = version.key.slice(Prefix.length);
      // Not every server leaves out the marker's own key where no version of it is named.
      if (key !== '' && key !== after) yield { ...version, key };
    }
  }
}

/** Pages of a listing, the next one asked for while one is read. */
export async function* pagesAhead<P, N>(ask: (next: N | undefined) => Promise<{ readonly page: P; readonly next: N | undefined }>): AsyncGenerator<P> {
  let coming: ReturnType<typeof ask> | null = ask(undefined);
  while (coming !== null) {
    const { page, next }: Awaited<ReturnType<typeof ask>> = await coming;
    coming = next === undefined ? null : ask(next);
    // Whoever stops reading early asks for no more: a failure of that page is nobody's.
    coming?.catch(() => undefined);
    yield page;
  }
}

/** Keys come percent-encoded (`EncodingType: url`), since XML cannot hold all of them; a blank as a plus on some servers. */
export function decodeKey(key: string, encoding: string | undefined): string {
  return encoding === 'url' ? decodeURIComponent(key.replaceAll('+', ' ')) : key;
}

/**
 * One order of what a page holds as two lists. The server's own says which of two of one second is newer; where it told
 * the lists one after the other, and keys stand twice, time and the mark of the newest have to do.
 */
export function asListed(tags: readonly ('Version' | 'DeleteMarker')[], { Versions = [], DeleteMarkers = [], EncodingType }: VersionsPage): readonly ObjectVersion[] {
  const left = { Version: Versions.map((entry) => factsOf(entry, false, EncodingType)), DeleteMarker: DeleteMarkers.map((entry) => factsOf(entry, true, EncodingType)) };
  const listed = tags.flatMap((tag) => left[tag].shift() ?? []);
  const all = [...listed, ...left.Version, ...left.DeleteMarker];
  if (all.every((entry, index) => index === 0 || follows(all[index - 1] ?? entry, entry))) return all;
  return all.toSorted((a, b) => compareKeys(a.key, b.key) || Number(b.latest) - Number(a.latest) || (a.modifiedAt < b.modifiedAt ? 1 : a.modifiedAt > b.modifiedAt ? -1 : 0));
}

/** Whether one may come right after the other: by key, and of a key the newest first. Of equal times the server knows more. */
function follows(before: ObjectVersion, { key, latest, modifiedAt }: ObjectVersion): boolean {
  const order = compareKeys(before.key, key);
  return order < 0 || (order === 0 && !latest && modifiedAt <= before.modifiedAt);
}

function factsOf(entry: S3Version & DeleteMarkerEntry, deleted: boolean, encoding: string | undefined): ObjectVersion {
  const { Key = '', VersionId = 'null', IsLatest = false, LastModified = new Date(0), Size = 0, ETag = '' } = entry;
  const cold = isUnreadable(entry) ? { cold: true as const } : {};
  return { key: decodeKey(Key, encoding), versionId: VersionId, latest: IsLatest, deleted, modifiedAt: LastModified.toISOString(), sizeBytes: Size, etag: ETag.replaceAll('"', ''), ...cold };
}

/** The order in which the answer names versions and markers: the SDK reads it into two lists and loses it. */
function watchOrder(command: ListObjectVersionsCommand): () => readonly ('Version' | 'DeleteMarker')[] {
  let tags: ('Version' | 'DeleteMarker')[] = [];
  const read: DeserializeMiddleware<ListObjectVersionsCommandInput, ListObjectVersionsCommandOutput> = (next) => async (args) => {
    const result = await next(args);
    const { response } = result as { response: { statusCode?: number; body?: Readable } };
    if (response.statusCode !== 200 || !response.body) return result;
    const xml = Buffer.concat((await response.body.toArray()) as Buffer[]);
    tags = Array.from(xml.toString().matchAll(/<(Version|DeleteMarker)>/g), ([, tag]) => tag as 'Version' | 'DeleteMarker');
    response.body = Readable.from([xml]);
    return result;
  };
  command.middlewareStack.addRelativeTo(read, { relation: 'after', toMiddleware: 'deserializerMiddleware', name: 'repriseVersionOrder', override: true });
  return () => tags;
}
