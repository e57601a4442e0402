import { isHistoryName } from '../../../domain/target/wal.js';
import type { EngineContext, ListedBackup, RemovalPlan } from '../../engine.js';
import { refuseIfOthersDepend } from '../../shared/backup-record.js';
import { listBackups, ownFiles } from './list.js';
import { manifestKey, walKey } from './names.js';
import { archivedNames } from '../wal/wal-archive.js';

/** What goes with these backups: those that rest on them, and the WAL before the oldest backup that stays. */
export async function planRemoval(context: EngineContext, labels: readonly string[]): Promise<RemovalPlan> {
  const listed = await listBackups(context);
  const going = withDependants(listed, labels);
  const wal = await walBefore(context, keptFrom(listed, going));
  return {
    labels: going,
    alsoRemoves: wal.length === 0 ? [] : [`${wal.length} files of WAL, ${wal[0]} to ${wal.at(-1)}`],
  };
}

/**
 * Removes exactly these backups, newest first and each with its manifest first: cut off in the middle, what is left is
 * no longer listed, and a second call takes the rest away. Then the WAL that no backup needs any more goes.
 * @throws RepriseError `rotation-refused` where another backup rests on one of them
 */
export async function remove(context: EngineContext, labels: readonly string[]): Promise<void> {
  const listed = await listBackups(context);
  refuseIfOthersDepend(withDependants(listed, labels), labels);
  const wal = await walBefore(context, keptFrom(listed, labels));
  for (const label of newestFirst(labels)) {
    context.signal.throwIfAborted();
    await context.storage.remove(manifestKey(context, label));
    for (const key of await ownFiles(context, label)) await context.storage.remove(key);
  }
  for (const name of wal) await context.storage.remove(walKey(context, name));
}

/** In the order asked for, then what rests on them. */
function withDependants(listed: readonly ListedBackup[], labels: readonly string[]): string[] {
  const asked = new Set(labels);
  const dependants = listed.filter(
    ({ label, dependsOn }) => !asked.has(label) && dependsOn?.some((base) => asked.has(base)) === true,
  );
  return [...labels, ...dependants.map(({ label }) => label)];
}

function newestFirst(labels: readonly string[]): string[] {
  return labels.toSorted((a, b) => b.slice(-15).localeCompare(a.slice(-15)));
}

/** Start segment of the oldest backup that stays; null where none does, or one does not tell: then all WAL stays. */
function keptFrom(listed: readonly ListedBackup[], going: readonly string[]): string | null {
  const staying = listed.filter(({ label }) => !going.includes(label));
  if (staying.some(({ wal }) => wal === undefined)) return null;
  return staying.flatMap(({ wal }) => (wal === undefined ? [] : [wal.start])).sort()[0] ?? null;
}

/** By name, as all archives sort: a later timeline has the greater one. Histories of timelines always stay. */
async function walBefore(context: EngineContext, kept: string | null): Promise<string[]> {
  if (kept === null) return [];
  return (await archivedNames(context)).filter((name) => !isHistoryName(name) && name.slice(0, 24) < kept);
}
