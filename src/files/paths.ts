import { access, lstat, readdir, stat } from 'node:fs/promises';

/** Code of a failed system call (`ENOENT`), by shape: `instanceof Error` fails for core errors inside jest. */
export function errnoOf(error: unknown): string | null {
  if (typeof error !== 'object' || error === null || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}

/** Whether a system call failed with one of these codes. */
export function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return codes.includes(errnoOf(error) ?? '');
}

/** Whether a path leads to something; false also where it cannot be reached, and for a link to nothing. */
export async function pathExists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Whether a name is taken: a link to nothing counts too. */
export async function nameExists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

/** Whether it is a directory with nothing in it; false for a link to one. */
export async function isEmptyDirectory(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => null);
  return found?.isDirectory() === true && (await readdir(path)).length === 0;
}

/** Bytes of a file; null where there is none or it cannot be reached. */
export async function fileSize(path: string): Promise<number | null> {
  return stat(path).then(
    ({ size }) => size,
    () => null,
  );
}
