import { RepriseError } from '../errors.js';

/** Of 32 bits. */
export const LAST_TIMELINE = 0xffff_ffff;

/**
 * Which history of a cluster a recovery follows; `--timeline` of the command line. `latest`: the newest timeline there is;
 * `backup`: the one on which the backup was made, and no other.
 */
export type TimelineChoice = number | 'latest' | 'backup';

/**
 * Reads what a person typed after `--timeline`.
 * @throws RepriseError `target-invalid`
 */
export function parseTimelineChoice(text: string): TimelineChoice {
  const typed = text.trim();
  if (typed === 'latest' || typed === 'backup') return typed;
  const number = /^\d{1,10}$/.test(typed) ? Number(typed) : 0;
  if (number >= 1 && number <= LAST_TIMELINE) return number;
  throw new RepriseError(
    'target-invalid',
    `'${text}' is not a timeline`,
    'Write latest, backup, or the number of a timeline, e.g. 2 for WAL files whose names begin with 00000002.',
  );
}
