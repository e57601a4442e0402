import type { Finding } from '../../domain/findings.js';
import { durationInWords } from '../../domain/text/text.js';
import type { ActivityRun } from '../activity-wrapper.js';

/** More than this between two clocks makes times in plans and reports wrong. */
const BEHIND_SECONDS = 5;
/** A question waits up to 30 s for a worker; only what is more than that is the clock. */
const AHEAD_SECONDS = 35;

/** This host's clock against that of the Temporal server, which schedules by its own. */
export function clockFindings(host: string, { aheadSeconds }: Pick<ActivityRun, 'aheadSeconds'>): readonly Finding[] {
  const check = `host/${host}/clock`;
  if (aheadSeconds >= -BEHIND_SECONDS && aheadSeconds <= AHEAD_SECONDS) {
    return [{ check, level: 'ok', message: `the clock of host ${host} agrees with Temporal's`, fix: null }];
  }
  const message = `the clock of host ${host} is ${durationInWords(Math.abs(aheadSeconds))} ${aheadSeconds < 0 ? 'behind' : 'ahead of'} Temporal's: schedules, expiries and reports are wrong by that`;
  return [{ check, level: 'problem', message, fix: 'have both follow the same time servers: apt-get install chrony' }];
}
