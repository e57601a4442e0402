import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, mkdir, open, readFile, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { RepriseError } from '../domain/errors.js';

/**
 * Small JSON files of this host, 0600 in directories 0700, whole or not there, on disk when a call returns. They are
 * the ledger of what was approved and done, so a failure to write is never passed over.
 */
export async function createJsonOnce(path: string, value: unknown): Promise<boolean> {
  return withIncomplete(path, value, async (incomplete) => {
    try {
      // A hard link fails where there is a file, which makes this the exclusive creation of a whole file.
      await link(incomplete, path);
      return true;
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false;
      throw error;
    }
  });
}

export async function replaceJson(path: string, value: unknown): Promise<void> {
  await withIncomplete(path, value, (incomplete) => rename(incomplete, path));
}

/** The content of a file; null where there is none. Throws `internal` for one that is damaged. */
export async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw failure(path, error);
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new RepriseError('internal', `the state file ${path} is damaged`, 'move it away, and make the plan again');
  }
}

export async function jsonFilesIn(directory: string): Promise<string[]> {
  try {
    const names = await readdir(directory);
    return names.filter((name) => name.endsWith('.json')).sort();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw failure(directory, error);
  }
}

async function withIncomplete<T>(path: string, value: unknown, place: (incomplete: string) => Promise<T>): Promise<T> {
  const directory = dirname(path);
  const incomplete = join(directory, `.incomplete-${randomBytes(9).toString('hex')}`);
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await writeAndSync(incomplete, `${JSON.stringify(value, null, 1)}\n`);
    const result = await place(incomplete);
    await syncDirectory(directory);
    return result;
  } catch (error) {
    throw failure(path, error);
  } finally {
    await rm(incomplete, { force: true });
  }
}

async function writeAndSync(path: string, text: string): Promise<void> {
  const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function codeOf(error: unknown): string | null {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : null;
}

function failure(path: string, error: unknown): RepriseError {
  if (error instanceof RepriseError) return error;
  const code = codeOf(error) ?? String(error);
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new RepriseError(
    full ? 'storage-full' : 'storage-unreachable',
    `the state file ${path} cannot be used (${code})`,
    full
      ? 'free space in the state directory'
      : 'make the state directory belong to the user the worker runs as, mode 0700',
  );
}
