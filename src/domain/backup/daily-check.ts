import type { Finding } from '../findings.js';

/** What a daily check found, and people know of, until it is over. Times are UTC ISO-8601. */
export interface OpenMatter {
  /** Names it: the same from day to day. */
  readonly check: string;
  readonly level: 'warning' | 'problem';
  readonly message: string;
  readonly fix: string | null;
  /** When it was found first. */
  readonly since: string;
  /** When people were told of it last. */
  readonly toldAt: string;
}

/** What one daily check came to, in the light of the one before. */
export interface DailyCheck {
  /** All that is wrong now, problems first. */
  readonly open: readonly OpenMatter[];
  /** Names of those that people are told of by this check. */
  readonly told: readonly string[];
  /** What was wrong and is not any more: told once. */
  readonly over: readonly OpenMatter[];
}

/** A check that runs a little earlier than the day before still tells. */
const DAY_MS = 20 * 3_600_000;

/** Records and messages stay small: the rest is counted. */
const MOST_MATTERS = 100;

/**
 * Each matter is told when it is found, a problem once a day while it lasts, and both once when they are over. What lies below a
 * prefix in `unseen` could not be looked at: it is not over.
 */
export function dailyCheck(
  findings: readonly Finding[],
  before: readonly OpenMatter[],
  now: string,
  unseen: readonly string[] = [],
): DailyCheck {
  const known = new Map(before.map((matter) => [matter.check, matter]));
  const found = new Map<string, OpenMatter>();
  const told: string[] = [];
  for (const { check, level, message, fix } of worstFirst(findings)) {
    if (level === 'ok' || found.has(check)) continue;
    const old = known.get(check);
    const isNews =
      old === undefined ||
      (level === 'problem' && (old.level === 'warning' || Date.parse(now) - Date.parse(old.toldAt) >= DAY_MS));
    if (isNews) told.push(check);
    found.set(check, { check, level, message, fix, since: old?.since ?? now, toldAt: isNews ? now : old.toldAt });
  }
  const gone = before.filter(({ check }) => !found.has(check));
  const isUnseen = ({ check }: OpenMatter): boolean => unseen.some((prefix) => check.startsWith(prefix));
  return {
    open: [...found.values(), ...gone.filter(isUnseen)],
    told,
    over: gone.filter((matter) => !isUnseen(matter)),
  };
}

function worstFirst(findings: readonly Finding[]): readonly Finding[] {
  const sorted = (['problem', 'warning'] as const).flatMap((level) => findings.filter((one) => one.level === level));
  if (sorted.length <= MOST_MATTERS) return sorted;
  return [
    ...sorted.slice(0, MOST_MATTERS - 1),
    {
      check: 'more',
      level: 'problem',
      message: `${sorted.length - MOST_MATTERS + 1} further findings`,
      fix: 'reprise check',
    },
  ];
}
