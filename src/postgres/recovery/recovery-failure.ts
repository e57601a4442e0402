import { RepriseError } from '../../domain/errors.js';

/** A line of a log, or of a program that it starts, for which there was no room; a restore_command in Go writes it in small letters. */
const NO_SPACE = /^.*(?:No space left on device|Disk quota exceeded|could not write init file).*$/im;

/** The disk is full, as far as a message or the end of a log says so; null where neither does. */
export function noSpace(text: string): RepriseError | null {
  const line = NO_SPACE.exec(text)?.[0]?.trim();
  return line === undefined ? null : diskFull(line, text);
}

/** @param why what says so, one line */
export function diskFull(why: string, logTail: string): RepriseError {
  return failure(
    'disk-full',
    `the disk became full while WAL was replayed: ${why}`,
    'free space on the file systems of the data directory and of its pg_wal (reprise kept list shows old data), then: reprise continue',
    logTail,
  );
}

/**
 * Why a recovery ended the server, read from the end of its log; null where the log names none of the known reasons.
 * Messages: `xlogrecovery.c` of PostgreSQL 15, the same since 13.
 */
export function recoveryFailure(logTail: string): RepriseError | null {
  // First: what could not be written ends the WAL too soon.
  const full = noSpace(logTail);
  if (full !== null) return full;
  if (/recovery ended before configured recovery target was reached/.test(logTail)) {
    const last = /last completed transaction was at log time (.+)/.exec(logTail)?.[1]?.trim();
    const known = last === undefined ? '' : `; the last commit that could be replayed was at ${last}`;
    return failure(
      'target-not-reached',
      `the WAL ends before the target${known}`,
      'Choose an earlier target, or latest.',
      logTail,
    );
  }
  if (/requested recovery stop point is before consistent recovery point/.test(logTail)) {
    return failure(
      'target-before-backup',
      'the target is before the end of the backup',
      'Choose a later target, or an older backup.',
      logTail,
    );
  }
  if (/could not locate required checkpoint record|could not find redo location/.test(logTail)) {
    return failure(
      'wal-gap',
      'the WAL from which the recovery must begin is missing',
      'See that the archive is readable: the start of the backup needs it.',
      logTail,
    );
  }
  return shortage(logTail);
}

/**
 * A setting was raised on the source after the backup: a hot standby then pauses as if it were at its target, or ends.
 * `details.raise` holds the settings to recover with.
 */
export function shortage(logTail: string): RepriseError | null {
  if (!/because of insufficient parameter settings/.test(logTail)) return null;
  const found = [
    ...logTail.matchAll(/(max_\w+) = (\d+) is a lower setting than on the primary server, where its value was (\d+)/g),
  ];
  const raise = Object.fromEntries(found.map(([, name = '', , value = '']) => [name, value]));
  const words = found.map(([, name = '', own = '', value = '']) => `${name} is ${own} and was ${value}`).join(', ');
  return new RepriseError(
    'service-failed',
    `the server has a lower setting than its source had: ${words}`,
    'Recover with the value it had: the source was changed after the backup.',
    { raise, logTail },
  );
}

function failure(code: RepriseError['code'], message: string, hint: string, logTail: string): RepriseError {
  return new RepriseError(code, message, hint, { logTail });
}
