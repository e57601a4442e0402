import type { Backup, TableCount } from '../../../domain/backup/backup.js';
import { isRepriseError, type RepriseError } from '../../../domain/errors.js';
import type { EngineContext, VerifyVerdict } from '../../engine.js';
import { rootsInArchive } from '../archive/partitions.js';
import { whyPartial } from '../archive/partial.js';
import { tocOf } from '../archive/read-toc.js';
import { failedVerification } from '../../shared/backup-record.js';
import { compareCounts, countDump } from './count-dump.js';
import { damageOf } from '../../shared/hash.js';
import { wholeFile } from './local-copy.js';
import { checkKey } from '../encryption.js';
import type { SealedFile } from '../encryption.js';
import { manifestFiles, manifestOf } from './manifest.js';
import type { DumpManifest } from './manifest.js';
import { isLeaving } from '../../../process/jobs/jobs.js';

/** So many differences are named; the rest is counted. */
const NAMED = 3;

/**
 * Size and SHA-256 of roles and dump first; then every block of the dump is read, and the rows of every table in
 * it compared with those recorded when it was made. Damage is a verdict; only what hinders looking is thrown.
 */
export async function verifyDump(context: EngineContext, backup: Backup): Promise<VerifyVerdict> {
  try {
    const manifest = await manifestOf(context, backup.label);
    const differsFromRecord = backup.sha256 !== undefined && backup.sha256 !== manifest.dump.sha256;
    if (differsFromRecord)
      return failedVerification(`the manifest of ${backup.label} differs from the recorded one: another SHA-256`);
    const files = manifestFiles(context, manifest);
    // First, because it is small: the progress that is shown while the dump is read is that of the dump.
    const damaged = await damageOf(context, files.globals, manifest.globals);
    if (damaged !== null) return failedVerification(damaged);
    const dump = await wholeFile(context, files.dump, manifest.dump);
    try {
      return await compareWithRecord(context, manifest, dump.path);
    } finally {
      // Where the worker shuts down, its job reads on.
      if (!isLeaving(context)) await dump.discard();
    }
  } catch (error) {
    if (!isRepriseError(error) || !isAboutTheBackup(error)) throw error;
    return failedVerification(error.message);
  }
}

/** What pg_restore itself gives up on is damaged; one that was killed, or is not there, says nothing of the backup. */
function isAboutTheBackup(error: RepriseError): boolean {
  const toolGaveUp = typeof error.details['code'] === 'number' && ['tool-failed', 'tool-rejected'].includes(error.code);
  return toolGaveUp || ['backup-corrupt', 'identity-mismatch', 'not-found'].includes(error.code);
}

async function compareWithRecord(context: EngineContext, manifest: DumpManifest, path: string): Promise<VerifyVerdict> {
  const { label, contents, countedIn, objects } = manifest;
  const file = { key: manifestFiles(context, manifest).dump, encrypted: manifest.encryption !== undefined, path };
  await checkKey(context, file);
  // Of a dump that others made: definitions without rows are as whole as their own counts.
  const partial = manifest.adopted === undefined ? null : whyPartial(await tocOf(context, file));
  if (partial !== null) return failedVerification(`it is only a part of the database: ${partial}`);
  const found = await countDump(context, `verify:${label}`, manifest, file);
  const differences = countedIn === 'nowhere' ? [] : await countDifferences(context, file, contents, found.tables);
  const largeObjects = objects?.['large object'] ?? 0;
  if (objects !== null && found.largeObjects !== largeObjects) {
    differences.push(`${found.largeObjects} large objects where ${largeObjects} were recorded`);
  }
  if (differences.length > 0) return failedVerification(summarize(differences));
  const rows = found.tables.reduce((sum, table) => sum + table.rows, 0);
  const detail = `size and SHA-256 match; every block was read: ${found.tables.length} tables, ${rows} rows, ${found.largeObjects} large objects${countedIn === 'nowhere' ? ', which were not counted when it was made' : ''}; it was not restored`;
  return { ok: true, detail, contents: found.tables };
}

/** Where tables differ one by one, they are compared with their partitions: a dump may have rows go to the root. */
async function countDifferences(
  context: EngineContext,
  file: SealedFile,
  recorded: readonly TableCount[],
  found: readonly TableCount[],
): Promise<string[]> {
  if (compareCounts(recorded, found).length === 0) return [];
  return [...compareCounts(recorded, found, rootsInArchive(await tocOf(context, file)))];
}

/** The first differences, and how many more there are. */
export function summarize(differences: readonly string[]): string {
  const more = differences.length - NAMED;
  return `${differences.slice(0, NAMED).join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}
