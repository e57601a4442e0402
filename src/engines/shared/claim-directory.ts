import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, readFile, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { RepriseError } from '../../domain/errors.js';
import { writeFileAtomic } from '../../files/atomic-file.js';
import { giveTo } from '../../files/directories.js';
import { isErrno } from '../../files/paths.js';
import { refuseSharedPath } from '../../files/trusted-paths.js';
import type { EngineContext } from '../engine.js';

/**
 * Makes a directory to restore into this operation's own, or sees that it is, so that an attempt may go on in it or clear
 * it. The claim is in the state directory, because a restore may remove every file that is not of the backup, and names
 * the directory's inode: another one that took its place is not ours.
 * @throws RepriseError `path-refused` for a directory that is neither empty nor this operation's own, or that others may
 *   replace
 */
export async function claimDirectory(context: EngineContext, directory: string, overOld = false): Promise<void> {
  await refuseSharedPath(directory, { owner: context.user, sticky: true });
  await makeDirectory(context, directory);
  const claimFile = await claimPath(context, directory);
  // All of it by the directory that is open now, whatever is put in its place meanwhile.
  const opened = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const { dev, ino } = await opened.stat();
    const mine = JSON.stringify({ directory, operationId: context.operationId, dev, ino });
    if ((await readFile(claimFile, 'utf8').catch(() => '')) === mine) return;
    if (!overOld && (await readdir(`/proc/self/fd/${opened.fd}`)).length > 0) {
      throw new RepriseError(
        'path-refused',
        `${directory} is not empty, and no earlier attempt of this operation began to fill it`,
        'name an empty directory, or move its contents away; Reprise never restores over files it did not write',
      );
    }
    await opened.chmod(0o700);
    if (context.user !== null && process.getuid?.() === 0) await opened.chown(context.user.uid, context.user.gid);
    await writeFileAtomic(claimFile, mine, null);
  } finally {
    await opened.close();
  }
}

/** Whether a restored data directory is there no more, told by the file that every tool writes last. */
export async function isRestoredDirectoryGone(dataDir: string): Promise<boolean> {
  return stat(join(dataDir, 'global', 'pg_control')).then(
    () => false,
    (error: unknown) => {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return true;
      throw error;
    },
  );
}

/** Without its control file a directory counts as not restored, and no server starts in it. */
export async function forgetRestored(dataDir: string): Promise<void> {
  await rm(join(dataDir, 'global', 'pg_control'), { force: true });
}

async function makeDirectory(context: EngineContext, directory: string): Promise<void> {
  try {
    await mkdir(directory, { mode: 0o700 });
    await giveTo(directory, context.user);
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return;
    if (!isErrno(error, 'ENOENT')) throw error;
    throw new RepriseError(
      'path-refused',
      `there is no directory ${dirname(directory)} to restore into`,
      'create it, owned by the user of the data directory',
    );
  }
}

async function claimPath(context: EngineContext, directory: string): Promise<string> {
  const claims = join(context.host.stateDir, 'restoring');
  await mkdir(claims, { recursive: true, mode: 0o700 });
  return join(claims, `${createHash('sha256').update(directory).digest('hex').slice(0, 32)}.json`);
}
