import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, it } from '@jest/globals';
import { damagedPagesOf } from '../../../src/engines/walg/damaged-pages.js';
import { hasItsChecksum, isDamagedPage, PAGE_BYTES } from '../../../src/postgres/server/page-checksum.js';
import { readPages } from '../../../src/postgres/server/read-pages.js';
import { tempDir } from '../../helpers/temp.js';

/** A page as PostgreSQL 15 wrote it, compressed: the first one of a table with one row. */
const WRITTEN =
  'H4sIAAAAAAACA+3Iyw1AQAAFwEcctgQJiS1DH2rRibumFKAUEqEGh5nL+yRJ2dZmWJIx55Ta1fvKuc8BAAAAAAAAAP7haJ9s8ubdSv/tCzVySRUAIAAA';
const writtenPage = (): Buffer => gunzipSync(Buffer.from(WRITTEN, 'base64'));

it('W14: the checksum of a page is the one that PostgreSQL wrote; of another place or content it is not; a page never written has none', () => {
  const page = writtenPage();
  expect(hasItsChecksum(page, 0)).toBe(true);
  expect(hasItsChecksum(page, 1)).toBe(false);
  page.writeUInt8(page.readUInt8(8000) ^ 1, 8000);
  expect(hasItsChecksum(page, 0)).toBe(false);
  expect(hasItsChecksum(Buffer.alloc(8192), 0)).toBe(true);
});

it('W14: what WAL-G found damaged counts where it still is damaged on disk, and not where it was being written', async () => {
  const dataDir = await tempDir('pages');
  const base = join(dataDir, 'base', '5');
  await mkdir(base, { recursive: true });
  const whole = writtenPage();
  const damaged = Buffer.from(whole);
  damaged.write('changed', 4000);
  await writeFile(join(base, '16385'), Buffer.concat([damaged, Buffer.alloc(8192)]));
  await writeFile(join(base, '16386'), whole);
  expect(await isDamagedPage(join(base, '16385'), 7)).toBe(false);
  const log = join(dataDir, 'stderr');
  const line = (file: string, page: number): string =>
    `WARNING: 2026/11/21 02:15:00.1 Corruption found in ${file}/[${page}], expected f2e4, found ff7\n`;
  await writeFile(
    log,
    [
      'INFO: 2026/11/21 02:15:00.1 Walking ...\n',
      line(join(base, '16385'), 0),
      line(join(base, '16385'), 0),
      line('/base/5/16385', 1),
      line(join(base, '16386'), 0),
      line(join(base, 'dropped'), 0),
      line(join(dataDir, '../../etc/passwd'), 0),
    ].join(''),
  );
  expect(await damagedPagesOf([log, join(dataDir, 'none')], dataDir)).toEqual(['base/5/16385 page 0']);
});

it('W14: every page of several files at once is looked at, and what is wrong is named in the order of the files', async () => {
  const dataDir = await tempDir('pages');
  for (const folder of ['global', 'base/5', 'pg_tblspc']) await mkdir(join(dataDir, folder), { recursive: true });
  const unwritten = Buffer.alloc(PAGE_BYTES);
  const damaged = Buffer.alloc(PAGE_BYTES, 7);
  // Longer than what is read at once, with the damage in the second piece.
  const long = Buffer.concat([...Array.from({ length: 70 }, () => unwritten), damaged]);
  for (let file = 10; file < 40; file++) await writeFile(join(dataDir, `base/5/${file}`), unwritten);
  await writeFile(join(dataDir, 'base/5/12'), long);
  await writeFile(join(dataDir, 'base/5/31'), Buffer.concat([damaged, Buffer.alloc(100)]));
  await writeFile(join(dataDir, 'base/5/pg_filenode.map'), damaged);
  await writeFile(join(dataDir, 'global/1260'), damaged);
  expect(await readPages(dataDir, new AbortController().signal)).toEqual({
    ...{ files: 31, pages: 28 + 71 + 1 + 1 },
    problems: [
      'global/1260: 1 pages with a wrong checksum, the first is page 0',
      'base/5/12: 1 pages with a wrong checksum, the first is page 70',
      'base/5/31: 1 pages with a wrong checksum, the first is page 0',
      'base/5/31: it ends in the middle of a page',
    ],
  });
});
