import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fetchSegment } from '../../../../src/engines/basebackup/wal/wal-archive.js';
import { fetchUndamaged, type WalArchive } from '../../../../src/postgres/wal/wal-archive.js';

const SEGMENT = '000000010000000000000001';
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'reprise-wal-'));
});
afterAll(() => rm(directory, { recursive: true }));

/** An archive of one segment, whose bytes come so. */
function archiveOf(read: () => Readable): WalArchive {
  const storage = { open: async () => read() } as never;
  const repository = { cluster: { name: 'mairie' }, policy: { name: 'base' }, storage };
  return {
    ...{ segments: [SEGMENT], timelines: [] },
    readHistory: async () => [],
    fetch: (segment, into) => fetchSegment(repository, segment, join(into, segment)),
  };
}

const failing = (code: string): Readable =>
  new Readable({
    read() {
      this.destroy(Object.assign(new Error(`${code}: it failed`), { code, syscall: 'write' }));
    },
  });

describe('W17: archived WAL that cannot be read now is not taken for damaged', () => {
  it.each([
    ['ENOSPC', 'disk-full'],
    ['EIO', 'storage-unreachable'],
    ['EACCES', 'privilege-missing'],
  ])('W17: %s is %s, and no gap of the WAL', async (errno, code) => {
    await expect(
      fetchUndamaged(
        archiveOf(() => failing(errno)),
        SEGMENT,
        directory,
      ),
    ).rejects.toMatchObject({ code });
  });

  it('W17: what is no gzip, or no whole segment, is damaged', async () => {
    for (const bytes of [Buffer.from('nothing'), gzipSync(Buffer.alloc(100))])
      expect(
        await fetchUndamaged(
          archiveOf(() => Readable.from([bytes])),
          SEGMENT,
          directory,
        ),
      ).toBe(false);
  });
});
