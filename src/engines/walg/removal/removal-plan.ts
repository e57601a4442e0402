import { RepriseError } from '../../../domain/errors.js';
import type { Kept, StillNeeded } from '../../engine.js';
import { labelDifference } from '../../shared/removal.js';
import type { WalgBackup } from '../backup-list.js';
import { segmentOf } from '../backup-list.js';

type Known = Pick<WalgBackup, 'label' | 'type' | 'dependsOn' | 'permanent'>;

/** A backup goes with all that rests on it: without it they cannot be restored. Newest first. */
export function withDependants(backups: readonly Known[], labels: readonly string[]): string[] {
  return backups
    .filter(({ label, dependsOn }) => labels.includes(label) || dependsOn.some((base) => labels.includes(base)))
    .map(({ label }) => label)
    .sort(bySegment)
    .reverse();
}

/** What a dry run of `delete` names. */
export interface DryRun {
  readonly labels: readonly string[];
  readonly segments: readonly string[];
}

/** Reads the log of a dry run; 2.x and 3.x name the storage too, and below `delete target` no folder. */
export function parseDryRun(log: string): DryRun {
  const names = [...log.matchAll(/(?:will be deleted|marked for deletion): (\S+)/g)].map((match) => match[1] ?? '');
  const labels = names.flatMap(
    (name) => /(?:^|\/)(base_[0-9A-F]{24}(?:_D_[0-9A-F]{24})?)(?:\/|_backup_stop_sentinel)/.exec(name)?.[1] ?? [],
  );
  const segments = names.flatMap((name) => /^wal_\d+\/([0-9A-F]{24})/.exec(name)?.[1] ?? []);
  return { labels: [...new Set(labels)], segments: [...new Set(segments)].sort() };
}

/** Why a dry run does not remove what was planned, in one sentence; undefined where it does. */
export function differenceOf(
  dryRun: DryRun,
  planned: readonly string[],
  known: readonly string[],
  walKeptFrom: string | null,
): string | undefined {
  const difference = labelDifference(dryRun.labels, planned, known);
  if (difference !== undefined) return difference;
  const needed = walKeptFrom === null ? dryRun.segments : dryRun.segments.filter((segment) => segment >= walKeptFrom);
  return needed.length === 0
    ? undefined
    : `it would remove the WAL segment ${needed[0] ?? ''}, and WAL is needed from ${walKeptFrom ?? 'its beginning'} on`;
}

/** Why these may not go at this moment, in one sentence; undefined where they may. */
export function neededBy(
  needed: StillNeeded,
  labels: readonly string[],
  segments: readonly string[],
): string | undefined {
  const kept = labels.filter((label) => needed.labels.has(label));
  if (kept.length > 0) return `${kept.join(', ')} is held, or needed by a running operation`;
  const { walFrom } = needed;
  const wal = walFrom === null ? undefined : segments.find((segment) => segment >= walFrom);
  return wal === undefined
    ? undefined
    : `the WAL segment ${wal} would be removed, and a running recovery needs WAL from ${walFrom ?? ''} on`;
}

/** The first backup that stays and is not held: before it WAL-G deletes, and from it on WAL is kept. */
export function firstStaying<B extends Known>(backups: readonly B[], going: readonly string[]): B | undefined {
  return backups
    .filter(({ label, permanent }) => !permanent && !going.includes(label))
    .toSorted((a, b) => bySegment(a.label, b.label))[0];
}

/**
 * Of these, what cannot go as long as another one is needed: what is newer than it, and what that rests on. Null where nothing is in the way.
 */
export function behindNeeded(
  backups: readonly Known[],
  going: readonly string[],
  needed: ReadonlySet<string>,
): Kept | null {
  const boundary = firstStaying(backups, going);
  if (boundary === undefined || !needed.has(boundary.label)) return null;
  const newer = backups.filter(({ label }) => going.includes(label) && bySegment(label, boundary.label) > 0);
  const stay = new Set(newer.flatMap(({ label, dependsOn }) => [label, ...dependsOn]));
  const labels = going.filter((label) => stay.has(label));
  return labels.length === 0
    ? null
    : { labels, because: `this WAL-G deletes only what is older than ${boundary.label}, which is in use` };
}

/**
 * The backup to name to `delete before`, with which exactly these go: it takes all that is older, but what is permanent.
 * @throws RepriseError `rotation-refused` where others would go too
 */
export function boundaryOf(backups: readonly Known[], going: readonly string[]): string {
  const boundary = firstStaying(backups, going);
  if (boundary === undefined) {
    throw new RepriseError(
      'rotation-refused',
      'no backup would remain before which this WAL-G could delete',
      'take a new backup first: reprise backup run CLUSTER --type full',
    );
  }
  const newer = going.filter((label) => bySegment(label, boundary.label) > 0);
  if (newer.length > 0) {
    throw new RepriseError(
      'rotation-refused',
      `this WAL-G deletes only what is older than a backup that is kept: ${newer.join(', ')} cannot be removed while ${boundary.label} is kept`,
      `hold the backups to keep (reprise backup hold ID), remove ${boundary.label} too, or install WAL-G 1.1 or newer, which deletes one by one`,
    );
  }
  if (boundary.type !== 'full') {
    throw new RepriseError(
      'rotation-refused',
      `this WAL-G deletes nothing before ${boundary.label}, which is a delta`,
      'wait until the next full backup is the oldest that is kept',
    );
  }
  return boundary.label;
}

function bySegment(a: string, b: string): number {
  const [left, right] = [segmentOf(a), segmentOf(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}
