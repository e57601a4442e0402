import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { isErrno } from '../../files/paths.js';
import { isDamagedPage } from '../../postgres/server/page-checksum.js';
import { LONGEST_NAME, MOST_FILES } from '../shared/page-errors.js';

/** More pages than this are not looked at again: a disk with so many is damaged. */
const MOST_LOOKED_AT = 1_000;

/**
 * Pages of the cluster that `backup-push` found damaged, as its warnings name them: `base/5/16388 page 0, 7`. WAL-G reads
 * a page once, and one that PostgreSQL was writing meanwhile looks damaged to it: such a page is whole in the WAL of the
 * backup, and on disk. Only what still is damaged on disk counts.
 * @param logs files with what WAL-G printed to stderr
 * @param dataDir directory that was backed up
 */
export async function damagedPagesOf(logs: readonly string[], dataDir: string): Promise<readonly string[]> {
  const pages = new Map<string, number[]>();
  let looked = 0;
  for (const log of logs)
    for await (const { file, page } of namedIn(log, dataDir)) {
      const known = pages.get(file);
      if (known?.includes(page) === true) continue;
      if ((known === undefined && pages.size >= MOST_FILES) || ++looked > MOST_LOOKED_AT) break;
      if (await isStillDamaged(join(dataDir, file), page)) pages.set(file, [...(known ?? []), page]);
    }
  return [...pages].map(([file, found]) =>
    `${file} page ${found.toSorted((a, b) => a - b).join(', ')}`.slice(0, LONGEST_NAME),
  );
}

async function* namedIn(log: string, dataDir: string): AsyncIterable<{ file: string; page: number }> {
  try {
    for await (const line of createInterface({ input: createReadStream(log, 'utf8') })) {
      const [, path, page] = /Corruption found in ([^[\]]{1,4096})\/\[(\d{1,10})\]/.exec(line) ?? [];
      const file = path === undefined ? undefined : below(dataDir, path);
      if (file !== undefined) yield { file, page: Number(page) };
    }
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}

/** What cannot be read a second time stays as WAL-G has it. */
async function isStillDamaged(path: string, page: number): Promise<boolean> {
  return isDamagedPage(path, page).catch(() => true);
}

/** Versions of WAL-G name a file by its whole path, or from the data directory on. */
function below(dataDir: string, path: string): string | undefined {
  const file = path.startsWith(dataDir) ? path.slice(dataDir.length) : path;
  const relative = file.replace(/^\/+/, '');
  return /^(?:base|global|pg_tblspc)\/[\w./-]+$/.test(relative) && !relative.includes('..') ? relative : undefined;
}
