import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { RepriseError } from '../../../domain/errors.js';
import { giveTo } from '../../../files/directories.js';
import type { EngineContext, ReadContext } from '../../engine.js';
import { damageOf } from '../../shared/hash.js';
import { fileKey, manifestOf } from './manifest.js';
import type { BaseManifest } from './manifest.js';
import { PG_MANIFEST, spoolOf } from './names.js';
import { ownDirectory } from '../restore/unpack.js';
import { streamToFile } from '../../../files/atomic-file.js';

/** PostgreSQL's manifest of the parent as a file of this host, as it was recorded. */
export async function parentManifest(context: EngineContext, parent: BaseManifest): Promise<string> {
  const file = parent.files.find(({ name }) => name === PG_MANIFEST);
  const damage =
    file === undefined ? 'it has none' : await damageOf(context, fileKey(context, parent.label, file), file);
  if (file === undefined || damage !== null) {
    throw new RepriseError(
      'backup-corrupt',
      `the manifest of ${parent.label}, on which this backup depends, is damaged: ${damage}`,
      'backup run --type full',
    );
  }
  await ownDirectory(context, spoolOf(context));
  const path = join(spoolOf(context), 'parent_manifest');
  await pipeline(await context.storage.open(fileKey(context, parent.label, file)), streamToFile(path));
  await giveTo(path, context.user);
  return path;
}

/** A backup and all it rests on, the full one first. */
export async function chainOf(context: ReadContext, manifest: BaseManifest): Promise<readonly BaseManifest[]> {
  const parents = await Promise.all(manifest.dependsOn.toReversed().map((label) => manifestOf(context, label)));
  return [...parents, manifest];
}
