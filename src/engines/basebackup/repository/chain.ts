import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { RepriseError } from '../../../domain/errors.js';
import { giveTo } from '../../../files/directories.js';
import type { Backup, BoundContent } from '../../../domain/backup/backup.js';
import type { BoundBackup, EngineContext, ReadContext } from '../../engine.js';
import { requireBound, requireRecorded } from '../../shared/bound-content.js';
import { damageOf } from '../../shared/hash.js';
import { fileKey, hashOf, manifestOf } from './manifest.js';
import type { BaseManifest } from './manifest.js';
import { PG_MANIFEST, spoolOf } from './names.js';
import { streamToFile } from '../../../files/atomic-file.js';
import { makeOwnDirectory } from '../../../files/trusted-paths.js';

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
  await makeOwnDirectory(spoolOf(context), context.user);
  const path = join(spoolOf(context), 'parent_manifest');
  await pipeline(await context.storage.open(fileKey(context, parent.label, file)), streamToFile(path));
  await giveTo(path, context.user);
  return path;
}

/** Under what the manifest of a backup is bound: PostgreSQL's own, and every file with its hash, are in it. */
const boundName = ({ label }: BaseManifest): string => `manifest of ${label}`;

/**
 * What is approved of a backup, and of those it rests on.
 * @throws RepriseError `backup-corrupt` where a manifest is not the recorded one, `not-found`, `identity-mismatch`
 */
export async function bindBackup(
  context: ReadContext,
  backup: Backup,
  known: readonly Backup[],
): Promise<BoundContent> {
  const chain = await chainOf(context, await manifestOf(context, backup.label));
  for (const link of chain) {
    const recorded = link.label === backup.label ? backup : known.find(({ label }) => label === link.label);
    requireRecorded(backup, recorded?.sha256, hashOf(link));
  }
  return Object.fromEntries(chain.map((link) => [boundName(link), hashOf(link)]));
}

/**
 * A backup and all it rests on, the full one first, where they are those that are bound.
 * @throws RepriseError as {@link requireBound}
 */
export async function boundChain(
  context: ReadContext,
  { backup, content }: BoundBackup,
): Promise<readonly BaseManifest[]> {
  const chain = await chainOf(context, await manifestOf(context, backup.label));
  for (const link of chain) requireBound(content, boundName(link), { label: backup.label, found: hashOf(link) });
  return chain;
}

/** A backup and all it rests on, the full one first. */
export async function chainOf(context: ReadContext, manifest: BaseManifest): Promise<readonly BaseManifest[]> {
  const parents = await Promise.all(manifest.dependsOn.toReversed().map((label) => manifestOf(context, label)));
  return [...parents, manifest];
}
