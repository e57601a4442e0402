import { RepriseError } from '../domain/errors.js';

/**
 * Why a recovery ended the server, read from the end of its log; null where the log names none of the known reasons.
 * Messages: `xlogrecovery.c` of PostgreSQL 15, the same since 13.
 */
export function recoveryFailure(logTail: string): RepriseError | null {
  if (/recovery ended before configured recovery target was reached/.test(logTail)) {
    const last = /last completed transaction was at log time (.+)/.exec(logTail)?.[1]?.trim();
    const known = last === undefined ? '' : `; the last commit that could be replayed was at ${last}`;
    return failure('target-not-reached', `the WAL ends before the target${known}`, 'Choose an earlier target, or latest.', logTail);
  }
  if (/requested recovery stop point is before consistent recovery point/.test(logTail)) {
    return failure('target-before-backup', 'the target lies before the end of the backup', 'Choose a later target, or an older backup.', logTail);
  }
  if (/could not locate required checkpoint record|could not find redo location/.test(logTail)) {
    return failure('wal-gap', 'the WAL from which the recovery must begin cannot be had', 'See that the archive is readable: the start of the backup needs it.', logTail);
  }
  const shortage = /(?:FATAL|HINT):.*?(recovery aborted because of insufficient parameter settings|You can restart the server after making the necessary configuration changes)/.exec(logTail);
  if (shortage !== null) {
    return failure('service-failed', 'a setting is lower than it was on the source', 'Raise the setting that the log names, then start again.', logTail);
  }
  return null;
}

function failure(code: RepriseError['code'], message: string, hint: string, logTail: string): RepriseError {
  return new RepriseError(code, message, hint, { logTail });
}
