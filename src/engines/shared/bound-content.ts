import { stat } from 'node:fs/promises';
import type { Backup, BoundContent } from '../../domain/backup/backup.js';
import { RepriseError } from '../../domain/errors.js';
import { forgetRestored } from './claim-directory.js';

/**
 * Refuses what is not bound: other bytes than those that were approved, and what no hash was approved of.
 * @throws RepriseError `backup-corrupt`; `plan-stale` where nothing of that name is bound
 */
export function requireBound(
  content: BoundContent,
  name: string,
  { label, found }: { readonly label: string; readonly found: string },
): void {
  const bound = Object.hasOwn(content, name) ? content[name] : undefined;
  if (bound === undefined)
    throw new RepriseError(
      'plan-stale',
      `nothing says which content the ${name} of backup ${label} has to have`,
      'make a new plan: reprise recover',
    );
  if (bound === found) return;
  throw new RepriseError(
    'backup-corrupt',
    `the ${name} of backup ${label} is not the one that was approved: it has SHA-256 ${found.slice(0, 12)} and not ${bound.slice(0, 12)}`,
    'find out who writes into the repository; then make a new plan: reprise recover',
  );
}

/** @throws RepriseError `backup-corrupt` where a backup is not as its record has it; what has no record is not compared */
export function requireRecorded({ id, label }: Backup, recorded: string | undefined, found: string): void {
  if (recorded === undefined || recorded === found) return;
  throw new RepriseError(
    'backup-corrupt',
    `${label} is damaged: its manifest differs from the recorded one`,
    'choose another backup with recover --to backup:ID',
    { damagedBackup: id, label },
  );
}

/** Files as they are on this host, so that it can be told whether they were written to, or replaced, since. */
export interface SeenFiles {
  /** @throws RepriseError `conflict` where one of them was changed: what was read of it is not what was compared */
  requireSame(): Promise<void>;
}

/** Remembers files before they are compared with their hashes: a tool reads them again, by their paths, after that. */
export async function seeFiles(paths: readonly string[]): Promise<SeenFiles> {
  const before = await Promise.all(paths.map(identityOf));
  return {
    requireSame: async () => {
      const now = await Promise.all(paths.map(identityOf));
      const changed = paths.find((_, index) => now[index] !== before[index]);
      if (changed === undefined) return;
      throw new RepriseError(
        'conflict',
        `${changed} was changed while it was restored: what was restored is not used`,
        'find out who writes into the repository, then: reprise continue',
      );
    },
  };
}

/** Files restored into a directory from others that were changed meanwhile are not taken for restored by a later attempt. */
export async function requireSameFor(dataDir: string, seen: SeenFiles): Promise<void> {
  try {
    await seen.requireSame();
  } catch (error) {
    await forgetRestored(dataDir);
    throw error;
  }
}

/** The time of the last change of an inode can be set by nobody, unlike that of its content. */
async function identityOf(path: string): Promise<string> {
  const found = await stat(path, { bigint: true }).catch(() => null);
  if (found === null) return 'gone';
  const { dev, ino, size, mtimeNs, ctimeNs } = found;
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
}
