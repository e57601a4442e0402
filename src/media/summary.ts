import { createHash } from 'node:crypto';
import {
  type MediaActionName,
  type MediaChange,
  type MediaCount,
  changesSomething,
  mediaActionNames,
} from '../domain/media/media.js';
import type { Irregular } from '../storage/storage.js';
import type { MediaAction } from './action.js';

/** So many of each kind of change are shown. */
const SAMPLES = 5;

export interface MediaSummary {
  readonly counts: Readonly<Record<MediaActionName, MediaCount>>;
  /** SHA-256 (hex) over the changes in the order of their keys. */
  readonly changes: string;
  /** Those that would have to be read from an archive class, or come back into one without being readable. */
  readonly cold: { readonly copied: number; readonly undeleted: number; readonly first: string | null };
  /** Left out for their names. */
  readonly unfit: { readonly objects: number; readonly first: string | null };
  /** Left out for what they are, by kind. */
  readonly irregular: { readonly counts: ReadonlyMap<Irregular, number>; readonly first: string | null };
  readonly samples: readonly { readonly action: MediaChange; readonly key: string }[];
}

/** Reads all actions and keeps only what a person decides on: memory does not grow with them. */
export async function summarise(
  actions: AsyncIterable<MediaAction>,
  report: (objects: number) => void = () => undefined,
): Promise<MediaSummary> {
  const counts = Object.fromEntries(mediaActionNames.map((name) => [name, { objects: 0, bytes: 0 }])) as Record<
    MediaActionName,
    { objects: number; bytes: number }
  >;
  const hash = createHash('sha256');
  const samples: { action: MediaChange; key: string }[] = [];
  const cold = { copied: 0, undeleted: 0, first: null as string | null };
  const unfit = { objects: 0, first: null as string | null };
  const irregular = { counts: new Map<Irregular, number>(), first: null as string | null };
  let seen = 0;
  for await (const action of actions) {
    const { name, key } = action;
    if (action.irregular) {
      irregular.counts.set(action.irregular, (irregular.counts.get(action.irregular) ?? 0) + 1);
      irregular.first ??= key;
      continue;
    }
    if (action.unfit) {
      unfit.objects += 1;
      unfit.first ??= key;
      continue;
    }
    counts[name].objects += 1;
    counts[name].bytes += action.sizeBytes;
    if (++seen % 1000 === 0) report(seen);
    if (!changesSomething(name)) continue;
    if (action.cold) {
      cold[name === 'undelete' ? 'undeleted' : 'copied'] += 1;
      cold.first ??= key;
    }
    hash.update(`${JSON.stringify(detailsOf(action))}\n`);
    if (counts[name].objects <= SAMPLES) samples.push({ action: name, key });
  }
  return { counts, changes: hash.digest('hex'), cold, unfit, irregular, samples };
}

/** What decides which bytes are where afterwards. */
function detailsOf(action: MediaAction): readonly unknown[] {
  const { name, key } = action;
  if (name === 'undelete') return [name, key, ...action.markers];
  return 'source' in action
    ? [name, key, action.source.versionId ?? '', action.source.etag, action.sizeBytes]
    : [name, key];
}
