import { RepriseError } from '../../../domain/errors.js';
import type { EngineContext, RemovalPlan } from '../../engine.js';
import type { ReadableStorage } from '../../../storage/storage.js';
import { databaseOf, everyFileOf } from './names.js';

/** What goes with these backups: each dump's companions, as far as they are there. */
export async function planRemoval(
  context: EngineContext<ReadableStorage>,
  labels: readonly string[],
): Promise<RemovalPlan> {
  const alsoRemoves: string[] = [];
  for (const label of labels) {
    checkLabel(label);
    for (const key of everyFileOf(context, label)) {
      const there = await context.storage.stat(key);
      if (there === null) continue;
      const isLocked = there.lockedUntil !== undefined && there.lockedUntil > context.now().toISOString();
      alsoRemoves.push(
        isLocked ? `${key} (its content stays in the bucket until ${there.lockedUntil}: object lock)` : key,
      );
    }
  }
  return { labels, alsoRemoves };
}

/**
 * Removes backups one after the other, the manifest first: cut off in the middle, what is left is no longer listed, and
 * a second call takes the rest away.
 */
export async function removeBackups(context: EngineContext, labels: readonly string[]): Promise<void> {
  labels.forEach(checkLabel);
  for (const label of labels) {
    context.signal.throwIfAborted();
    for (const key of everyFileOf(context, label)) await context.storage.remove(key);
  }
}

/** A storage's `remove` takes folders too: only what this engine names is ever given to it. */
function checkLabel(label: string): void {
  if (databaseOf(label) !== null && !label.includes('/')) return;
  throw new RepriseError(
    'not-found',
    `${JSON.stringify(label)} is not the label of a logical backup`,
    'reprise backup list shows the labels',
  );
}
