import type { EngineContext, ReadContext } from '../../engine.js';
import type { WalgBackup } from '../backup-list.js';
import { readBackupList } from '../backup-list.js';
import { runWalg } from '../command.js';

/**
 * What is held is marked permanent, so that a `wal-g delete` started beside Reprise (cron) leaves it alone too. WAL-G
 * marks the backups it rests on along with it.
 */
export async function hold(context: EngineContext, label: string): Promise<void> {
  const backups = await readBackupList(context);
  const backup = backups.find((one) => one.label === label);
  if (backup === undefined || backup.permanent) return;
  // Noted first: a mark that nobody knows of would never be taken back.
  for (const one of backups.filter(
    ({ label: name, permanent }) => !permanent && [label, ...backup.dependsOn].includes(name),
  )) {
    await context.storage.createIfAbsent(noteOf(context, one.label), '');
  }
  await runWalg(context, ['backup-mark', label]);
}

/**
 * Takes back the marks that {@link hold} made, but for those that other held backups need.
 * @param held labels that stay held
 */
export async function release(context: EngineContext, label: string, held: readonly string[]): Promise<void> {
  const backups = await readBackupList(context);
  const chainOf = (name: string): readonly string[] => [
    name,
    ...(backups.find((one) => one.label === name)?.dependsOn ?? []),
  ];
  const needed = new Set(held.flatMap(chainOf));
  // From the newest: WAL-G keeps the mark of what a permanent backup rests on.
  for (const name of chainOf(label).filter((one) => !needed.has(one))) {
    const backup = backups.find((one) => one.label === name);
    if (backup !== undefined && (await isOurs(context, name))) await unmark(context, backup);
  }
}

/** Marks that somebody else made, and that we therefore leave. */
export async function foreignMarks(context: ReadContext, backups: readonly WalgBackup[]): Promise<string[]> {
  const foreign: string[] = [];
  for (const { label, permanent } of backups) if (permanent && !(await isOurs(context, label))) foreign.push(label);
  return foreign;
}

export async function unmark(context: EngineContext, { label, permanent }: WalgBackup): Promise<void> {
  if (permanent) await runWalg(context, ['backup-mark', '--impermanent', label]);
  await context.storage.remove(noteOf(context, label));
}

async function isOurs(context: ReadContext, label: string): Promise<boolean> {
  return (await context.storage.stat(noteOf(context, label))) !== null;
}

function noteOf({ cluster, policy }: ReadContext, label: string): string {
  return `${cluster.name}/${policy.name}/permanent/${label}`;
}
