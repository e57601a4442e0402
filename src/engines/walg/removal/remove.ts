import { RepriseError } from '../../../domain/errors.js';
import type { FindNeeded, EngineContext, Kept, ReadContext, RemovalPlan } from '../../engine.js';
import { refuseIfOthersDepend } from '../../shared/backup-record.js';
import type { WalgBackup } from '../backup-list.js';
import { readBackupList, segmentOf } from '../backup-list.js';
import { runWalg, runWalgJob } from '../command.js';
import { foreignMarks, unmark } from './holds.js';
import type { DryRun } from './removal-plan.js';
import {
  behindNeeded,
  boundaryOf,
  differenceOf,
  firstStaying,
  neededBy,
  parseDryRun,
  withDependants,
} from './removal-plan.js';
import { readVersion } from '../version.js';

/** One `wal-g delete`, and the backups it has to remove, no more and no fewer. */
interface Deletion {
  readonly step: string;
  readonly args: readonly string[];
  readonly takes: readonly string[];
}

/**
 * What goes with these backups: their dependants, and the WAL before the first backup that stays. Dry runs of WAL-G have
 * to name exactly the same.
 * @throws RepriseError `rotation-refused` where they do not, where WAL of a recovery would go, or where WAL-G cannot remove them alone
 */
export async function planRemoval(
  context: EngineContext,
  labels: readonly string[],
  needed?: FindNeeded,
): Promise<RemovalPlan> {
  const backups = await readBackupList(context);
  const all = await removable(context, backups, labels);
  const { deletesByTarget } = await readVersion(context);
  const keeps = needed === undefined || deletesByTarget ? null : behindNeeded(backups, all, (await needed()).labels);
  const going = all.filter((label) => keeps?.labels.includes(label) !== true);
  const alsoRemoves: string[] = [];
  // What a past hold of ours still marks is left out of a dry run, and loses its mark before the real one.
  const marked = backups.filter(({ permanent }) => permanent).map(({ label }) => label);
  for (const deletion of await deletionsOf(context, backups, going)) {
    if (deletion.takes.length > 0 && deletion.takes.every((label) => marked.includes(label))) continue;
    const { segments } = await requireSame(
      context,
      { ...deletion, takes: deletion.takes.filter((label) => !marked.includes(label)) },
      backups,
      going,
    );
    await requireFree(needed, [], segments);
    if (segments.length > 0)
      alsoRemoves.push(`${segments.length} WAL segments, ${segments[0] ?? ''} to ${segments.at(-1) ?? ''}`);
  }
  if (alsoRemoves.length > 0 && backups.some(({ label, permanent }) => permanent && !going.includes(label))) {
    alsoRemoves.push(
      'WAL after the held backups: they can still be restored to their own end, and not to a later time',
    );
  }
  return { labels: going, alsoRemoves, ...(keeps !== null && { keeps }) };
}

/**
 * Of these, what this WAL-G cannot remove as long as another one is needed; null: nothing.
 * @throws RepriseError `rotation-refused` where it cannot remove the others alone
 */
export async function keptBehind(
  context: ReadContext,
  labels: readonly string[],
  needed: FindNeeded,
): Promise<Kept | null> {
  if ((await readVersion(context)).deletesByTarget) return null;
  const backups = await readBackupList(context);
  const all = await removable(context, backups, labels);
  const keeps = behindNeeded(backups, all, (await needed()).labels);
  const going = all.filter((label) => keeps?.labels.includes(label) !== true);
  if (going.length > 0) boundaryOf(backups, going);
  return keeps;
}

/**
 * Removes exactly these backups and the WAL that no backup needs any more. One that is gone is no error.
 * @throws RepriseError `rotation-refused` where another backup rests on one of them, a dry run names others, or one is needed by now
 */
export async function remove(context: EngineContext, labels: readonly string[], needed?: FindNeeded): Promise<void> {
  const found = await readBackupList(context);
  const going = await removable(context, found, labels);
  refuseIfOthersDepend(going, labels);
  // Before a mark goes that a hold has just made.
  await requireFree(needed, going, []);
  for (const label of going) {
    const backup = found.find((one) => one.label === label);
    if (backup?.permanent === true) await unmark(context, backup);
  }
  const backups = found.map((backup) => (going.includes(backup.label) ? { ...backup, permanent: false } : backup));
  for (const deletion of await deletionsOf(context, backups, going)) {
    const { segments } = await requireSame(context, deletion, backups, going);
    // Dry runs of a large storage take minutes.
    await requireFree(needed, going, segments);
    await runWalgJob(context, { step: deletion.step, args: [...deletion.args, '--confirm'] });
  }
  const left = (await readBackupList(context)).filter(({ label }) => labels.includes(label));
  if (left.length > 0) {
    throw new RepriseError(
      'tool-failed',
      `wal-g delete succeeded, but ${left.map(({ label }) => label).join(', ')} is still there`,
      'run: wal-g backup-list',
    );
  }
}

/** @throws RepriseError `rotation-refused` for what somebody else marked permanent */
async function removable(
  context: ReadContext,
  backups: readonly WalgBackup[],
  labels: readonly string[],
): Promise<string[]> {
  const going = withDependants(
    backups,
    labels.filter((label) => backups.some((backup) => backup.label === label)),
  );
  const foreign = await foreignMarks(
    context,
    backups.filter(({ label }) => going.includes(label)),
  );
  if (foreign.length === 0) return going;
  throw new RepriseError(
    'rotation-refused',
    `${foreign.join(', ')} was marked permanent, and not by a hold of Reprise`,
    `also hold it in Reprise, or remove the mark: wal-g backup-mark --impermanent ${foreign[0] ?? ''}`,
  );
}

async function deletionsOf(
  context: EngineContext,
  backups: readonly WalgBackup[],
  going: readonly string[],
): Promise<Deletion[]> {
  if (going.length === 0) return [];
  const version = await readVersion(context);
  if (!version.deletesByTarget) {
    const boundary = boundaryOf(backups, going);
    return [{ step: `delete-before-${boundary}`, args: ['delete', 'before', boundary], takes: going }];
  }
  // Newest first: with a base its deltas would go along.
  const targets = going.map((label) => ({
    step: `delete-${label}`,
    args: ['delete', 'target', label],
    takes: withDependants(backups, [label]),
  }));
  const staying = firstStaying(backups, going);
  if (!version.deletesGarbage || staying === undefined) return targets;
  return [...targets, { step: `delete-garbage-before-${staying.label}`, args: ['delete', 'garbage'], takes: [] }];
}

async function requireSame(
  context: EngineContext,
  { args, takes }: Deletion,
  backups: readonly WalgBackup[],
  going: readonly string[],
): Promise<DryRun> {
  const { stdout, stderr } = await runWalg(context, args);
  const dryRun = parseDryRun(`${stdout}\n${stderr}`);
  const staying = firstStaying(backups, going);
  const known = (await readBackupList(context)).map(({ label }) => label);
  const difference = differenceOf(
    dryRun,
    takes.filter((label) => known.includes(label)),
    known,
    staying === undefined ? null : segmentOf(staying.label),
  );
  if (difference === undefined) return dryRun;
  throw new RepriseError(
    'rotation-refused',
    `wal-g ${args.join(' ')} would not remove what was planned: ${difference}`,
    'compare reprise rotate --dry-run with the dry run of wal-g (without --confirm); nothing was removed',
  );
}

/** @throws RepriseError `rotation-refused` where a hold or a recovery came in between */
async function requireFree(
  needed: FindNeeded | undefined,
  going: readonly string[],
  segments: readonly string[],
): Promise<void> {
  const why = needed === undefined ? undefined : neededBy(await needed(), going, segments);
  if (why === undefined) return;
  throw new RepriseError(
    'rotation-refused',
    `removal stopped: ${why}`,
    'rotate again when that is over: reprise rotate',
  );
}
