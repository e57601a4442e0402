import type { DrillRestored, PlannedRestore } from '../drill/drill.js';
import type { RecoveryOutcome } from '../backup/records.js';
import type { Plan, PredictedSeconds, RecoveryMethod } from './plan.js';
import { stepNames } from './recovery-step-names.js';

/** How long one restore took on a host: of a recovery, a drill or a restore test. */
export interface MeasuredRestore {
  /** Of the operation, and of the policy where it restored several. */
  readonly id: string;
  readonly engine: string;
  readonly method: RecoveryMethod;
  /** UTC ISO-8601. */
  readonly at: string;
  /** What was restored, as plans count it. */
  readonly sizeBytes: number;
  /** WAL between the backup and the target; null where it is not known. */
  readonly walBytes: number | null;
  readonly restoreSeconds: number;
  readonly replaySeconds: number;
  /** Of a recovery: plan, stopping, moving old data, checks, promotion, and the time between; null where there was none of it. */
  readonly otherSeconds: number | null;
}

/** Older ones say less of the disks and the network of today. */
const MOST_SAMPLES = 20;
/** Sizes closer than this tell nothing of what a restore takes whatever its size. */
const SPREAD = 1.5;
/** How far beyond the middle nine of ten cases may lie where a single restore was measured; it shrinks with the root of their number. */
const UNKNOWN_SHARE = 0.5;

const RESTORING: ReadonlySet<string> = new Set([stepNames.restoreFiles, stepNames.restoreBeside]);
const REPLAYING: ReadonlySet<string> = new Set([stepNames.replay, stepNames.startServer]);
/** After this step the server is checked and takes writes: what follows is no part of the RTO. */
const LAST: Readonly<Record<RecoveryMethod, string>> = {
  restart: stepNames.runChecks,
  'data-directory': stepNames.promote,
  databases: stepNames.swap,
};

/**
 * What a recovery that was carried out says of the next one. `walBytes`: as its plan had them.
 * @param wholeSeconds from its order until the server was checked and took writes, without waiting for people; absent: the steps alone
 *   are known
 */
export function measuredRecovery(
  { binding, observed }: Plan,
  { phases }: Pick<RecoveryOutcome, 'phases'>,
  { id, at, wholeSeconds = 0 }: { readonly id: string; readonly at: string; readonly wholeSeconds?: number },
): MeasuredRestore {
  const last = phases.findIndex(({ name }) => name === LAST[binding.method]);
  const counted = phases.slice(0, last === -1 ? phases.length : last + 1);
  const secondsOf = (wanted: (name: string) => boolean): number =>
    counted.reduce((sum, { name, seconds }) => sum + (wanted(name) ? seconds : 0), 0);
  const restoreSeconds = secondsOf((name) => RESTORING.has(name));
  const replaySeconds = secondsOf((name) => REPLAYING.has(name));
  const others = secondsOf((name) => !RESTORING.has(name) && !REPLAYING.has(name) && !name.startsWith('wait for'));
  return {
    ...{ id, at, engine: binding.engine, method: binding.method },
    sizeBytes: observed.sizeBytes,
    walBytes: observed.replayBytes ?? null,
    ...{ restoreSeconds, replaySeconds },
    // The plan is made, and made again after its approval, outside of the steps.
    otherSeconds: Math.max(others, wholeSeconds - restoreSeconds - replaySeconds),
  };
}

/** What a restore of a drill says of the next one. `id`: of the drill. */
export function measuredDrill(
  planned: PlannedRestore,
  { phases, rtoSeconds }: Pick<DrillRestored, 'phases' | 'rtoSeconds'>,
  { id, at }: { readonly id: string; readonly at: string },
): MeasuredRestore {
  const replaySeconds = phases.reduce(
    (sum, { name, seconds }) => sum + (/^(?:replay|start)/.test(name) ? seconds : 0),
    0,
  );
  return {
    ...{ id: `${id}/${planned.policy}`, at, engine: planned.engine, method: planned.method },
    ...{ ...sizeOf(planned), replaySeconds, otherSeconds: null },
    restoreSeconds: Math.max(0, rtoSeconds - replaySeconds),
  };
}

/** What a planned restore is measured by. */
export function sizeOf({ sizeBytes, walBytes, backups }: Pick<PlannedRestore, 'sizeBytes' | 'walBytes' | 'backups'>): {
  readonly sizeBytes: number;
  readonly walBytes: number | null;
} {
  return {
    sizeBytes: sizeBytes ?? backups.reduce((sum, backup) => sum + (backup.sizeBytes ?? 0), 0),
    walBytes: walBytes ?? null,
  };
}

/**
 * How long a restore will take, from what was measured on the host with the same engine: half of them take at most `p50`, nine of
 * ten at most `p90`. Null where nothing was measured: nothing is made up.
 *
 * Restore and replay are each a line, seconds = fixed + bytes × rate, through the median of the slopes between measured pairs
 * (Theil–Sen), which a single outlier does not move; where all sizes are alike, they grow with the size. So is the rest, which has checks
 * that read the data; where all sizes are alike, it is its median. `p90` comes from how far the measured restores were from what this
 * would have said of them, and from their number.
 */
export function predictSeconds(
  measured: readonly MeasuredRestore[],
  next: { readonly sizeBytes: number; readonly walBytes: number | null },
): PredictedSeconds | null {
  const samples = measured.toSorted((left, right) => (left.at < right.at ? -1 : 1)).slice(-MOST_SAMPLES);
  if (samples.length === 0) return null;
  const restore = lineThrough(samples.map((one) => [one.sizeBytes, one.restoreSeconds]));
  const withWal = samples.flatMap((one): Point[] => (one.walBytes === null ? [] : [[one.walBytes, one.replaySeconds]]));
  const replay = withWal.length > 0 ? lineThrough(withWal) : null;
  const usualReplay = median(samples.map(({ replaySeconds }) => replaySeconds));
  const others = samples.flatMap((one): Point[] =>
    one.otherSeconds === null ? [] : [[one.sizeBytes, one.otherSeconds]],
  );
  const work = (sizeBytes: number, walBytes: number | null): number =>
    restore(sizeBytes) + (replay === null || walBytes === null ? usualReplay : replay(walBytes));
  const ratios = samples.map((one) => {
    const said = work(one.sizeBytes, one.walBytes);
    return said > 0 ? (one.restoreSeconds + one.replaySeconds) / said : 1;
  });
  const p50 = work(next.sizeBytes, next.walBytes) + restOf(others)(next.sizeBytes);
  const beyond = Math.max(quantile(ratios, 0.9), 1 + UNKNOWN_SHARE / Math.sqrt(samples.length));
  return { p50: rounded(p50), p90: rounded(p50 * beyond), samples: samples.length };
}

type Point = readonly [bytes: number, seconds: number];

/** What is neither restore nor replay: mostly the same whatever the size. */
function restOf(points: readonly Point[]): (bytes: number) => number {
  const usual = points.length > 0 ? median(points.map(([, seconds]) => seconds)) : 0;
  return slopedLine(points) ?? (() => usual);
}

function lineThrough(points: readonly Point[]): (bytes: number) => number {
  const line = slopedLine(points);
  if (line !== null) return line;
  const sized = points.filter(([bytes]) => bytes > 0);
  if (sized.length === 0) return () => median(points.map(([, seconds]) => seconds));
  const rate = median(sized.map(([bytes, seconds]) => seconds / bytes));
  return (bytes) => rate * bytes;
}

/** Null where the sizes are too much alike, or what is measured has no part that is the same for all. */
function slopedLine(points: readonly Point[]): ((bytes: number) => number) | null {
  const slopes = points.flatMap(([bytes, seconds], index) =>
    points
      .slice(index + 1)
      .filter(([other]) => Math.max(bytes, other) >= SPREAD * Math.min(bytes, other) && bytes !== other)
      .map(([other, otherSeconds]) => (otherSeconds - seconds) / (other - bytes)),
  );
  if (slopes.length === 0) return null;
  const rate = Math.max(0, median(slopes));
  const fixed = median(points.map(([bytes, seconds]) => seconds - rate * bytes));
  return fixed >= 0 ? (bytes) => fixed + rate * bytes : null;
}

const median = (numbers: readonly number[]): number => quantile(numbers, 0.5);

/** Between the two nearest, in proportion. */
function quantile(numbers: readonly number[], share: number): number {
  const sorted = numbers.toSorted((left, right) => left - right);
  const at = (sorted.length - 1) * share;
  const [low, high] = [sorted[Math.floor(at)] ?? 0, sorted[Math.ceil(at)] ?? 0];
  return low + (high - low) * (at - Math.floor(at));
}

/** To a tenth of a second below ten, else to the second. */
const rounded = (seconds: number): number => (seconds < 10 ? Math.round(seconds * 10) / 10 : Math.round(seconds));
