import { describe, expect, it, test } from '@jest/globals';
import { hashOf, manifestText, readManifest } from '../../../src/engines/basebackup/repository/manifest.js';
import type { BaseManifest } from '../../../src/engines/basebackup/repository/manifest.js';
import { readManifest as readDumpManifest } from '../../../src/engines/logical/repository/manifest.js';
import type { ReadableStorage } from '../../../src/storage/storage.js';

const storageWith = (content: unknown): ReadableStorage =>
  ({
    read: () => Promise.resolve(Buffer.from(typeof content === 'string' ? content : JSON.stringify(content))),
  }) as unknown as ReadableStorage;

const print = { sizeBytes: 7, sha256: 'a'.repeat(64) };
const segment = '000000010000000000000003';
const server = { versionNum: 150018, systemIdentifier: '7' };
const instant = '2026-11-21T02:15:00.000Z';

const base = {
  schemaVersion: 1,
  engine: 'basebackup',
  type: 'full',
  label: 'full_20261121_021500',
  startedAt: instant,
  cluster: 'mairie',
  policy: 'nightly',
  operationId: 'op-1',
  finishedAt: instant,
  files: [{ name: 'base.tar.gz', ...print }],
  databaseBytes: 9,
  segmentBytes: 16_777_216,
  wal: { start: segment, stop: segment },
  lsn: { start: '0/3000028', stop: '0/3000100' },
  server,
  dependsOn: [],
  contents: [{ database: 'mairie', schema: 'public', table: 'a "b"\n', rows: 3 }],
};

const dump = {
  ...{
    server,
    toolMajor: 15,
    databaseSizeBytes: 9,
    comment: null,
    extensions: [],
    extensionTables: [],
    tablespaces: [],
  },
  properties: {
    ...{ owner: 'o', encoding: 'UTF8', collate: 'C', ctype: 'C', localeProvider: 'libc', icuLocale: null },
    ...{ collationVersion: null, connectionLimit: -1, tablespace: 'pg_default', settings: [] },
    grants: [{ grantee: null, privilege: 'CONNECT', grantable: false }],
  },
  globals: { ...print, passwords: true },
  ...{ schemaVersion: 1, engine: 'logical', label: 'mairie_full_20261121_021500', cluster: 'mairie', policy: 'dump' },
  ...{ database: 'mairie', operationId: 'op-1', startedAt: instant, finishedAt: instant, dump: print },
  ...{ contents: [], countedIn: 'snapshot', objects: { table: 3 } },
};

const damaged = { code: 'backup-corrupt', message: 'the manifest k cannot be read' };

test('a manifest is read as it was written, what a newer version added included: its text makes its hash', async () => {
  const newer = { ...base, later: 'x' } as unknown as BaseManifest;
  const read = await readManifest(storageWith(manifestText(newer)), 'k');
  expect(read).toEqual(newer);
  expect(hashOf(read as BaseManifest)).toBe(hashOf(newer));
  expect(await readDumpManifest(storageWith(dump), 'k')).toEqual(dump);
});

describe('what a repository writer puts into a manifest is no path, no SQL and no other backup (S2)', () => {
  it.each<[string, Record<string, unknown>]>([
    ['a file outside of the backup', { files: [{ name: '../../etc/cron.d/x', ...print }] }],
    ['a file that is none of pg_basebackup', { files: [{ name: '.bashrc', ...print }] }],
    ['a label that is a path', { label: '../full_20261121_021500' }],
    ['a parent that is a path', { dependsOn: ['../../other/nightly/full_20261121_021500'] }],
    ['a segment that is none', { wal: { start: '../x', stop: segment } }],
    ['a position that is none', { lsn: { start: "0/0'", stop: '0/0' } }],
    ['a hash that is none', { files: [{ name: 'base.tar.gz', sizeBytes: 7, sha256: 'x' }] }],
    ['no files', { files: undefined }],
    ['a size below zero', { files: [{ name: 'base.tar.gz', ...print, sizeBytes: -1 }] }],
    ['another version', { schemaVersion: 2 }],
  ])('base backup: %s', async (_what, change) => {
    await expect(readManifest(storageWith({ ...base, ...change }), 'k')).rejects.toMatchObject(damaged);
  });

  it.each<[string, Record<string, unknown>]>([
    ['SQL as provider of the locale', { properties: { ...dump.properties, localeProvider: 'libc; DROP DATABASE x' } }],
    [
      'SQL as a privilege',
      {
        properties: { ...dump.properties, grants: [{ grantee: 'x', privilege: 'ALL; DROP ROLE y', grantable: false }] },
      },
    ],
    ['SQL as a limit', { properties: { ...dump.properties, connectionLimit: '1; DROP ROLE y' } }],
    ['a label that is none', { label: 'x' }],
    ['a dump without a hash', { dump: { sizeBytes: 1 } }],
    ['another engine', { engine: 'basebackup' }],
  ])('dump: %s', async (_what, change) => {
    await expect(readDumpManifest(storageWith({ ...dump, ...change }), 'k')).rejects.toMatchObject(damaged);
  });

  it.each(['', '{', 'null', '[]', '"x"', '\u0000'])('no JSON object: %j', async (text) => {
    await expect(readManifest(storageWith(text), 'k')).rejects.toMatchObject(damaged);
    await expect(readDumpManifest(storageWith(text), 'k')).rejects.toMatchObject(damaged);
  });
});
