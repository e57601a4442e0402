import { createHash } from 'node:crypto';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import type { ReadContext } from '../../../../src/engines/engine.js';
import { wholeFile } from '../../../../src/engines/logical/repository/local-copy.js';
import { operationMark } from '../../../../src/engines/shared/policy-folder.js';
import { tempDir } from '../../../helpers/temp.js';

const KEY = 'mairie/dump/db.dump';
const content = Buffer.from('PGDMP and all that follows it');
const recorded = { sizeBytes: content.length, sha256: createHash('sha256').update(content).digest('hex') };

/** A host with an empty scratch directory, and a repository that gives what `from` gives. */
async function site(from: (byte: number) => AsyncIterable<Buffer> | Iterable<Buffer>) {
  const directory = await tempDir('fetched');
  const opened: number[] = [];
  const storage = {
    capabilities: { localPath: false },
    stat: async () => ({ key: KEY, sizeBytes: content.length, modifiedAt: '' }),
    open: async (_key: string, byte = 0) => {
      opened.push(byte);
      return Readable.from(from(byte), { objectMode: false });
    },
  };
  const host = { stateDir: join(directory, 'state'), scratchDir: join(directory, 'scratch') };
  const context = {
    host,
    storage,
    user: null,
    operationId: 'op',
    signal: new AbortController().signal,
    report: () => undefined,
  } as unknown as ReadContext;
  const copy = join(host.scratchDir, 'fetched', operationMark('op'), 'db.dump');
  return { context, opened, copy, part: `${copy}.part` };
}

const rest = (byte: number): Buffer[] => [content.subarray(byte)];

describe('a dump fetched from a repository without paths', () => {
  it('goes on where an earlier attempt was cut off', async () => {
    const { context, opened, copy, part } = await site(rest);
    await mkdir(join(part, '..'), { recursive: true });
    await writeFile(part, content.subarray(0, 7));
    expect((await wholeFile(context, KEY, recorded)).path).toBe(copy);
    expect(await readFile(copy)).toEqual(content);
    expect(opened).toEqual([7]);
  });

  it('F2, F15: what a crash of the host made of a part is no damage of the backup: it is fetched once more from its beginning', async () => {
    const { context, opened, copy, part } = await site(rest);
    await mkdir(join(part, '..'), { recursive: true });
    await writeFile(part, Buffer.alloc(content.length - 3));
    await wholeFile(context, KEY, recorded);
    expect(await readFile(copy)).toEqual(content);
    expect(opened).toEqual([content.length - 3, 0]);
  });

  it('F15: other bytes in the repository are damage, and nothing of them stays', async () => {
    const { context, opened, part } = await site((byte) => [Buffer.alloc(content.length - byte, 'x')]);
    await mkdir(join(part, '..'), { recursive: true });
    await writeFile(part, content.subarray(0, 7));
    await expect(wholeFile(context, KEY, recorded)).rejects.toMatchObject({ code: 'backup-corrupt' });
    expect(opened).toEqual([7, 0]);
    await expect(stat(part)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('F10: a stream that ends too early says nothing of the backup, and the next attempt goes on', async () => {
    let answers = 0;
    const { context, opened, copy } = await site((byte) =>
      answers++ === 0 ? [content.subarray(byte, 5)] : rest(byte),
    );
    await expect(wholeFile(context, KEY, recorded)).rejects.toMatchObject({ code: 'storage-unreachable' });
    await wholeFile(context, KEY, recorded);
    expect(await readFile(copy)).toEqual(content);
    expect(opened).toEqual([0, 5]);
  });

  it('F1: an attempt taken for dead that still writes has its turn first; the next finds its copy', async () => {
    let go = (): void => undefined;
    const held = new Promise<void>((resolve) => (go = resolve));
    const { context, opened, copy, part } = await site(async function* (byte) {
      yield content.subarray(byte, byte + 9);
      await held;
      yield content.subarray(byte + 9);
    });
    const first = wholeFile(context, KEY, recorded);
    while ((await stat(part).catch(() => null))?.size !== 9) await sleep(20);
    const second = wholeFile(context, KEY, recorded);
    await sleep(100);
    go();
    await Promise.all([first, second]);
    expect(await readFile(copy)).toEqual(content);
    expect(opened).toEqual([0]);
  });
});
