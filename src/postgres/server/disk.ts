import { realpath, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { OsUser } from '../../process/jobs/jobs.js';
import { runProgram } from '../../process/exec/run-program.js';

/** A million files on a slow disk. */
const DU_TIMEOUT_MS = 900_000;
/** A figure that a plan can do without is not waited for longer. */
const QUICK_DU_MS = 60_000;

/** Bytes free to an ordinary user where the path is, or would be (its nearest ancestor that exists). */
export async function freeBytes(path: string): Promise<number> {
  const place = await nearestExisting(path);
  const { bavail, bsize } = await statfs(place);
  return bavail * bsize;
}

/** The path itself where it exists, else its nearest ancestor that does; without symbolic links. */
export async function nearestExisting(path: string): Promise<string> {
  for (let place = path; ; place = dirname(place)) {
    const found = await realpath(place).catch(() => null);
    if (found !== null || place === dirname(place)) return found ?? place;
  }
}

/** Bytes that a directory takes on its disk, without what its links point to; what cannot be read is not counted. */
export async function usedBytes(
  directory: string,
  user: OsUser | null,
  timeoutMs: number = DU_TIMEOUT_MS,
): Promise<number> {
  const real = await realpath(directory).catch(() => null);
  if (real === null) return 0;
  const { stdout } = await runProgram(['du', '--summarize', '--block-size=1', real], {
    user,
    acceptCodes: [0, 1],
    timeoutMs,
  });
  return Number.parseInt(stdout, 10) || 0;
}

/** The same where it is known within a minute; else null. */
export async function quicklyUsedBytes(directory: string, user: OsUser | null): Promise<number | null> {
  return usedBytes(directory, user, QUICK_DU_MS).catch(() => null);
}

/** Whether it is a directory that this user may write in; null: the user of this process. */
export async function isWritableDirectory(path: string, user: OsUser | null): Promise<boolean> {
  const { exitCode } = await runProgram(['test', '-d', path, '-a', '-w', path, '-a', '-x', path], {
    user,
    acceptCodes: [0, 1],
  });
  return exitCode === 0;
}

/** Whether both are, or would be, on one file system. */
export async function onSameFileSystem(a: string, b: string): Promise<boolean> {
  return (await stat(await nearestExisting(a))).dev === (await stat(await nearestExisting(b))).dev;
}
