import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../files/atomic-file.js';
import { makePrivateDirectory } from '../files/directories.js';
import { sha256Hex } from './digest.js';

/** Rows of people are kept no longer than somebody needs to look at them. */
const ROWS_KEPT_MS = 7 * 24 * 3_600_000;
/** Hashes alone: they save time, and are made again where they are gone. */
const TREES_KEPT_MS = 30 * 24 * 3_600_000;

const rowsIn = (stateDir: string): string => join(stateDir, 'compared');
const treesIn = (stateDir: string): string => join(stateDir, 'trees');

/** Until when rows of a comparison that ends now are kept, UTC ISO-8601. */
export const keptUntil = (now: Date): string => new Date(now.getTime() + ROWS_KEPT_MS).toISOString();

interface KeptRows {
  readonly operationId: string;
  readonly until: string;
}

/** Keeps rows of people, in a file that its owner alone can read; returns its path. Repeated, it is written anew. */
export async function keepComparedRows(stateDir: string, rows: KeptRows): Promise<string> {
  await makePrivateDirectory(rowsIn(stateDir));
  const path = join(rowsIn(stateDir), `${sha256Hex(rows.operationId).slice(0, 24)}.json`);
  await writeFileAtomic(path, `${JSON.stringify(rows)}\n`);
  return path;
}

/** The hash tree of a table as it was, by what it was made of; null where there is none. */
export async function readTree(stateDir: string, of: string): Promise<Buffer | null> {
  return readFile(treePath(stateDir, of)).catch(() => null);
}

export async function keepTree(stateDir: string, of: string, bytes: Buffer): Promise<void> {
  await makePrivateDirectory(treesIn(stateDir));
  await writeFileAtomic(treePath(stateDir, of), bytes);
}

const treePath = (stateDir: string, of: string): string => join(treesIn(stateDir), sha256Hex(of));

/** Removes what is older than it may become. */
export async function removeOldComparisons(stateDir: string, now: Date): Promise<void> {
  await removeOlder(rowsIn(stateDir), now.getTime() - ROWS_KEPT_MS);
  await removeOlder(treesIn(stateDir), now.getTime() - TREES_KEPT_MS);
}

async function removeOlder(directory: string, before: number): Promise<void> {
  for (const name of await readdir(directory).catch(() => [])) {
    const path = join(directory, name);
    const found = await stat(path).catch(() => null);
    if (found !== null && found.mtimeMs < before) await rm(path, { force: true });
  }
}
