import { isRepriseError } from '../../../domain/errors.js';
import type { StoredObject } from '../../../storage/storage.js';
import type { ListedBackup, ReadContext } from '../../engine.js';
import { misplaced } from '../../shared/manifest.js';
import { readStoredManifest } from './manifest.js';
import { policyPrefix } from '../../shared/policy-folder.js';
import { databaseOf, encodeName, incomingPrefix } from './names.js';

/**
 * Every backup that has a manifest, oldest label first within a database. A manifest whose dump is gone or has another
 * size is listed as damaged; a dump without a manifest is no backup.
 */
export async function listBackups(context: ReadContext): Promise<readonly ListedBackup[]> {
  const prefix = policyPrefix(context);
  const backups: ListedBackup[] = [];
  // Keys come in order, and `.dump` comes before `.json`: sizes of one label are enough to remember.
  const dumps = new Map<string, Pick<StoredObject, 'sizeBytes' | 'cold'>>();
  for await (const { key, sizeBytes, cold } of context.storage.list(prefix)) {
    const name = key.slice(prefix.length);
    if (name.includes('/')) continue;
    const dumpOf = /^(.+)\.dump(?:\.age)?$/s.exec(name)?.[1];
    if (dumpOf !== undefined) {
      dumps.clear();
      dumps.set(dumpOf, { sizeBytes, cold });
    }
    const label = name.endsWith('.json') ? name.slice(0, -'.json'.length) : null;
    const database = label === null ? null : databaseOf(label);
    if (label === null || database === null) continue;
    const dump = dumps.get(label);
    const found = await listed(context, key, label, database, dump?.sizeBytes);
    backups.push(dump?.cold === true ? { ...found, cold: true } : found);
  }
  return backups;
}

/** Size of a database's newest dump that has a manifest, told from names alone; null where there is none. */
export async function newestDumpSize(context: ReadContext, database: string): Promise<number | null> {
  const start = `${policyPrefix(context)}${encodeName(database)}_full_`;
  let candidate: { readonly base: string; readonly sizeBytes: number } | null = null;
  let newest: number | null = null;
  for await (const { key, sizeBytes } of context.storage.list(policyPrefix(context))) {
    if (!key.startsWith(start)) continue;
    const dumpOf = /^(.+)\.dump(?:\.age)?$/s.exec(key)?.[1];
    if (dumpOf !== undefined) candidate = { base: dumpOf, sizeBytes };
    else if (candidate !== null && key === `${candidate.base}.json`) newest = candidate.sizeBytes;
  }
  return newest;
}

/** Files of operations that did not end, as keys: nobody's backup, reported and left for people to look at. */
export async function leftovers(context: ReadContext, ownMark: string): Promise<readonly string[]> {
  const prefix = incomingPrefix(context);
  const keys: string[] = [];
  for await (const { key } of context.storage.list(prefix)) {
    if (!key.startsWith(`${prefix}${ownMark}-`)) keys.push(key);
  }
  return keys;
}

async function listed(
  context: ReadContext,
  key: string,
  label: string,
  database: string,
  dumpSize: number | undefined,
): Promise<ListedBackup> {
  const nameOnly = {
    label,
    type: 'full',
    startedAt: instantOf(label),
    finishedAt: null,
    sizeBytes: dumpSize ?? 0,
    database,
  } as const;
  try {
    const stored = await readStoredManifest(context.storage, key);
    if (stored !== null) {
      const { manifest, sha256 } = stored;
      if (manifest.label !== label || manifest.cluster !== context.cluster.name)
        return { ...nameOnly, damaged: misplaced(manifest) };
      const damaged = damageAtAGlance(manifest.dump.sizeBytes, dumpSize);
      return {
        label,
        type: 'full',
        startedAt: manifest.startedAt,
        finishedAt: manifest.finishedAt,
        sizeBytes: manifest.dump.sizeBytes,
        database: manifest.database,
        sha256: manifest.dump.sha256,
        manifestSha256: sha256,
        damaged: damaged ?? undefined,
        partial: manifest.partial,
      };
    }
  } catch (error) {
    if (!isRepriseError(error) || (error.code !== 'backup-corrupt' && error.code !== 'object-cold')) throw error;
    // What its manifest says, it says again when it is thawed.
    if (error.code === 'object-cold') return { ...nameOnly, cold: true };
  }
  return { ...nameOnly, damaged: 'its manifest cannot be read' };
}

function damageAtAGlance(recorded: number, found: number | undefined): string | null {
  if (found === undefined) return 'its dump is missing';
  return found === recorded ? null : `its dump has ${found} bytes where ${recorded} were recorded`;
}

/** UTC instant in a label. */
function instantOf(label: string): string {
  const digits = label.slice(-15);
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)(\d\d)$/.exec(digits) ?? [];
  return `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
}
