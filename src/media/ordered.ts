import { compareKeys } from '../storage/keys.js';
import type { ObjectVersion } from '../storage/storage.js';
import type { KeyVersions } from './restore.js';

/** One entry for each key, its versions newest first; as many in memory as one key has. */
export async function* byKey(versions: AsyncIterable<ObjectVersion>): AsyncGenerator<KeyVersions> {
  let group: [ObjectVersion, ...ObjectVersion[]] | null = null;
  for await (const version of versions) {
    if (group !== null && group[0].key === version.key) {
      group.push(version);
      continue;
    }
    if (group !== null) yield group;
    group = [version];
  }
  if (group !== null) yield group;
}

/** Two listings in key order as one, each side's entry of a key beside the other's; neither is kept. */
export async function* sideBySide<L extends { readonly key: string }, R extends { readonly key: string }>(
  left: AsyncIterable<L>,
  right: AsyncIterable<R>,
): AsyncGenerator<{ readonly left?: L; readonly right?: R }> {
  const [ours, theirs] = [left[Symbol.asyncIterator](), right[Symbol.asyncIterator]()];
  try {
    let [mine, other] = await Promise.all([ours.next(), theirs.next()]);
    while (mine.done !== true || other.done !== true) {
      const order = mine.done === true ? 1 : other.done === true ? -1 : compareKeys(mine.value.key, other.value.key);
      yield { ...(order <= 0 ? { left: mine.value as L } : {}), ...(order >= 0 ? { right: other.value as R } : {}) };
      if (order <= 0) mine = await ours.next();
      if (order >= 0) other = await theirs.next();
    }
  } finally {
    await Promise.all([ours.return?.(), theirs.return?.()]);
  }
}
