import type { Dirent } from 'node:fs';
import { open, readdir, realpath } from 'node:fs/promises';
import { join, relative } from 'node:path';
import pMap from 'p-map';
import { isErrno } from '../../files/paths.js';
import { workMoved } from '../../files/work-signs.js';
import { hasItsChecksum, isDamagedPage, PAGE_BYTES, PAGES_IN_FILE, segmentOf } from './page-checksum.js';

/** Files of relations, by the names that PostgreSQL gives them; temporary ones have a `t` before theirs. */
const RELATION_FILE = /^\d+(?:_(?:fsm|vm|init))?(?:\.\d+)?$/;
const PAGES_AT_ONCE = 64;
/** A fresh cluster has a thousand files of a page or two: one after the other, each waits for its opening, reading and closing. */
const FILES_AT_ONCE = 4;

export interface PagesRead {
  readonly files: number;
  readonly pages: number;
  /** Of pages with a wrong checksum, and of files that are no whole pages or cannot be read: each in words, paths relative. */
  readonly problems: readonly string[];
}

/**
 * Reads every page of every relation in a data directory and its tablespaces, and compares its checksum. A server may run on it: a page
 * that it writes just now is read again.
 */
export async function readPages(dataDir: string, signal: AbortSignal): Promise<PagesRead> {
  let [files, pages] = [0, 0];
  const problems: string[] = [];
  const buffers: Buffer[] = [];
  for (const root of await rootsOf(dataDir, problems)) {
    const all = await pMap(
      await relationFiles(root),
      async (path) => {
        const buffer = buffers.pop() ?? Buffer.alloc(PAGES_AT_ONCE * PAGE_BYTES);
        const read = await readFileOfRelation(path, buffer, signal);
        buffers.push(buffer);
        return {
          pages: read.pages,
          problems: read.problems.map((problem) => `${relative(dataDir, path)}: ${problem}`),
        };
      },
      { concurrency: FILES_AT_ONCE, signal },
    );
    files += all.length;
    for (const read of all) {
      pages += read.pages;
      problems.push(...read.problems);
    }
  }
  return { files, pages, problems };
}

/** Directories that hold relations; a link of a tablespace that leads nowhere is a problem. */
async function rootsOf(dataDir: string, problems: string[]): Promise<readonly string[]> {
  const links = await readdir(join(dataDir, 'pg_tblspc'));
  const tablespaces: string[] = [];
  for (const link of links) {
    const place = await realpath(join(dataDir, 'pg_tblspc', link)).catch(() => null);
    if (place === null) problems.push(`pg_tblspc/${link}: the directory of this tablespace is missing`);
    else tablespaces.push(place);
  }
  return [join(dataDir, 'global'), join(dataDir, 'base'), ...tablespaces];
}

async function relationFiles(root: string): Promise<readonly string[]> {
  const entries: Dirent[] = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && RELATION_FILE.test(entry.name) && !entry.parentPath.includes('pgsql_tmp'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

async function readFileOfRelation(
  path: string,
  buffer: Buffer,
  signal: AbortSignal,
): Promise<{ readonly pages: number; readonly problems: readonly string[] }> {
  const file = await open(path, 'r').catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return null;
    throw error;
  });
  if (file === null) return { pages: 0, problems: [] };
  const bad: number[] = [];
  try {
    for (let index = 0; ;) {
      signal.throwIfAborted();
      const { bytesRead } = await file.read(buffer, 0, buffer.length, index * PAGE_BYTES);
      const whole = Math.floor(bytesRead / PAGE_BYTES);
      for (let at = 0; at < whole; at++) {
        const page = buffer.subarray(at * PAGE_BYTES, (at + 1) * PAGE_BYTES);
        const number = segmentOf(path) * PAGES_IN_FILE + index + at;
        if (!hasItsChecksum(page, number) && (await isDamagedPage(path, index + at))) bad.push(index + at);
      }
      workMoved();
      index += whole;
      if (bytesRead < buffer.length) return { pages: index, problems: problemsOf(bad, bytesRead % PAGE_BYTES) };
    }
  } finally {
    await file.close();
  }
}

function problemsOf(bad: readonly number[], rest: number): readonly string[] {
  return [
    ...(bad.length > 0 ? [`${bad.length} pages with a wrong checksum, the first is page ${bad[0]}`] : []),
    ...(rest > 0 ? [`it ends in the middle of a page`] : []),
  ];
}
