import type { Backup } from '../../domain/backup/backup.js';
import type { PolicyConfig } from '../../domain/config.js';
import type { PlannedRestore } from '../../domain/drill/drill.js';
import { fractionOf, instantIn, type Window } from '../../domain/drill/random-instant.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import type { DrillOrder } from '../../domain/operation/orders.js';
import { candidateBackups } from '../../domain/plan/choose-source.js';
import type { RecoveryOutline } from '../../domain/plan/recovery-observations.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import type { Engine, ReadContext } from '../../engines/engine.js';
import { sha256Hex } from '../../records/digest.js';
import type { ActivityRun } from '../activity-wrapper.js';
import { type ClusterContext, currentBackups, engineFor, forBackup, readContext } from '../cluster-context.js';
import { predictedRestore } from '../measured.js';
import { contentDigest } from './staging.js';

type At = NonNullable<DrillOrder['at']>;

/** What a drill restores: chosen one policy after the other. */
export interface Choosing {
  readonly clusterContext: ClusterContext;
  readonly run: ActivityRun;
  readonly operationId: string;
  readonly at: At;
  readonly seed: string;
}

/** For the choice of backups: a drill is no recovery into a place of the configuration. */
const NEWEST = { target: { kind: 'latest' as const }, into: 'drill', pause: true };
/** Instants that fall into a gap of the archive are passed over; more of them in a row are a fault of the archive. */
const MOST_DRAWS = 16;
/** Refusals of an instant that say nothing of others. */
const OF_AN_INSTANT: ReadonlySet<string> = new Set([
  ...['target-before-backup', 'target-after-wal', 'target-ambiguous', 'wal-gap'],
]);

/** Where a random choice falls, from 0 to 1: it follows from the seed and the number of the try alone. */
const drawn = (seed: string, draw: number): number => fractionOf(sha256Hex(`${seed}/${draw}`));

/**
 * The restores of a drill, in its order. Engines that keep WAL are restored to one place in it, the first one's, where the others
 * can reach that: then they can be compared.
 * @throws RepriseError `no-usable-backup`, `wal-gap`, what an engine says of damage
 */
export async function chooseRestores(
  choosing: Choosing,
  policies: readonly PolicyConfig[],
): Promise<readonly PlannedRestore[]> {
  const restores: PlannedRestore[] = [];
  for (const policy of policies) {
    const engine = engineFor(choosing.clusterContext, policy);
    const first = restores.find(({ method }) => method === 'data-directory');
    const planned =
      engine.capabilities.method === 'databases'
        ? await chooseDumps(choosing, policy, engine)
        : await choosePhysical(choosing, policy, engine, first);
    restores.push({ ...planned, predicted: await predictedRestore(choosing.clusterContext, planned) });
  }
  return restores;
}

/** One policy whose engine restores a data directory. */
class PhysicalChoice {
  constructor(
    private readonly engine: Engine,
    private readonly context: ReadContext,
    private readonly candidates: readonly Backup[],
  ) {}

  outline(target: RecoveryTarget): Promise<RecoveryOutline> {
    return this.engine.outlineRecovery(this.context, {
      ...{ target, candidates: this.candidates, oldDataDir: null, databases: [] },
    });
  }

  /** The place of the last commit: `latest` itself would move with what is archived meanwhile. */
  async ofLatest(): Promise<RecoveryOutline> {
    const latest = await this.outline({ kind: 'latest' });
    if (latest.lastCommitAt == null) return { ...latest, target: { kind: 'end-of-backup' } };
    try {
      return { ...latest, ...(await this.outline({ kind: 'time', time: latest.lastCommitAt })) };
    } catch (error) {
      // Nothing was committed since the backup ended.
      if (!isRepriseError(error) || error.code !== 'target-before-backup') throw error;
      return { ...latest, target: { kind: 'end-of-backup' } };
    }
  }

  /** Null where nothing was committed since the first backup, so that there is no other instant to choose. */
  async ofRandom(seed: string): Promise<{ readonly outline: RecoveryOutline; readonly window: Window } | null> {
    const latest = await this.outline({ kind: 'latest' }).catch(async (error: unknown) => {
      // Behind a gap there is no end, and before it there are instants.
      if (!isRepriseError(error) || error.code !== 'wal-gap') throw error;
      return this.outline({ kind: 'end-of-backup' });
    });
    const { reachableFrom, reachableTo } = latest;
    if (reachableFrom === null || reachableTo === null || Date.parse(reachableFrom) >= Date.parse(reachableTo))
      return null;
    const window = { from: reachableFrom, to: reachableTo };
    for (let draw = 0; ; draw++) {
      const time = instantIn(window, drawn(seed, draw));
      try {
        return { outline: await this.outline({ kind: 'time', time }), window };
      } catch (error) {
        if (draw + 1 >= MOST_DRAWS || !isRepriseError(error) || !OF_AN_INSTANT.has(error.code)) throw error;
      }
    }
  }
}

type Chosen = Pick<PlannedRestore, 'target' | 'chosen' | 'window'> & { readonly outline: RecoveryOutline };

async function choosePhysical(
  choosing: Choosing,
  policy: PolicyConfig,
  engine: Engine,
  first: PlannedRestore | undefined,
): Promise<PlannedRestore> {
  const { clusterContext, run, operationId } = choosing;
  const backups = await currentBackups(clusterContext, run, [policy]);
  const candidates = candidateBackups({ policy, capabilities: engine.capabilities }, NEWEST, backups);
  const [newest] = candidates;
  const own = newest === undefined ? clusterContext : forBackup(clusterContext, newest);
  const context = await readContext(own, policy, run, `${operationId}/plan-${policy.name}`);
  const choice = new PhysicalChoice(engine, context, candidates);
  const { outline, ...chosen } = (await sameAs(choice, first)) ?? (await asAsked(choice, choosing));
  return {
    ...chosen,
    policy: policy.name,
    engine: policy.engine,
    method: 'data-directory',
    backups: await Promise.all(outline.backups.map((backup) => described(engine, context, backup, backups))),
    recovery: { stopsAt: outline.target, timeline: outline.timeline },
    lastCommitAt: outline.lastCommitAt ?? null,
    neededBytes: outline.neededBytes,
    sizeBytes: outline.sizeBytes,
    ...(outline.replayBytes !== undefined && { walBytes: outline.replayBytes }),
    predicted: null,
  };
}

async function sameAs(choice: PhysicalChoice, first: PlannedRestore | undefined): Promise<Chosen | null> {
  const target = first?.recovery?.stopsAt;
  if (target?.kind !== 'lsn') return null;
  try {
    return { target, chosen: 'same-as', outline: await choice.outline(target) };
  } catch (error) {
    if (!isRepriseError(error) || !OF_AN_INSTANT.has(error.code)) throw error;
    return null;
  }
}

async function asAsked(choice: PhysicalChoice, { at, seed }: Choosing): Promise<Chosen> {
  if (at === 'random') {
    const random = await choice.ofRandom(seed);
    if (random !== null) {
      const { outline, window } = random;
      return { target: { kind: 'time', time: outline.stateAt ?? window.to }, chosen: 'random', window, outline };
    }
  }
  if (at === 'random' || at === 'latest')
    return { target: { kind: 'latest' }, chosen: 'latest', outline: await choice.ofLatest() };
  const target = { kind: 'time' as const, time: at };
  return { target, chosen: 'asked', outline: await choice.outline(target) };
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

/** One dump of each database: the newest, or the newest of an instant. */
async function chooseDumps(choosing: Choosing, policy: PolicyConfig, engine: Engine): Promise<PlannedRestore> {
  const { clusterContext, run, operationId, at, seed } = choosing;
  const { databases } = clusterContext.cluster;
  const known = await currentBackups(clusterContext, run, [policy]);
  const newestFirst = candidateBackups({ policy, capabilities: engine.capabilities }, NEWEST, known);
  const instants = newestFirst.map(({ startedAt }) => startedAt).toSorted();
  const window = { from: instants[0] ?? '', to: instants.at(-1) ?? '' };
  const instant = at === 'latest' ? null : at === 'random' ? instantIn(window, drawn(seed, 0)) : at;
  const chosen = databases.flatMap((database) => {
    const own = newestFirst.filter((backup) => backup.database === database);
    const before = own.find(({ startedAt }) => instant === null || Date.parse(startedAt) <= Date.parse(instant));
    return before ?? (at === 'random' ? own.at(-1) : undefined) ?? [];
  });
  if (chosen.length === 0)
    throw new RepriseError(
      'no-usable-backup',
      instant === null || at === 'random'
        ? `policy ${policy.name} has no complete dump of ${databases.join(', ')}`
        : `policy ${policy.name} has no dump that was begun before ${instant}`,
      `list the backups: reprise backup list ${policy.cluster}`,
    );
  const context = await readContext(clusterContext, policy, run, `${operationId}/plan-${policy.name}`);
  const sizes = await Promise.all(chosen.map(async (backup) => engine.logical?.databaseBytes(context, backup) ?? 0));
  return {
    policy: policy.name,
    engine: policy.engine,
    method: 'databases',
    backups: await Promise.all(chosen.map((backup) => described(engine, context, backup, known))),
    target: instant === null ? { kind: 'latest' } : { kind: 'time', time: instant },
    chosen: at === 'latest' || at === 'random' ? at : 'asked',
    ...(at === 'random' ? { window } : {}),
    lastCommitAt: chosen.map(({ startedAt }) => startedAt).toSorted()[0] ?? null,
    neededBytes: sizes.reduce((sum, bytes) => sum + bytes, 0),
    predicted: null,
  };
}
