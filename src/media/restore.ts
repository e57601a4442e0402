import type { ObjectVersion } from '../storage/storage.js';
import type { MediaAction } from './action.js';

/** Versions of one key, newest first as the server lists them. */
export type KeyVersions = readonly [ObjectVersion, ...ObjectVersion[]];

/** What becomes of objects that did not exist at that instant. */
export type NewerObjects = 'keep' | 'remove';

/** The version that was current at an instant (UTC ISO-8601, or ms); null where the key did not exist then. */
export function versionAt(versions: KeyVersions, at: number): ObjectVersion | null {
  // In the server's order, not by time: two of one second are as they came, and the upper one is the later.
  const then = versions.find(({ modifiedAt }) => Date.parse(modifiedAt) <= at);
  return then === undefined || then.deleted ? null : then;
}

/**
 * Restores one key to what it was at an instant, in its own place. `copiedFrom` gives the version of which the present one is a
 * copy; it is called only where etag and size do not decide.
 */
export async function restoreInPlace(
  versions: KeyVersions,
  at: number,
  later: NewerObjects,
  copiedFrom: (key: string) => Promise<string | null>,
): Promise<MediaAction> {
  const [present] = versions;
  const { key, modifiedAt: presentSince } = present;
  const then = versionAt(versions, at);
  if (then === null) {
    if (present.deleted) return { name: 'right', key, sizeBytes: 0 };
    return { name: later, key, sizeBytes: present.sizeBytes, presentSince };
  }
  const { sizeBytes } = then;
  if (present.versionId === then.versionId || (await isCopy(present, then, copiedFrom)))
    return { name: 'right', key, sizeBytes };
  const above = versions.slice(0, versions.indexOf(then));
  // Under nothing but delete markers it only has to be uncovered; otherwise what is above would show.
  if (above.every(({ deleted }) => deleted))
    return {
      name: 'undelete',
      key,
      sizeBytes,
      presentSince,
      cold: then.cold,
      markers: above.map(({ versionId }) => versionId),
      below: { versionId: then.versionId, etag: then.etag },
    };
  return {
    name: present.deleted ? 'copy' : 'overwrite',
    key,
    sizeBytes,
    presentSince,
    cold: then.cold,
    source: { versionId: then.versionId, etag: then.etag },
  };
}

/** Whether what is there now has the content of a version. */
export async function isCopy(
  present: Pick<ObjectVersion, 'key' | 'etag' | 'sizeBytes'> & { readonly deleted?: boolean },
  of: Pick<ObjectVersion, 'etag' | 'sizeBytes'> & { readonly versionId?: string },
  copiedFrom: (key: string) => Promise<string | null>,
): Promise<boolean> {
  if (present.deleted === true || present.sizeBytes !== of.sizeBytes) return false;
  if (present.etag === of.etag && of.etag !== '') return true;
  return (isMarked(of.etag) || isMarked(present.etag)) && (await copiedFrom(present.key)) === copyMark(of);
}

/** The etag of an upload in parts depends on the parts: a copy has another one, and is marked instead. */
export function isMarked(etag: string): boolean {
  return etag.includes('-');
}

/** What a marked copy says it was made from. */
export function copyMark({ versionId, etag }: { readonly versionId?: string; readonly etag: string }): string {
  return versionId ?? etag;
}
