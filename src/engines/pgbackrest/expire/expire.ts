import { RepriseError } from '../../../domain/errors.js';
import type { EngineContext, RemovalPlan } from '../../engine.js';
import { refuseIfOthersDepend } from '../../shared/backup-record.js';
import { readArchive } from '../wal/archive.js';
import { KEEP_ALL, optionsOf, runPgbackrest } from '../command.js';
import type { ConfigFile } from '../config-file.js';
import { readConfigFile } from '../config-file.js';
import type { ExpireStep } from './expire-plan.js';
import { differenceOf, expireSteps, parseDryRun, walKeptFrom, withDependants } from './expire-plan.js';
import type { StanzaInfo } from '../info.js';
import { readInfo } from '../info.js';
import { runPgbackrestJob } from '../job.js';

/**
 * What goes with these backups: their dependants, and the WAL before the oldest full backup that stays. Dry runs of
 * pgBackRest have to name exactly the same.
 * @throws RepriseError `rotation-refused` where they do not, or where no full backup would be left
 */
export async function planRemoval(context: EngineContext, labels: readonly string[]): Promise<RemovalPlan> {
  const info = await readInfo(context);
  const present = labels.filter((label) => info.backups.some((backup) => backup.label === label));
  const going = withDependants(info.backups, present);
  const steps = expireSteps(info.backups, present);
  await requireSameByDryRun(context, info, going, steps);
  const alsoRemoves: string[] = [];
  for (const { archiveId } of info.databases) {
    const keptFrom = walKeptFrom(info.backups, going, archiveId);
    if (going.length === 0 || keptFrom === null) continue;
    const before = (await readArchive(context, archiveId)).segments.filter((segment) => segment < keptFrom);
    if (before.length > 0)
      alsoRemoves.push(`${before.length} WAL segments of ${archiveId}, ${before[0]} to ${before.at(-1)}`);
  }
  return { labels: going, alsoRemoves };
}

/**
 * Removes exactly these backups, newest first, and the WAL that no backup needs any more. One that is gone is no error.
 * @throws RepriseError `rotation-refused` where another backup rests on one of them
 */
export async function remove(context: EngineContext, labels: readonly string[]): Promise<void> {
  const info = await readInfo(context);
  const present = labels.filter((label) => info.backups.some((backup) => backup.label === label));
  refuseIfOthersDepend(withDependants(info.backups, present), labels);
  const steps = expireSteps(info.backups, present);
  const config = await readConfigFile(context);
  for (const step of [...(await halfRemoved(context, info, labels)), ...steps]) {
    await runPgbackrestJob(context, {
      step: `expire-${step.label}`,
      command: 'expire',
      options: expireOptions(step, config),
    });
  }
  const left = (await readInfo(context)).backups.filter(({ label }) => labels.includes(label));
  if (left.length > 0) {
    throw new RepriseError(
      'tool-failed',
      `pgbackrest expire succeeded, but ${left.map(({ label }) => label).join(', ')} is still there`,
      'run: pgbackrest info',
    );
  }
}

/** Backups that an interrupted expire took off the list and whose files are still there: expire clears them up. */
async function halfRemoved(context: EngineContext, info: StanzaInfo, labels: readonly string[]): Promise<ExpireStep[]> {
  const path = `backup/${optionsOf(context).stanza}`;
  const { stdout } = await runPgbackrest(context, 'repo-ls', ['--repo=1'], { parameters: [path] });
  const directories = new Set(stdout.split('\n'));
  const fullsLeft = info.backups.filter(({ type }) => type === 'full').length;
  return labels
    .filter((label) => directories.has(label) && !info.backups.some((backup) => backup.label === label))
    .map((label) => ({ label, fullsLeft }));
}

async function requireSameByDryRun(
  context: EngineContext,
  info: StanzaInfo,
  going: readonly string[],
  steps: readonly ExpireStep[],
): Promise<void> {
  const keptFrom = (archiveId: string): string | null => walKeptFrom(info.backups, going, archiveId);
  const config = await readConfigFile(context);
  const known = info.backups.map(({ label }) => label);
  for (const step of steps) {
    // Alone, this backup goes with what rests on it; the step's real run finds those gone already.
    const alone = withDependants(info.backups, [step.label]);
    const { stdout } = await runPgbackrest(context, 'expire', [
      ...expireOptions(step, config),
      '--dry-run',
      '--log-level-console=info',
      '--log-level-stderr=off',
    ]);
    const difference = differenceOf(parseDryRun(stdout), alone, known, keptFrom);
    if (difference !== undefined) {
      throw new RepriseError(
        'rotation-refused',
        `pgbackrest would not remove what was planned for ${step.label}: ${difference}`,
        'compare reprise rotate --dry-run with pgbackrest expire --dry-run; nothing was removed',
      );
    }
  }
}

/**
 * By itself `expire --set` removes no WAL; its archive retention counts full backups. Retention in the configuration
 * must not count: it would let go of more than was asked.
 */
function expireOptions({ label, fullsLeft }: ExpireStep, config: ConfigFile): string[] {
  return [
    // Else the list of its files would stay for ever in backup.history.
    ...(config.has('repo1-retention-history') ? [] : ['--repo1-retention-history=0']),
    ...['--repo=1', `--set=${label}`, `--repo1-retention-full=${KEEP_ALL}`, '--repo1-retention-full-type=count'],
    ...['--repo1-retention-archive-type=full', `--repo1-retention-archive=${fullsLeft}`],
  ];
}
