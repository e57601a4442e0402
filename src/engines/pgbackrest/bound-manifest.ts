import type { Backup, BoundContent } from '../../domain/backup/backup.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { runProgram } from '../../process/exec/run-program.js';
import type { BoundBackup, ReadContext } from '../engine.js';
import { requireBound, requireRecorded } from '../shared/bound-content.js';
import { inTermsOfTool } from '../shared/run-tool-job.js';
import { connectionEnv, optionsOf, pgbackrestArgv } from './command.js';
import { PGBACKREST } from './tool-rules.js';

/** Name under which it is bound. It names every file of the restored cluster with its checksum, wherever in the chain it is. */
const MANIFEST = 'manifest';
/** With a million files in the cluster a manifest has hundreds of megabytes: it goes through a pipe, and nowhere else. */
const HASH = 'set -o pipefail; "$@" | sha256sum';
const SLOW_MS = 600_000;

/**
 * SHA-256 (hex) of a backup's manifest, as it is in the repository now: no job, whose result a later attempt would find.
 * @throws RepriseError in pgBackRest's terms
 */
async function hashNow(context: ReadContext, label: string): Promise<string> {
  const path = `backup/${optionsOf(context).stanza}/${label}/backup.manifest`;
  const { stdout } = await runProgram(
    ['/bin/bash', '-c', HASH, 'hash', ...pgbackrestArgv(context, 'repo-get', ['--repo=1'], [path])],
    { user: context.user, env: connectionEnv(context), signal: context.signal, timeoutMs: SLOW_MS },
  ).catch((error: unknown) => {
    throw inTermsOfTool(PGBACKREST, 'pgbackrest repo-get', error);
  });
  const hash = /^[0-9a-f]{64}(?= )/.exec(stdout)?.[0];
  if (hash !== undefined) return hash;
  throw new RepriseError('tool-failed', 'sha256sum printed no hash', 'install coreutils');
}

/**
 * What is approved of a backup. A manifest that is in a cold class cannot be read before the thaw, which is part of the
 * plan: then the recorded one is bound.
 * @throws RepriseError `backup-corrupt` where it is not the recorded one
 */
export async function bindBackup(context: ReadContext, backup: Backup): Promise<BoundContent> {
  try {
    const found = await hashNow(context, backup.label);
    requireRecorded(backup, backup.sha256, found);
    return { [MANIFEST]: found };
  } catch (error) {
    if (!isRepriseError(error)) throw error;
    const said = String(error.details['stderrTail'] ?? error.message);
    if (/missing file/.test(said))
      throw new RepriseError(
        'backup-corrupt',
        `the manifest of backup ${backup.label} is missing`,
        'it cannot be restored: take a new backup',
        { damagedBackup: backup.id },
      );
    if (!said.includes('InvalidObjectState') || backup.sha256 === undefined) throw error;
    return { [MANIFEST]: backup.sha256 };
  }
}

/** @throws RepriseError where the manifest in the repository is not the one that is bound */
export async function requireBoundManifest(context: ReadContext, { backup, content }: BoundBackup): Promise<void> {
  const { label } = backup;
  requireBound(content, MANIFEST, { label, found: await hashNow(context, label) });
}
