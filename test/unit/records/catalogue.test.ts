import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { openCatalogue, openCatalogueForReading } from '../../../src/records/catalogue.js';
import { openDirectory } from '../../../src/storage/directory/directory-storage.js';
import type { WritableStorage } from '../../../src/storage/storage.js';
import { tempDir } from '../../helpers/temp.js';
import { backupFacts, fact, numbered } from './samples.js';
import { cpuMs } from '../../helpers/cpu-time.js';

const here = dirname(fileURLToPath(import.meta.url));
const loader = new URL('../../helpers/typescript.mjs', import.meta.url).href;

async function repository() {
  const root = await tempDir('records');
  const reads: string[] = [];
  const storage = openDirectory({ path: root });
  const counted: WritableStorage = {
    ...storage,
    read: (key) => {
      reads.push(key);
      return storage.read(key);
    },
  };
  return { root, storage: counted, reads, catalogue: openCatalogue(counted, 'mairie') };
}

describe('catalogue', () => {
  it('numbers records from 1, keeps them owner-only, and a new reader finds them', async () => {
    const { root, storage, catalogue } = await repository();
    const first = await catalogue.append(fact({ kind: 'backup', backup: backupFacts('a') }));
    const second = await catalogue.append(fact({ kind: 'release', backupId: 'mairie:logical:a' }));
    expect([first.seq, second.seq]).toEqual([1, 2]);
    expect(await readdir(join(root, 'mairie', 'records'))).toEqual(['00000001.json', '00000002.json']);
    expect((await stat(join(root, 'mairie', 'records', '00000001.json'))).mode & 0o777).toBe(0o600);
    expect(await openCatalogueForReading(storage, 'mairie').records()).toEqual([first, second]);
    expect(JSON.parse(await readFile(join(root, 'mairie', 'records', '00000001.json'), 'utf8'))).toMatchObject({
      prev: null,
    });
  });

  it('F8: a fact appended again is found, by this handle and by another, and adds nothing', async () => {
    const { root, storage, catalogue } = await repository();
    const record = fact({ kind: 'unpin' });
    const first = await catalogue.append(record);
    expect(await catalogue.append({ ...record, at: '2027-01-01T00:00:00Z' })).toEqual(first);
    expect(await openCatalogue(storage, 'mairie').append(record)).toEqual(first);
    expect(await readdir(join(root, 'mairie', 'records'))).toHaveLength(1);
  });

  it('refuses to write what could not be read again', async () => {
    const { root, catalogue } = await repository();
    await expect(catalogue.append(fact({ kind: 'unpin' }, { at: 'yesterday' }))).rejects.toMatchObject({
      code: 'internal',
    });
    await expect(readdir(join(root, 'mairie'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('F40: the counts of thousands of tables become records of their own, none of which a lifecycle takes away, and are read as one backup', async () => {
    const { root, storage, catalogue } = await repository();
    const contents = Array.from({ length: 5000 }, (_, index) => ({
      database: 'mairie',
      schema: 'métier',
      table: `table "${index}"`,
      rows: index,
    }));
    const backup = fact({ kind: 'backup', backup: backupFacts('a', { contents }) });
    await catalogue.append(
      fact(
        { kind: 'contents', backupId: 'mairie:logical:a', contents: contents.slice(0, 3) },
        { operationId: 'one that never ended' },
      ),
    );
    await catalogue.append(backup);
    await catalogue.append(backup);
    const sizes = await Promise.all(
      (await readdir(join(root, 'mairie', 'records'))).map(
        async (name) => (await stat(join(root, 'mairie', 'records', name))).size,
      ),
    );
    expect(sizes.length).toBeGreaterThan(5);
    expect(Math.max(...sizes)).toBeLessThan(128 * 1024);
    const { backups } = await openCatalogueForReading(storage, 'mairie').state();
    expect(backups).toEqual([{ ...backupFacts('a', { contents }), status: 'complete', proven: null, heldUntil: null }]);

    await rm(join(root, 'mairie', 'records', '00000003.json'));
    expect((await openCatalogueForReading(storage, 'mairie').state()).backups).toMatchObject([{ label: 'a' }]);
    expect((await openCatalogueForReading(storage, 'mairie').state()).backups[0]).not.toHaveProperty('contents');
  });

  it('clusters do not see each other', async () => {
    const { storage, catalogue } = await repository();
    await catalogue.append(fact({ kind: 'unpin' }));
    expect(await openCatalogue(storage, 'mairie2').records()).toEqual([]);
    expect((await openCatalogue(storage, 'mairi').append(fact({ kind: 'unpin' }))).seq).toBe(1);
  });

  it('F29: processes that write at once lose no record and write no fact twice', async () => {
    const { root, catalogue } = await repository();
    const writers = ['one', 'two', 'three'];
    const count = 15;
    const processes = writers.map((name) =>
      spawn(process.execPath, ['--import', loader, join(here, 'writer.ts'), root, 'mairie', name, String(count)], {
        stdio: ['ignore', 'ignore', 'inherit'],
      }),
    );
    const exits = await Promise.all(processes.map((child) => once(child, 'exit')));
    expect(exits.map(([code]) => code as unknown)).toEqual([0, 0, 0]);
    const records = await catalogue.records();
    expect(records.map(({ seq }) => seq)).toEqual(
      Array.from({ length: (writers.length + 1) * count }, (_, index) => index + 1),
    );
    const ids = records.map(({ id }) => id).sort();
    const expected = [...writers, 'shared'].flatMap((name) =>
      Array.from({ length: count }, (_, index) => `${name}:${index}`),
    );
    expect(ids).toEqual(expected.sort());
    expect(await catalogue.problems()).toEqual([]);
  });

  it('many appends through one handle each get their own number', async () => {
    const { catalogue } = await repository();
    const made = await Promise.all(Array.from({ length: 12 }, () => catalogue.append(fact({ kind: 'unpin' }))));
    const numbers = Array.from({ length: 12 }, (_, index) => index + 1);
    expect(made.map(({ seq }) => seq).sort((left, right) => left - right)).toEqual(numbers);
    expect((await catalogue.records()).map(({ seq }) => seq)).toEqual(numbers);
  });

  it('gives up with conflict when every number is taken under its hands', async () => {
    const { storage } = await repository();
    const cursed = openCatalogue({ ...storage, createIfAbsent: () => Promise.resolve(false) }, 'mairie');
    await expect(cursed.append(fact({ kind: 'unpin' }))).rejects.toMatchObject({
      code: 'conflict',
      hint: expect.any(String),
    });
  });

  it('names damaged and missing records, reads all others, and goes on after them', async () => {
    const { root, storage, catalogue } = await repository();
    for (let index = 0; index < 8; index++)
      await catalogue.append(fact({ kind: 'backup', backup: backupFacts(`b${index}`) }));
    const file = (seq: number) => join(root, 'mairie', 'records', `0000000${seq}.json`);
    await writeFile(file(2), '{"seq":2,');
    await writeFile(file(3), '');
    await writeFile(file(4), JSON.stringify({ ...numbered(fact({ kind: 'unpin' }))[0], seq: 5 }));
    await writeFile(
      file(5),
      JSON.stringify({ ...numbered(fact({ kind: 'unpin' }))[0], seq: 5, kind: 'from-the-future' }),
    );
    await rm(file(6));
    await rm(file(7));
    await symlink('/etc/hostname', file(7));
    const again = openCatalogue(storage, 'mairie');
    expect((await again.records()).map(({ seq }) => seq)).toEqual([1, 8]);
    const problems = await again.problems();
    expect(problems.map(({ key }) => key)).toEqual(
      [2, 3, 4, 5, 6, 7].map((seq) => `mairie/records/0000000${seq}.json`),
    );
    expect(problems.map(({ reason }) => reason)).toEqual([
      'it is not JSON',
      'it is empty',
      'its number inside is 5',
      'its kind "from-the-future" is not known',
      'it is missing although later ones exist',
      'it is missing although later ones exist',
    ]);
    expect((await again.append(fact({ kind: 'unpin' }))).seq).toBe(9);
  });

  it('U5: a file with a number far away costs nothing, and is told as a range', async () => {
    const { root, storage, reads, catalogue } = await repository();
    await catalogue.append(fact({ kind: 'unpin' }));
    const directory = join(root, 'mairie', 'records');
    await writeFile(join(directory, '3000000000.json'), '{}\n');
    const strangers = [
      ...['9007199254740993.json', '99999999999999999999999.json', '5000000000000.json'],
      ...['000000001.json', '00000000.json'],
    ];
    for (const name of strangers) await writeFile(join(directory, name), '{}\n');
    const [began, before] = [cpuMs(), process.memoryUsage().heapUsed];
    const again = openCatalogue(storage, 'mairie');
    reads.length = 0;
    const problems = await again.problems();
    expect((await again.records()).map(({ seq }) => seq)).toEqual([1]);
    expect(reads.length).toBeLessThan(10);
    expect(cpuMs() - began).toBeLessThan(5_000);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(50e6);
    expect(problems.slice(5)).toEqual([
      {
        key: 'mairie/records/00000002.json',
        reason: 'it is missing although later ones exist, and so are all up to mairie/records/2999999999.json',
      },
      { key: 'mairie/records/3000000000.json', reason: 'its number inside is undefined' },
    ]);
    expect(problems.slice(0, 5).map(({ key }) => key.split('/').at(-1))).toEqual(strangers.toSorted());
    // Nothing is written into the gap: what was there may come back from a copy.
    expect((await again.append(fact({ kind: 'unpin' }))).seq).toBe(3_000_000_001);
  });

  it('F40: of 10,000 backups only new records are read again, in bounded memory', async () => {
    const { root, storage, reads } = await repository();
    const directory = join(root, 'mairie', 'records');
    await mkdir(directory, { recursive: true });
    const many = 10_000;
    for (let seq = 1; seq <= many; seq++) {
      const backup = backupFacts(`mairie_full_${seq}`, { startedAt: new Date(seq * 60_000).toISOString() });
      const [record] = numbered(fact({ kind: 'backup', backup }));
      await writeFile(join(directory, `${String(seq).padStart(8, '0')}.json`), JSON.stringify({ ...record, seq }));
    }
    const before = process.memoryUsage().heapUsed;
    const catalogue = openCatalogue(storage, 'mairie');
    expect((await catalogue.state()).backups).toHaveLength(many);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(200e6);
    expect(reads).toHaveLength(many + 1);

    reads.length = 0;
    await catalogue.append(fact({ kind: 'release', backupId: 'x' }));
    expect((await catalogue.state()).backups).toHaveLength(many);
    expect(reads.length).toBeLessThan(10);
    expect(new Set(reads)).toEqual(new Set(['mairie/records/00010001.json', 'mairie/records/00010002.json']));
  });

  it('K6: writes the incident document under the operation, replaces it, and reads it back', async () => {
    const { root, catalogue } = await repository();
    expect(await catalogue.incidentDocument('op-1')).toBeNull();
    expect(await catalogue.writeIncidentDocument('op-1', '# first')).toBe('mairie/incidents/op-1.md');
    await catalogue.writeIncidentDocument('op-1', '# second');
    expect(await catalogue.incidentDocument('op-1')).toBe('# second');
    expect((await stat(join(root, 'mairie', 'incidents', 'op-1.md'))).mode & 0o777).toBe(0o600);
    for (const id of ['../op', 'a/b', '', '.hidden', 'a\n']) {
      await expect(catalogue.writeIncidentDocument(id, 'x')).rejects.toMatchObject({ code: 'path-refused' });
    }
  });
});
