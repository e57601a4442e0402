import type { BackupType } from '../../domain/backup/backup.js';
import type { StanzaBackup } from './info.js';

export interface TypeRequest {
  /** Complete backups of the stanza's present cluster. */
  readonly backups: readonly Pick<StanzaBackup, 'type' | 'startedAt' | 'error'>[];
  readonly fullEverySeconds: number;
  readonly diffEverySeconds?: number;
  /** The operation's start, UTC ISO-8601: the same in every attempt, and what began later does not count. */
  readonly startedAt: string;
}

/**
 * A schedule's run begins some seconds later each time: a full backup of a week ago less five seconds is a week old.
 * An hour at the most, for the longest ones.
 */
const slackSeconds = (everySeconds: number): number => Math.min(3_600, everySeconds / 24);

/**
 * Which type an automatic backup has: full where there is none or the last is too old; else diff where one is
 * asked for by age and due, or there is a damaged backup in the chain; else incr.
 */
export function chooseType(request: TypeRequest): BackupType {
  const now = Date.parse(request.startedAt);
  const earlier = request.backups.filter(({ startedAt }) => Date.parse(startedAt) < now);
  const full = newest(earlier, ['full']);
  if (full === undefined || full.error || isDue(full, request.fullEverySeconds, now)) return 'full';
  // A damaged backup is nobody's base: a diff rests on the full alone.
  if (earlier.some((backup) => backup.error && backup.startedAt > full.startedAt)) return 'diff';
  if (request.diffEverySeconds === undefined) return 'incr';
  const base = newest(earlier, ['full', 'diff']) ?? full;
  return isDue(base, request.diffEverySeconds, now) ? 'diff' : 'incr';
}

type Candidate = TypeRequest['backups'][number];

function newest(backups: readonly Candidate[], types: readonly BackupType[]): Candidate | undefined {
  return backups
    .filter(({ type }) => types.includes(type))
    .toSorted((a, b) => a.startedAt.localeCompare(b.startedAt))
    .at(-1);
}

function isDue(last: Candidate, everySeconds: number, now: number): boolean {
  return (now - Date.parse(last.startedAt)) / 1000 >= everySeconds - slackSeconds(everySeconds);
}
