import { isRepriseError } from '../../../domain/errors.js';
import type { ListedBackup, ReadContext } from '../../engine.js';
import { isHistoryName, segmentIndex } from '../../../domain/target/wal.js';
import { hashOf, manifestOf, sizeOf } from './manifest.js';
import type { BackupFile, BaseManifest } from './manifest.js';
import { policyPrefix } from '../../shared/policy-folder.js';
import { backupPrefix, isLabel, MANIFEST, walKey } from './names.js';
import { archivedNames } from '../wal/wal-archive.js';

/** Every backup that has our manifest, oldest first; files without one are no backup. */
export async function listBackups(context: ReadContext): Promise<readonly ListedBackup[]> {
  const sizes = new Map<string, Map<string, number>>();
  const frozen = new Set<string>();
  for await (const { key, sizeBytes, cold } of context.storage.list(policyPrefix(context))) {
    const [label = '', name = ''] = key.slice(policyPrefix(context).length).split('/');
    if (!isLabel(label)) continue;
    if (cold) frozen.add(label);
    const files = sizes.get(label) ?? new Map<string, number>();
    sizes.set(label, files.set(name, sizeBytes));
  }
  const labels = [...sizes].filter(([, files]) => files.has(MANIFEST)).map(([label]) => label);
  const listed: ListedBackup[] = [];
  for (const label of labels.sort((a, b) => instantOf(a).localeCompare(instantOf(b)))) {
    const found = await describe(context, label, sizes.get(label) ?? new Map<string, number>());
    listed.push(frozen.has(label) ? { ...found, cold: true } : found);
  }
  return withParents(listed);
}

/** An incremental backup is no better than those it rests on. */
export function withParents(listed: readonly ListedBackup[]): readonly ListedBackup[] {
  const sound = new Set(listed.filter(({ damaged }) => damaged === undefined).map(({ label }) => label));
  return listed.map((one) => {
    const lost = one.damaged === undefined ? one.dependsOn?.find((label) => !sound.has(label)) : undefined;
    return lost === undefined ? one : { ...one, damaged: `${lost}, on which it depends, is missing or damaged` };
  });
}

/** Keys of a backup's files, whatever its manifest says: one that is damaged is rotated away too. */
export async function ownFiles(context: ReadContext, label: string): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const { key } of context.storage.list(backupPrefix(context, label))) keys.push(key);
  return keys;
}

/** Keys of a backup's files and of the WAL from its beginning on: any of them may have to be thawed. */
export async function storedFiles(context: ReadContext, label: string): Promise<readonly string[]> {
  const keys = await ownFiles(context, label);
  const { wal } = await manifestOf(context, label);
  const archived = (await archivedNames(context)).filter(
    (name) => isHistoryName(name) || segmentIndex(name) >= segmentIndex(wal.start),
  );
  return [...keys, ...archived.map((name) => walKey(context, name))];
}

async function describe(
  context: ReadContext,
  label: string,
  sizes: ReadonlyMap<string, number>,
): Promise<ListedBackup> {
  const type = label.startsWith('incr') ? 'incr' : 'full';
  const nameOnly = {
    label,
    type,
    startedAt: instantOf(label),
    finishedAt: null,
    sizeBytes: [...sizes.values()].reduce((sum, size) => sum + size, 0),
  } as const;
  try {
    return listedBackup(await manifestOf(context, label), sizes);
  } catch (error) {
    if (!isRepriseError(error)) throw error;
    // What its manifest says, it says again when it is thawed.
    if (error.code === 'object-cold') return { ...nameOnly, cold: true };
    if (error.code === 'identity-mismatch') return { ...nameOnly, damaged: error.message };
    if (error.code !== 'backup-corrupt' && error.code !== 'not-found') throw error;
    return { ...nameOnly, damaged: 'its manifest cannot be read' };
  }
}

function listedBackup(manifest: BaseManifest, sizes: ReadonlyMap<string, number>): ListedBackup {
  const { label, type, startedAt, finishedAt, wal, dependsOn, files } = manifest;
  const wrong = files.find(({ name, sizeBytes }) => sizes.get(name) !== sizeBytes);
  return {
    label,
    type,
    startedAt,
    finishedAt,
    wal,
    sizeBytes: sizeOf(manifest),
    sha256: hashOf(manifest),
    dependsOn: dependsOn.length === 0 ? undefined : dependsOn,
    damaged: wrong === undefined ? undefined : differenceOf(wrong, sizes.get(wrong.name)),
  };
}

function differenceOf({ name, sizeBytes }: BackupFile, found: number | undefined): string {
  if (found === undefined) return `${name} is missing`;
  return `${name} has ${found} bytes where ${sizeBytes} were recorded`;
}

/** UTC instant in a label. */
function instantOf(label: string): string {
  return label.replace(/^[a-z]+_(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)(\d\d)$/, '$1-$2-$3T$4:$5:$6.000Z');
}
