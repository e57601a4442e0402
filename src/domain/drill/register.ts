import { durationInWords } from '../text/text.js';
import type { DrillOutcome, RegisterEntry } from './drill.js';

const DAY_MS = 86_400_000;

/** Days in which a failed or overdue drill has to be followed by one that passes. */
const REGISTER_DUE_DAYS = 30;

/** A drill that is due is looked for from a day before: somebody may have run it by hand. */
const EARLY_MS = DAY_MS;

/** Beside the time for its sign-off, what a drill may take before it is overdue. */
const TAKES_MS = DAY_MS;

/** When the work that an entry asks for has to be done, UTC ISO-8601. */
export const dueAfter = (openedAt: string): string =>
  new Date(Date.parse(openedAt) + REGISTER_DUE_DAYS * DAY_MS).toISOString();

/**
 * The entry that a drill opens; null for one that passed, and for one that somebody cancelled: where that leaves the drill that was due
 * undone, it is overdue. `policies`: what it was to restore.
 */
export function entryOf(
  outcome: Pick<DrillOutcome, 'cluster' | 'drillId' | 'verdict' | 'reason' | 'finishedAt'>,
  { owner, policies, cancelled }: { owner: string | null; policies: readonly string[]; cancelled: boolean },
): RegisterEntry | null {
  const { cluster, drillId, verdict, reason, finishedAt } = outcome;
  if (verdict === 'pass' || (verdict === 'incomplete' && cancelled)) return null;
  return {
    id: `drill-failed-${drillId}`,
    cluster,
    what: 'drill-failed',
    text: `drill ${drillId} ${verdict === 'fail' ? 'failed' : 'came to no verdict'}: ${reason ?? 'no reason is known'}`,
    owner,
    openedAt: finishedAt,
    dueAt: dueAfter(finishedAt),
    drillId,
    ...(policies.length > 0 ? { policies } : {}),
    closedBy: null,
    closedAt: null,
  };
}

/** Open entries that a drill closes: it passed, ended later, and restored what the entry is about. */
export function closedBy(
  { drillId, verdict, finishedAt, restores }: Pick<DrillOutcome, 'drillId' | 'verdict' | 'finishedAt' | 'restores'>,
  entries: readonly RegisterEntry[],
): readonly RegisterEntry[] {
  if (verdict !== 'pass') return [];
  const restored = new Set(restores.map(({ policy }) => policy));
  return entries
    .filter(
      (entry) =>
        entry.closedBy === null &&
        Date.parse(entry.openedAt) <= Date.parse(finishedAt) &&
        (entry.policies ?? []).every((policy) => restored.has(policy)),
    )
    .map((entry) => ({ ...entry, closedBy: drillId, closedAt: finishedAt }));
}

/** When a drill that is due counts as overdue, ms since the epoch. */
function overdueFrom(dueAt: string, signOffSeconds = 0): number {
  return Date.parse(dueAt) + signOffSeconds * 1000 + TAKES_MS;
}

/**
 * The entry of a drill that was due and did not come to a verdict in time; null where one did, or where there is still time. A cluster
 * whose records begin after that day had no drill due then.
 */
export function overdueEntry(
  { cluster, dueAt, signOffSeconds, owner }: OverdueDrill,
  drills: readonly Pick<DrillOutcome, 'verdict' | 'startedAt'>[],
  firstRecordAt: string | undefined,
  now: string,
): RegisterEntry | null {
  const due = Date.parse(dueAt);
  if (Date.parse(now) < overdueFrom(dueAt, signOffSeconds)) return null;
  if (firstRecordAt === undefined || Date.parse(firstRecordAt) > due) return null;
  const took = drills.some(
    ({ verdict, startedAt }) => verdict !== 'incomplete' && Date.parse(startedAt) >= due - EARLY_MS,
  );
  if (took) return null;
  const late = durationInWords((Date.parse(now) - due) / 1000);
  return {
    id: `drill-overdue-${dueAt.slice(0, 10)}`,
    cluster,
    what: 'drill-overdue',
    text: `the drill that was due at ${dueAt.slice(0, 16)}Z came to no verdict: it is ${late} late`,
    owner,
    openedAt: now,
    dueAt: dueAfter(now),
    drillId: null,
    closedBy: null,
    closedAt: null,
  };
}

export interface OverdueDrill {
  readonly cluster: string;
  /** When it was due, UTC ISO-8601. */
  readonly dueAt: string;
  /** How long people have to sign it off. */
  readonly signOffSeconds?: number | undefined;
  readonly owner: string | null;
}
