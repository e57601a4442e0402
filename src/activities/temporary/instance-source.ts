import type { Backup, BoundContent } from '../../domain/backup/backup.js';
import type { PolicyConfig } from '../../domain/config.js';
import type { PlannedRestore } from '../../domain/drill/drill.js';
import { isRepriseError } from '../../domain/errors.js';
import { candidateBackups } from '../../domain/plan/choose-source.js';
import type { RecoveryOutline } from '../../domain/plan/recovery-observations.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import type { TimelineChoice } from '../../domain/target/timeline-choice.js';
import type { Engine, ReadContext } from '../../engines/engine.js';
import type { ActivityRun } from '../activity-wrapper.js';
import { type ClusterContext, currentBackups, engineFor, forBackup, readContext } from '../cluster-context.js';
import { contentDigest } from './planned-restore.js';

/** For the choice of backups: a temporary instance is no recovery into a place of the configuration. */
const NEWEST = { target: { kind: 'latest' as const }, into: 'temporary', pause: true };

/** Where backups are looked for, and for which operation. */
export interface SourceRequest {
  readonly clusterContext: ClusterContext;
  readonly run: ActivityRun;
  readonly operationId: string;
  readonly policy: PolicyConfig;
}

type Of = Pick<PlannedRestore, 'target' | 'chosen' | 'window' | 'only'>;

/** One policy whose engine restores a data directory, and which of its backups lead to a target. */
export class PhysicalSource {
  private constructor(
    private readonly engine: Engine,
    private readonly context: ReadContext,
    private readonly policy: PolicyConfig,
    private readonly candidates: readonly Backup[],
    private readonly known: readonly Backup[],
  ) {}

  /**
   * @param only the backup that is restored already, or is named; absent: whichever leads to the target
   * @throws RepriseError `no-usable-backup`, `capability-missing`
   */
  static async open(
    { clusterContext, run, operationId, policy }: SourceRequest,
    only?: string,
  ): Promise<PhysicalSource> {
    const engine = engineFor(clusterContext, policy);
    const known = await currentBackups(clusterContext, run, [policy]);
    const target = only === undefined ? NEWEST.target : { kind: 'backup' as const, id: only };
    const usable = candidateBackups({ policy, capabilities: engine.capabilities }, { ...NEWEST, target }, known);
    const candidates = only === undefined ? usable : usable.filter(({ id }) => id === only);
    const [newest] = candidates;
    const own = newest === undefined ? clusterContext : forBackup(clusterContext, newest);
    const context = await readContext(own, policy, run, `${operationId}/plan-${policy.name}`);
    return new PhysicalSource(engine, context, policy, candidates, known);
  }

  /** No backup may be chosen: there is none, or the one that was named cannot be used any more. */
  get isEmpty(): boolean {
    return this.candidates.length === 0;
  }

  /** @param only ids of the backups that may be chosen; absent: all */
  outline(target: RecoveryTarget, timeline?: TimelineChoice, only?: readonly string[]): Promise<RecoveryOutline> {
    const candidates = this.candidates.filter(({ id }) => only?.includes(id) ?? true);
    return this.engine.outlineRecovery(this.context, {
      ...{ target, timeline, candidates, oldDataDir: null, databases: [] },
    });
  }

  /** What is bound of the backups of an outline, by their ids. */
  async contentOf({ backups }: RecoveryOutline): Promise<Readonly<Record<string, BoundContent>>> {
    const { engine, context, known } = this;
    const bound = await Promise.all(
      backups.map(async (backup) => [backup.id, await engine.bindBackup(context, backup, known)] as const),
    );
    return Object.fromEntries(bound);
  }

  /** What is restored for an outline. */
  async planned(of: Of, outline: RecoveryOutline): Promise<PlannedRestore> {
    const { engine, context, known, policy } = this;
    return {
      ...of,
      policy: policy.name,
      engine: policy.engine,
      method: 'data-directory',
      backups: await Promise.all(outline.backups.map((backup) => described(engine, context, backup, known))),
      recovery: { stopsAt: outline.target, timeline: outline.timeline },
      lastCommitAt: outline.lastCommitAt ?? null,
      neededBytes: outline.neededBytes,
      sizeBytes: outline.sizeBytes,
      ...(outline.replayBytes !== undefined && { walBytes: outline.replayBytes }),
      predicted: null,
    };
  }
}

/** Backups of a policy of dumps that may be restored, newest first, and all that is known of it. */
export async function dumpsOf(
  { clusterContext, run, policy }: SourceRequest,
  target: RecoveryTarget = NEWEST.target,
): Promise<{ readonly newestFirst: readonly Backup[]; readonly known: readonly Backup[] }> {
  const known = await currentBackups(clusterContext, run, [policy]);
  const { capabilities } = engineFor(clusterContext, policy);
  return { newestFirst: candidateBackups({ policy, capabilities }, { ...NEWEST, target }, known), known };
}

/** What is restored for one dump of each database. */
export async function plannedDumps(
  { clusterContext, run, operationId, policy }: SourceRequest,
  of: Of,
  chosen: readonly Backup[],
  known: readonly Backup[],
): Promise<PlannedRestore> {
  const engine = engineFor(clusterContext, policy);
  const context = await readContext(clusterContext, policy, run, `${operationId}/plan-${policy.name}`);
  const sizes = await Promise.all(
    chosen.map(async (backup) => engine.logical?.databaseBytes(context, backup, of.only) ?? 0),
  );
  return {
    ...of,
    policy: policy.name,
    engine: policy.engine,
    method: 'databases',
    backups: await Promise.all(chosen.map((backup) => described(engine, context, backup, known))),
    lastCommitAt: chosen.map(({ startedAt }) => startedAt).toSorted()[0] ?? null,
    neededBytes: sizes.reduce((sum, bytes) => sum + bytes, 0),
    predicted: null,
  };
}

async function described(
  engine: Engine,
  context: ReadContext,
  backup: Backup,
  known: readonly Backup[],
): Promise<PlannedRestore['backups'][number]> {
  return {
    id: backup.id,
    database: backup.database ?? null,
    label: backup.label,
    sizeBytes: backup.sizeBytes,
    finishedAt: backup.finishedAt ?? backup.startedAt,
    content: contentDigest(await engine.bindBackup(context, backup, known)),
  };
}

/**
 * The newest backup and the place of the last commit: `latest` itself would move with what is archived meanwhile. Not its time, which an
 * older backup may lead to: engines round the end of a backup to a second.
 */
export async function ofLatest(
  source: Pick<PhysicalSource, 'outline'>,
  timeline?: TimelineChoice,
): Promise<RecoveryOutline> {
  const latest = await source.outline({ kind: 'latest' }, timeline);
  const { lastCommitLsn: lsn, backups, reachableFrom } = latest;
  if (lsn === undefined) return { ...latest, target: { kind: 'end-of-backup' } };
  const newest = backups.map(({ id }) => id);
  try {
    return { ...latest, ...(await source.outline({ kind: 'lsn', lsn }, timeline, newest)), reachableFrom };
  } catch (error) {
    // Nothing was committed since the backup ended.
    if (!isRepriseError(error) || error.code !== 'target-before-backup') throw error;
    return { ...latest, target: { kind: 'end-of-backup' } };
  }
}

/** How a target is come to; for `latest` as {@link ofLatest}. */
export function outlineFor(
  source: Pick<PhysicalSource, 'outline'>,
  target: RecoveryTarget,
  timeline?: TimelineChoice,
): Promise<RecoveryOutline> {
  return target.kind === 'latest' ? ofLatest(source, timeline) : source.outline(target, timeline);
}
