import { readFile, readdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { z } from 'zod';
import { RepriseError } from '../domain/errors.js';
import { createFileAtomic, writeFileAtomic } from '../files/atomic-file.js';
import { makePrivateDirectory } from '../files/directories.js';
import { errnoOf } from '../files/paths.js';

/**
 * Small JSON files of this host, 0600 in directories 0700, on disk when a call returns. They are the ledger of what was
 * approved and done, so a failure to write is never ignored. True when this call created the file, false for one that
 * existed.
 */
export async function createJsonOnce(path: string, value: unknown): Promise<boolean> {
  return writing(path, () => createFileAtomic(path, jsonText(value)));
}

export async function replaceJson(path: string, value: unknown): Promise<void> {
  await writing(path, () => writeFileAtomic(path, jsonText(value)));
}

/** Removes a file that says what is so now, not what was done. */
export async function removeState(path: string): Promise<void> {
  await rm(path, { force: true }).catch((error: unknown) => {
    throw failure(path, error);
  });
}

/** The content of a file; null where there is none. Throws `internal` for one that is damaged. */
export async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw failure(path, error);
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw damagedStateFile(path);
  }
}

/**
 * A state file as its schema describes it; null where there is none.
 * @throws RepriseError `internal` for one that is damaged
 */
export async function readJsonAs<T>(path: string, schema: z.ZodObject): Promise<T | null> {
  const value = await readJson(path);
  if (value === null) return null;
  if (!schema.safeParse(value).success) throw damagedStateFile(path);
  return value as T;
}

export async function jsonFilesIn(directory: string): Promise<string[]> {
  try {
    const names = await readdir(directory);
    return names.filter((name) => name.endsWith('.json')).sort();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw failure(directory, error);
  }
}

export function damagedStateFile(path: string): RepriseError {
  return new RepriseError('internal', `the state file ${path} is damaged`, 'move it away, and make the plan again');
}

const jsonText = (value: unknown): string => `${JSON.stringify(value, null, 1)}\n`;

async function writing<T>(path: string, write: () => Promise<T>): Promise<T> {
  try {
    await makePrivateDirectory(dirname(path));
    return await write();
  } catch (error) {
    throw failure(path, error);
  }
}

function failure(path: string, error: unknown): RepriseError {
  if (error instanceof RepriseError) return error;
  const code = errnoOf(error) ?? String(error);
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new RepriseError(
    full ? 'storage-full' : 'storage-unreachable',
    `the state file ${path} cannot be used (${code})`,
    full
      ? 'free space in the state directory'
      : 'make the state directory belong to the user the worker runs as, mode 0700',
  );
}
