import type { EngineContext } from '../../engine.js';
import { operationMark } from '../../shared/policy-folder.js';
import { discardCopies } from '../repository/local-copy.js';
import { readManifest } from '../repository/manifest.js';
import { everyFileOf, incomingPrefix, labelOf, manifestKeyOf } from '../repository/names.js';
import { publishDump } from './dump.js';

/** What a cancelled operation has begun and not published. A dump that is whole but for its name gets that. */
export async function abandonDumps(context: EngineContext, startedAt: string | null): Promise<void> {
  await discardCopies(context);
  const begun = await incomingOf(context);
  if (context.storage.capabilities.localPath) for (const key of begun) await publishWhole(context, key);
  else if (startedAt !== null) await removeUnmarked(context, startedAt);
  for (const key of begun) await context.storage.remove(key);
}

/** Files of this operation, by the mark in their names. */
async function incomingOf(context: EngineContext): Promise<readonly string[]> {
  const prefix = incomingPrefix(context);
  const own = `${prefix}${operationMark(context.operationId)}-`;
  const keys: string[] = [];
  for await (const { key } of context.storage.list(prefix)) if (key.startsWith(own)) keys.push(key);
  return keys;
}

/** Its manifest is written when all of it is there, and moved last. */
async function publishWhole(context: EngineContext, key: string): Promise<void> {
  if (!key.endsWith('.json') || key.endsWith('.facts.json')) return;
  const manifest = await readManifest(context.storage, key);
  if (manifest !== null) await publishDump(context, manifest.label, manifest.encryption !== undefined);
}

/** Where files get their last names at once, the manifest alone makes them a backup; no other operation has this label. */
async function removeUnmarked(context: EngineContext, startedAt: string): Promise<void> {
  for (const database of context.cluster.databases) {
    const label = labelOf(database, startedAt);
    const manifest = manifestKeyOf(context, label);
    if ((await context.storage.stat(manifest)) !== null) continue;
    for (const key of everyFileOf(context, label).filter((one) => one !== manifest)) {
      await context.storage.abandon(key);
      await context.storage.remove(key);
    }
  }
}
