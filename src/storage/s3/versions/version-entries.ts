import { SaxesParser } from 'saxes';
import { RepriseError } from '../../../domain/errors.js';
import { compareKeys } from '../../keys.js';
import type { ObjectVersion } from '../../storage.js';
import { isUnreadable } from './cold.js';

/**
 * Versions and delete markers of an answer of ListObjectVersions in the order in which it names them, and the answer
 * without them; keys may be percent-encoded still. The SDK reads them into two lists, which loses the order, and takes
 * three times as long.
 * @throws RepriseError `storage-refused` for a version without a key, `storage-unreachable` for what is no XML
 */
export function takeVersions(xml: string): { readonly versions: readonly ObjectVersion[]; readonly rest: string } {
  const versions: ObjectVersion[] = [];
  let rest = '';
  let taken = 0;
  let entry: Map<string, string> | null = null;
  let text = '';
  // A server that ignores the percent-encoding may send characters in a key that only XML 1.1 can hold.
  const parser = new SaxesParser({ defaultXMLVersion: '1.1', forceXMLVersion: true });
  parser.on('error', (error) => {
    throw new RepriseError(
      'storage-unreachable',
      `the server's list of versions is not well-formed XML: ${error.message}`,
      'see that endpoint names an S3 server',
    );
  });
  parser.on('opentag', ({ name }) => {
    text = '';
    if (entry !== null || !isEntry(name)) return;
    entry = new Map();
    rest += xml.slice(taken, xml.lastIndexOf('<', parser.position - 1));
  });
  parser.on('text', (part) => (text += part));
  parser.on('closetag', ({ name }) => {
    if (entry === null) return;
    if (isEntry(name)) {
      versions.push(versionOf(name === 'DeleteMarker', entry));
      taken = parser.position;
      entry = null;
    } else if (!entry.has(name)) entry.set(name, text);
    text = '';
  });
  parser.write(xml).close();
  return { versions, rest: rest + xml.slice(taken) };
}

const isEntry = (name: string): boolean => name === 'Version' || name === 'DeleteMarker';

function versionOf(deleted: boolean, fields: ReadonlyMap<string, string>): ObjectVersion {
  const key = fields.get('Key');
  if (key === undefined)
    throw new RepriseError(
      'storage-refused',
      'the server lists a version without a key',
      'see what it supports with reprise storage plan',
    );
  const expiry = fields.get('RestoreExpiryDate');
  const RestoreStatus = {
    IsRestoreInProgress: fields.get('IsRestoreInProgress') === 'true',
    RestoreExpiryDate: expiry === undefined ? undefined : new Date(expiry),
  };
  return {
    key,
    versionId: fields.get('VersionId') ?? 'null',
    latest: fields.get('IsLatest') === 'true',
    deleted,
    modifiedAt: new Date(fields.get('LastModified') ?? 0).toISOString(),
    sizeBytes: Number(fields.get('Size') ?? 0),
    etag: (fields.get('ETag') ?? '').replaceAll('"', ''),
    ...(isUnreadable({ StorageClass: fields.get('StorageClass'), RestoreStatus }) ? { cold: true as const } : {}),
  };
}

/**
 * The server's own order says which of two of one second is newer. Where it lists all versions and then all markers,
 * and keys are listed twice, time and the mark of the newest have to do.
 */
export function inOrder(versions: readonly ObjectVersion[]): readonly ObjectVersion[] {
  if (versions.every((version, index) => index === 0 || follows(versions[index - 1] ?? version, version)))
    return versions;
  return versions.toSorted(
    (a, b) =>
      compareKeys(a.key, b.key) ||
      Number(b.latest) - Number(a.latest) ||
      (a.modifiedAt < b.modifiedAt ? 1 : a.modifiedAt > b.modifiedAt ? -1 : 0),
  );
}

/** Whether one may come right after the other: by key, and of a key the newest first. Of equal times the server knows more. */
function follows(before: ObjectVersion, { key, latest, modifiedAt }: ObjectVersion): boolean {
  const order = compareKeys(before.key, key);
  return order < 0 || (order === 0 && !latest && modifiedAt <= before.modifiedAt);
}
