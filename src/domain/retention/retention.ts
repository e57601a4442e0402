import { type Backup, isCounted } from '../backup/backup.js';
import type { Orphans } from '../backup/previous-names.js';
import type { RetentionConfig } from '../config.js';
import { keepByRules, noRuleKeeps } from './retention-rules.js';
import { durationInWords } from '../text/text.js';

export interface RetentionInput {
  /** Backups of the policy as catalogue and engine agree on them (`reconcile`). */
  readonly backups: readonly Backup[];
  readonly retention: RetentionConfig;
  readonly now: Date;
  /** Milliseconds by which the clock that `now` was read from is ahead of Temporal's; null where nobody can tell. */
  readonly aheadMs?: number | null;
  /** Ids of backups that running work uses. */
  readonly pinned: ReadonlySet<string>;
  /** UTC ISO-8601 by id: until when the storage itself lets nobody remove them. */
  readonly locked?: ReadonlyMap<string, string>;
  /** Databases that failed in this run, or ids of such backups: all of theirs stay, as nothing is removed before its successor is there. */
  readonly failed?: readonly string[];
}

export interface RetentionPlan {
  readonly keep: readonly RetentionDecision[];
  /** In the order in which to remove them: dependants first, so that an interruption strands nothing. */
  readonly remove: readonly RetentionDecision[];
  /** Nothing may be removed at all, and why. */
  readonly refused?: Refused;
}
interface Refused {
  readonly reason: string;
  readonly hint: string;
}

/** Clocks of two hosts may differ by this much before one of them counts as wrong. */
const clockToleranceMs = 60_000;

/**
 * What rotation keeps and removes, with the reason for each backup. The rules are a union, as in
 * restic's `forget`: a backup stays if one of them keeps it. Databases of a logical policy are evaluated apart, each as if
 * it were alone. Times are compared in UTC.
 */
export function planRetention({
  backups,
  retention,
  now,
  aheadMs = null,
  pinned,
  locked = new Map(),
  failed = [],
}: RetentionInput): RetentionPlan {
  const newestFirst = [...backups].sort(byNewest);
  const jump = clockSkew(aheadMs) ?? clockJump(newestFirst, now);
  if (jump !== null) return nothingRemoved(newestFirst, jump, 'the run is refused');

  const reasons = new Map<string, string[]>();
  for (const group of groupsOf(newestFirst)) {
    judgeGroup(group, { retention, now, pinned, locked }, reasons);
    if (group.some(({ id, database }) => failed.includes(id) || (database !== undefined && failed.includes(database))))
      for (const { id } of group) reasons.set(id, [...(reasons.get(id) ?? []), 'the newest of its database failed']);
  }

  const doomed = newestFirst.filter(({ id }) => !reasons.has(id));
  if (doomed.length > retention.maxDeletions) {
    return nothingRemoved(newestFirst, tooMany(doomed.length, retention.maxDeletions), 'the run is refused', reasons);
  }
  return {
    keep: newestFirst
      .filter(({ id }) => reasons.has(id))
      .map(({ id }) => ({ id, reason: (reasons.get(id) ?? []).join(', ') })),
    remove: dependantsFirst(doomed).map((backup) => ({ id: backup.id, reason: whyRemoved(backup, retention) })),
  };
}

/** Adds the reasons to keep the backups of one group; a backup without any goes. */
function judgeGroup(
  group: readonly Backup[],
  { retention, now, pinned, locked }: Required<Pick<RetentionInput, 'retention' | 'now' | 'pinned' | 'locked'>>,
  reasons: Map<string, string[]>,
): void {
  const keep = (backup: Backup, reason: string) => {
    const given = reasons.get(backup.id);
    if (given === undefined) reasons.set(backup.id, [reason]);
    else if (!given.includes(reason)) given.push(reason);
  };

  for (const [backup, reason] of keepByRules(group, retention, now)) keep(backup, reason);
  for (const backup of group) {
    if (backup.status === 'running') keep(backup, 'still running');
    if (backup.status === 'missing') keep(backup, 'its files are missing: nothing to remove');
    if (isHeld(backup, now)) keep(backup, backup.heldUntil === 'infinity' ? 'held' : `held until ${backup.heldUntil}`);
    if (pinned.has(backup.id)) keep(backup, 'in use');
    const until = locked.get(backup.id);
    if (until !== undefined) keep(backup, `object lock until ${until}`);
  }
  keepProven(group, retention, keep);
  keepChains(group, reasons, keep);
}

type Keep = (backup: Backup, reason: string) => void;

/** What may yet be the last good backup: the proven ones that must stay, and what is newer than every proof. */
function keepProven(group: readonly Backup[], retention: RetentionConfig, keep: Keep): void {
  const sound = new Set(group.filter(isGood).map(({ label }) => label));
  const proven = group.filter((backup) => isProven(backup, sound));
  const [newest] = proven;
  if (newest === undefined) {
    for (const backup of group) keep(backup, 'no backup is verified yet');
    return;
  }
  const best = proven.find(({ proven: proof }) => proof?.level === 'restored') ?? newest;
  keep(best, best.proven?.level === 'restored' ? 'newest restore-tested backup' : 'newest verified backup');
  const { minProven } = retention;
  for (const backup of proven.slice(0, minProven))
    keep(backup, minProven === 1 ? 'newest verified' : `one of the ${minProven} newest verified`);
  if (proven.length < minProven) {
    for (const backup of group) keep(backup, `fewer than ${minProven} are verified yet`);
  }
  for (const backup of group) {
    if (isGood(backup) && timeOf(backup) > timeOf(newest)) keep(backup, 'newer than the newest verified');
  }
}

/** Everything that a kept backup needs stays, through the whole chain. */
function keepChains(group: readonly Backup[], reasons: ReadonlyMap<string, unknown>, keep: Keep): void {
  const byLabel = new Map(group.map((backup) => [backup.label, backup]));
  // A missing one keeps nothing alive: it cannot be restored, whatever stays.
  const open = group.filter(({ id, status }) => reasons.has(id) && status !== 'missing');
  for (let next = open.shift(); next !== undefined; next = open.shift()) {
    for (const label of next.dependsOn ?? []) {
      const needed = byLabel.get(label);
      if (needed === undefined) continue;
      if (!reasons.has(needed.id)) open.push(needed);
      keep(needed, `needed by ${next.label}`);
    }
  }
}

/** A proof counts while the backup, and all it needs, is there and sound. */
function isProven(backup: Backup, soundLabels: ReadonlySet<string>): boolean {
  return isCounted(backup) && isGood(backup) && (backup.dependsOn ?? []).every((label) => soundLabels.has(label));
}

function isGood({ status }: Backup): boolean {
  return status === 'complete' || status === 'cold';
}

function isHeld({ heldUntil }: Backup, now: Date): boolean {
  return heldUntil !== null && (heldUntil === 'infinity' || Date.parse(heldUntil) > now.getTime());
}

/** Milliseconds at which it ended; where no end is known, at which it began. */
function timeOf(backup: Backup): number {
  return Date.parse(backup.finishedAt ?? backup.startedAt);
}

function byNewest(left: Backup, right: Backup): number {
  return timeOf(right) - timeOf(left) || (left.id < right.id ? -1 : 1);
}

function groupsOf(backups: readonly Backup[]): Backup[][] {
  const groups = new Map<string, Backup[]>();
  for (const backup of backups) {
    const key = JSON.stringify([backup.cluster, backup.policy, backup.database ?? null]);
    const group = groups.get(key);
    if (group) group.push(backup);
    else groups.set(key, [backup]);
  }
  return [...groups.values()];
}

/** Newest first, except that a backup comes after everything that needs it, even where a clock had gone backwards. */
function dependantsFirst(doomed: readonly Backup[]): Backup[] {
  const ordered: Backup[] = [];
  const seen = new Set<Backup>();
  const place = (backup: Backup) => {
    if (seen.has(backup)) return;
    seen.add(backup);
    for (const other of doomed) {
      if (other.policy === backup.policy && other.cluster === backup.cluster && other.dependsOn?.includes(backup.label))
        place(other);
    }
    ordered.push(backup);
  };
  doomed.forEach(place);
  return ordered;
}

function whyRemoved(backup: Backup, retention: RetentionConfig): string {
  const why = noRuleKeeps(retention);
  return isGood(backup) ? why : `${backup.status}, ${why}`;
}

function clockSkew(aheadMs: number | null): Refused | null {
  if (aheadMs === null || Math.abs(aheadMs) <= clockToleranceMs) return null;
  return {
    reason: `the clock of this host is ${durationInWords(Math.abs(aheadMs) / 1000)} ${aheadMs > 0 ? 'ahead of' : 'behind'} Temporal's: one of them is wrong`,
    hint: 'set the clocks right, on this host and on that of Temporal, then rotate again',
  };
}

function clockJump(newestFirst: readonly Backup[], now: Date): Refused | null {
  const latest = Math.max(
    0,
    ...newestFirst.flatMap(({ startedAt, finishedAt }) => [startedAt, finishedAt ?? startedAt].map(Date.parse)),
  );
  const ahead = latest - now.getTime();
  if (ahead <= clockToleranceMs) return null;
  return {
    reason: `the newest backup is dated ${durationInWords(ahead / 1000)} in the future: a clock is wrong`,
    hint: 'set the clock of this host (and of the one that made the backup) right, then rotate again',
  };
}

function tooMany(count: number, most: number): Refused {
  return {
    reason: `${count} backups would be removed, more than the ${most} allowed in one run`,
    hint: 'see reprise rotate --dry-run; if all of them should be removed, raise retention.max_deletions for one run',
  };
}

/** Everything stays; what had its own reason keeps it. */
function nothingRemoved(
  backups: readonly Backup[],
  refused: Refused,
  otherwise: string,
  reasons: ReadonlyMap<string, readonly string[]> = new Map(),
): RetentionPlan {
  return {
    keep: backups.map(({ id }) => ({ id, reason: reasons.get(id)?.join(', ') ?? otherwise })),
    remove: [],
    refused,
  };
}

/** A backup and why it stays or goes. */
export interface RetentionDecision {
  readonly id: string;
  readonly reason: string;
}
export interface RotateOutput {
  readonly keep: readonly RetentionDecision[];
  readonly remove: readonly RetentionDecision[];
  readonly removed: readonly string[];
  /** So many more are kept than `keep` names; absent where it names all. */
  readonly keptMore?: number;
  readonly refused?: { readonly reason: string; readonly hint: string };
  /** Backups of the cluster that no policy of the configuration has: no rotation removes them. Absent where there are none. */
  readonly orphans?: readonly Orphans[];
}

/** So many kept backups are named in the result of a workflow, which is a payload of 2 MB at the most. */
const KEPT_NAMED = 1000;

/** The same with the newest of the kept backups only, where they are many: a dry run, which is read in pages, names all. */
export function boundedOutput(output: RotateOutput): RotateOutput {
  const keptMore = output.keep.length - KEPT_NAMED;
  return keptMore <= 0 ? output : { ...output, keep: output.keep.slice(0, KEPT_NAMED), keptMore };
}
