/** What a worker and the uploader, a process of its own, say to one another. */
import { createHash } from 'node:crypto';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../../files/atomic-file.js';
import { makePrivateDirectory } from '../../files/directories.js';
import { isErrno } from '../../files/paths.js';
import { readJobs } from './job-store.js';
import type { RepositoryConfig } from '../../domain/config.js';
import type { ErrorCode } from '../../domain/errors.js';

/** Exit code of the uploader where the storage failed (`EX_TEMPFAIL`); else it is that of the program. */
export const STORAGE_FAILED = 75;

/** Given as a file that only the worker's user can read. */
export interface UploadOrder {
  readonly operationId: string;
  readonly repository: RepositoryConfig;
  /** Of the host, where the repositories that it knows stand. */
  readonly stateDir: string;
  readonly key: string;
  /** The program whose output is uploaded. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Variables of the worker's environment that the secrets of the repository refer to. */
  readonly variables: Readonly<Record<string, string>>;
}

/** A line the uploader prints, JSON; the last one is its outcome. */
export interface UploadLine {
  readonly bytes?: number;
  /** The storage does not answer and is tried again. */
  readonly waiting?: string;
  readonly written?: {
    readonly sizeBytes: number;
    readonly sha256: string;
    readonly etag?: string;
    readonly parts?: number;
  };
  readonly failed?: { readonly code: ErrorCode; readonly message: string; readonly hint?: string };
}

/** An attempt that has just written its order may not have started the uploader yet. */
const JUST_WRITTEN_MS = 600_000;

const ordersDirectory = (stateDir: string): string => join(stateDir, 'uploads');

/** Writes what the uploader of a step needs into a file of the worker's user alone; the same file in every attempt. */
export async function writeUploadOrder(stateDir: string, step: string, order: UploadOrder): Promise<string> {
  const directory = ordersDirectory(stateDir);
  await makePrivateDirectory(directory);
  const file = join(
    directory,
    `${createHash('sha256').update(`${order.operationId} ${step}`).digest('hex').slice(0, 24)}.json`,
  );
  await writeFileAtomic(file, JSON.stringify(order));
  return file;
}

/**
 * Removes the orders that no attempt came back to remove: they hold secrets. One whose operation has a job that
 * runs stays, as that job may have to be started again from it; each attempt writes its own anew.
 */
export async function forgetUploadOrders(stateDir: string): Promise<void> {
  const directory = ordersDirectory(stateDir);
  const names = await readdir(directory).catch((error: unknown) => {
    // Those of a worker that was root are not this one's to read.
    if (isErrno(error, 'ENOENT', 'EACCES')) return [];
    throw error;
  });
  for (const file of names.map((name) => join(directory, name))) {
    const found = await stat(file).catch(() => null);
    if (found === null || Date.now() - found.mtimeMs < JUST_WRITTEN_MS) continue;
    const operationId = await operationOf(file);
    const jobs = operationId === undefined ? [] : await readJobs(stateDir, operationId);
    if (!jobs.some(({ state }) => state === 'running')) await rm(file, { force: true });
  }
}

/** Undefined for what is no whole order. */
async function operationOf(file: string): Promise<string | undefined> {
  try {
    return (JSON.parse(await readFile(file, 'utf8')) as Partial<UploadOrder>).operationId;
  } catch {
    return undefined;
  }
}
