import type { Backup } from '../../domain/backup/backup.js';
import { RepriseError } from '../../domain/errors.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { formatTarget } from '../../domain/target/target.js';
import { compareLsn } from '../../domain/target/wal.js';
import { compareInstants } from '../../domain/target/instant.js';
import { consistentFrom } from '../../domain/target/consistent-from.js';
import type { NamedTarget } from './find-stop.js';
import type { OnlineBackup } from './wal-archive.js';

/** A backup as the catalogue knows it, and as the repository does. */
export interface Candidate<S extends OnlineBackup = OnlineBackup> {
  readonly backup: Backup;
  readonly stored: S;
}

/** A target whose backup can be chosen without a look into the WAL. */
export type PlainTarget = Exclude<RecoveryTarget, NamedTarget>;

/**
 * The newest backup that ended before the target: a recovery cannot stop before its backup is consistent.
 * @param candidates newest first, at least one
 * @throws RepriseError `target-before-backup` naming the earliest; `not-found`
 */
export function chooseBaseBackup<C extends Candidate>(target: PlainTarget, candidates: readonly C[]): C {
  switch (target.kind) {
    case 'latest':
    case 'end-of-backup':
      return candidates[0] as C;
    case 'backup':
      return named(candidates, target.id);
    case 'time':
      return before(
        candidates,
        target,
        ({ stored }) => compareInstants(consistentFrom(stored.finishedAt), target.time) <= 0,
      );
    case 'lsn':
      return before(candidates, target, ({ stored }) => compareLsn(stored.lsn.stop, target.lsn) <= 0);
  }
}

function named<C extends Candidate>(candidates: readonly C[], id: string): C {
  const found = candidates.find(({ backup }) => backup.id === id || backup.label === id);
  if (found !== undefined) return found;
  throw new RepriseError('not-found', `there is no restorable backup ${id}`, 'list them with: reprise backup list');
}

function before<C extends Candidate>(
  candidates: readonly C[],
  target: RecoveryTarget,
  ended: (candidate: C) => boolean,
): C {
  const found = candidates.find(ended);
  if (found !== undefined) return found;
  throw tooEarly(candidates, target);
}

function tooEarly(candidates: readonly Candidate[], target: RecoveryTarget): RepriseError {
  const { stored } = candidates.at(-1) as Candidate;
  return new RepriseError(
    'target-before-backup',
    `${formatTarget(target)} is before the end of the earliest backup, ${stored.label}, which ended at ${stored.finishedAt} (${stored.lsn.stop})`,
    `the earliest target is ${consistentFrom(stored.finishedAt)}, or backup:${stored.label}`,
  );
}
