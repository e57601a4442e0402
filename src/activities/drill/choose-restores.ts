import type { PolicyConfig } from '../../domain/config.js';
import type { PlannedRestore, UnrestorablePolicy } from '../../domain/drill/drill.js';
import { fractionOf, instantIn, type Window } from '../../domain/drill/random-instant.js';
import { isRepriseError, isRetryable, RepriseError } from '../../domain/errors.js';
import type { DrillOrder } from '../../domain/operation/orders.js';
import type { RecoveryOutline } from '../../domain/plan/recovery-observations.js';
import { sha256Hex } from '../../records/digest.js';
import type { ActivityRun } from '../activity-wrapper.js';
import { type ClusterContext, engineFor } from '../cluster-context.js';
import { predictedRestore } from '../measured.js';
import { damagedBackup } from '../recovery/damaged-backup.js';
import { dumpsOf, ofLatest, PhysicalSource, plannedDumps } from '../temporary/instance-source.js';

type At = NonNullable<DrillOrder['at']>;

/** What a drill restores: chosen one policy after the other. */
export interface Choosing {
  readonly clusterContext: ClusterContext;
  readonly run: ActivityRun;
  readonly operationId: string;
  readonly at: At;
  readonly seed: string;
  /** Told of each backup that is found damaged; absent in previews. */
  readonly damaged?: (backupId: string, reason: string) => Promise<void>;
}

export interface ChosenRestores {
  readonly restores: readonly PlannedRestore[];
  readonly unrestorable: readonly UnrestorablePolicy[];
}

/** Instants that fall into a gap of the archive are passed over; more of them in a row are a fault of the archive. */
const MOST_DRAWS = 16;
/** Refusals of an instant that say nothing of others. */
const OF_AN_INSTANT: ReadonlySet<string> = new Set([
  ...['target-before-backup', 'target-after-wal', 'target-ambiguous', 'wal-gap'],
]);

/** Where a random choice falls, from 0 to 1: it follows from the seed and the number of the try alone. */
const drawn = (seed: string, draw: number): number => fractionOf(sha256Hex(`${seed}/${draw}`));

/** What says that backups or their WAL are not whole: a drill that meets it has failed, and is not refused. */
const OF_BACKUPS: ReadonlySet<string> = new Set([
  ...['backup-corrupt', 'identity-mismatch', 'wal-gap', 'no-usable-backup'],
]);

/**
 * The restores of a drill, in its order. Engines that keep WAL are restored to one place in it, the first one's, where the others
 * can reach that: then they can be compared. A policy whose backups are not whole does not keep the others from being restored.
 * @throws RepriseError `no-usable-backup` where no policy has any; for an instant that somebody asked for, what keeps it from being reached
 */
export async function chooseRestores(choosing: Choosing, policies: readonly PolicyConfig[]): Promise<ChosenRestores> {
  const restores: PlannedRestore[] = [];
  const failures: { readonly policy: PolicyConfig; readonly error: RepriseError }[] = [];
  for (const policy of policies) {
    try {
      restores.push(await chooseOne(choosing, policy, restores));
    } catch (error) {
      if (!isOfBackups(error, choosing.at)) throw error;
      const id = damagedBackup(error);
      if (id !== null) await choosing.damaged?.(id, error.message);
      failures.push({ policy, error });
    }
  }
  const [first] = failures;
  // There is nothing yet that could be drilled.
  if (first !== undefined && restores.length === 0 && failures.every(({ error }) => error.code === 'no-usable-backup'))
    throw first.error;
  const unrestorable = failures.map(({ policy: { name, engine }, error: { code, message, hint } }) => ({
    ...{ policy: name, engine, code, reason: message },
    hint: hint ?? null,
  }));
  return { restores, unrestorable };
}

/** Of an instant that somebody asked for, only damage is a finding: that it cannot be reached is the answer. */
function isOfBackups(error: unknown, at: At): error is RepriseError {
  if (!isRepriseError(error) || isRetryable(error)) return false;
  return at === 'latest' || at === 'random' ? OF_BACKUPS.has(error.code) : damagedBackup(error) !== null;
}

async function chooseOne(
  choosing: Choosing,
  policy: PolicyConfig,
  before: readonly PlannedRestore[],
): Promise<PlannedRestore> {
  const engine = engineFor(choosing.clusterContext, policy);
  const first = before.find(({ method }) => method === 'data-directory');
  const planned =
    engine.capabilities.method === 'databases'
      ? await chooseDumps(choosing, policy)
      : await choosePhysical(choosing, policy, first);
  return { ...planned, predicted: await predictedRestore(choosing.clusterContext, planned) };
}

type Chosen = Pick<PlannedRestore, 'target' | 'chosen' | 'window'> & { readonly outline: RecoveryOutline };

async function choosePhysical(
  choosing: Choosing,
  policy: PolicyConfig,
  first: PlannedRestore | undefined,
): Promise<PlannedRestore> {
  const source = await PhysicalSource.open({ ...choosing, policy });
  const { outline, ...chosen } = (await sameAs(source, first)) ?? (await asAsked(source, choosing));
  return source.planned(chosen, outline);
}

async function sameAs(source: PhysicalSource, first: PlannedRestore | undefined): Promise<Chosen | null> {
  const target = first?.recovery?.stopsAt;
  if (target?.kind !== 'lsn') return null;
  try {
    return { target, chosen: 'same-as', outline: await source.outline(target) };
  } catch (error) {
    if (!isOfInstant(error)) throw error;
    return null;
  }
}

async function asAsked(source: PhysicalSource, { at, seed }: Choosing): Promise<Chosen> {
  if (at === 'random') {
    const random = await ofRandom(source, seed);
    if (random !== null) {
      const { outline, window } = random;
      return { target: { kind: 'time', time: outline.stateAt ?? window.to }, chosen: 'random', window, outline };
    }
  }
  if (at === 'random' || at === 'latest')
    return { target: { kind: 'latest' }, chosen: 'latest', outline: await ofLatest(source) };
  const target = { kind: 'time' as const, time: at };
  return { target, chosen: 'asked', outline: await source.outline(target) };
}

type Drawn = { readonly outline: RecoveryOutline; readonly window: Window };

/**
 * Of all that the backups and their WAL span; where that is a gap for the most part, of what follows the newest backup. Null where nothing
 * was committed since, so that there is no instant to choose.
 */
export async function ofRandom(source: Pick<PhysicalSource, 'outline'>, seed: string): Promise<Drawn | null> {
  const latest = await source.outline({ kind: 'latest' }).catch(async (error: unknown) => {
    // Behind a gap there is no end, and before it there are instants.
    if (!isRepriseError(error) || error.code !== 'wal-gap') throw error;
    return source.outline({ kind: 'end-of-backup' });
  });
  const { reachableFrom, reachableTo: to, backups } = latest;
  const whole = windowOf(reachableFrom, to);
  if (whole === null) return null;
  try {
    return await drawnFrom(source, seed, whole);
  } catch (error) {
    const end = backups[0]?.finishedAt ?? null;
    // It is the only backup.
    const isWhole = end === null || Date.parse(end) <= Date.parse(whole.from);
    if (!isOfInstant(error) || isWhole) throw error;
    const since = windowOf(end, to);
    return since === null ? null : drawnFrom(source, seed, since);
  }
}

function windowOf(from: string | null, to: string | null): Window | null {
  return from === null || to === null || Date.parse(from) >= Date.parse(to) ? null : { from, to };
}

const isOfInstant = (error: unknown): boolean => isRepriseError(error) && OF_AN_INSTANT.has(error.code);

async function drawnFrom(source: Pick<PhysicalSource, 'outline'>, seed: string, window: Window): Promise<Drawn> {
  for (let draw = 0; ; draw++) {
    const time = instantIn(window, drawn(seed, draw));
    try {
      return { outline: await source.outline({ kind: 'time', time }), window };
    } catch (error) {
      if (draw + 1 >= MOST_DRAWS || !isOfInstant(error)) throw error;
    }
  }
}

/** One dump of each database: the newest, or the newest of an instant. */
async function chooseDumps(choosing: Choosing, policy: PolicyConfig): Promise<PlannedRestore> {
  const { clusterContext, at, seed } = choosing;
  const { databases } = clusterContext.cluster;
  const { newestFirst, known } = await dumpsOf({ ...choosing, policy });
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
  const of: Pick<PlannedRestore, 'target' | 'chosen' | 'window'> = {
    target: instant === null ? { kind: 'latest' } : { kind: 'time', time: instant },
    chosen: at === 'latest' || at === 'random' ? at : 'asked',
    ...(at === 'random' ? { window } : {}),
  };
  return plannedDumps({ ...choosing, policy }, of, chosen, known);
}
