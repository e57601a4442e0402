import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { withPreviousFolders } from '../../../src/activities/previous-folders.js';
import { leftClusterFindings } from '../../../src/doctor/left-behind.js';
import { orphansAmong, orphansInWords, policyNow } from '../../../src/domain/backup/previous-names.js';
import type { ClusterConfig } from '../../../src/domain/config.js';
import { openDirectory } from '../../../src/storage/directory/directory-storage.js';
import type { WritableStorage } from '../../../src/storage/storage.js';
import { collect } from '../../helpers/collect.js';
import { tempDir } from '../../helpers/temp.js';

const OLD = { policy: 'dump', engine: 'logical', repository: 'local' };
const cluster = {
  name: 'mairie',
  policies: {
    nightly: {
      name: 'nightly',
      cluster: 'mairie',
      engine: 'logical',
      repository: 'local',
      previousNames: ['dump', 'first'],
    },
    physical: { name: 'physical', cluster: 'mairie', engine: 'pgbackrest', repository: 'local' },
  },
} as unknown as ClusterConfig;

let root: string;
let below: WritableStorage;
let seen: WritableStorage;

beforeEach(async () => {
  root = await tempDir('renamed');
  below = openDirectory({ path: root });
  seen = withPreviousFolders(below, cluster.policies['nightly'] as never);
  for (const [key, body] of [
    ['mairie/dump/a', 'old a'],
    ['mairie/dump/wal/1', 'old 1'],
    ['mairie/first/b', 'first b'],
    ['mairie/nightly/c', 'new c'],
    ['mairie/nightly/wal/2', 'new 2'],
    ['mairie/dumps/x', 'of another policy'],
    ['mairie/records/1', 'a record'],
  ] as const)
    await below.write(key, body);
});

const keys = async (prefix: string) => (await collect(seen.list(prefix))).map(({ key }) => key);
const text = async (key: string) => (await seen.read(key)).toString();

describe('O6: the folder of a policy that was renamed', () => {
  it('is listed with those of its earlier names, in order, and other folders as they are', async () => {
    const own = ['a', 'b', 'c', 'wal/1', 'wal/2'].map((name) => `mairie/nightly/${name}`);
    expect(await keys('mairie/nightly/')).toEqual(own);
    expect(await keys('mairie/nightly')).toEqual(own);
    expect(await keys('mairie/nightly/wal/')).toEqual(own.slice(3));
    expect(await keys('mairie/records/')).toEqual(['mairie/records/1']);
    expect(await keys('mairie/dumps/')).toEqual(['mairie/dumps/x']);
  });

  it('reads what lies under an earlier name, its own first', async () => {
    expect([await text('mairie/nightly/a'), await text('mairie/nightly/b'), await text('mairie/nightly/c')]).toEqual([
      'old a',
      'first b',
      'new c',
    ]);
    expect(await collect(await seen.open('mairie/nightly/a'))).toEqual([Buffer.from('old a')]);
    expect(await seen.stat('mairie/nightly/a')).toMatchObject({ key: 'mairie/nightly/a', sizeBytes: 5 });
    expect(seen.localPath('mairie/nightly/a')).toBe(join(root, 'mairie/dump/a'));
    // A folder is where new files go.
    expect(seen.localPath('mairie/nightly/wal')).toBe(join(root, 'mairie/nightly/wal'));
    await expect(seen.read('mairie/nightly/none')).rejects.toMatchObject({ code: 'not-found' });
    await below.write('mairie/nightly/a', 'new a');
    expect([
      await text('mairie/nightly/a'),
      (await keys('mairie/nightly/')).filter((key) => key.endsWith('/a')),
    ]).toEqual(['new a', ['mairie/nightly/a']]);
  });

  it('is written under its own name, and what is removed is gone from all of them', async () => {
    await seen.writeStream('mairie/nightly/d', Readable.from(['new d']));
    expect((await readdir(join(root, 'mairie/nightly'))).toSorted()).toEqual(['c', 'd', 'wal']);
    await below.write('mairie/nightly/a', 'new a');
    await seen.remove('mairie/nightly/a');
    await seen.remove('mairie/nightly/b');
    expect(await keys('mairie/nightly/')).toEqual(['c', 'd', 'wal/1', 'wal/2'].map((name) => `mairie/nightly/${name}`));
    expect(await below.stat('mairie/dump/a')).toBeNull();
    expect(await below.stat('mairie/dumps/x')).not.toBeNull();
  });
});

describe('O6: backups of a policy that the configuration does not have', () => {
  it('belong to the policy that had the name, where engine and repository are the same', () => {
    expect(policyNow(cluster.policies, OLD)?.name).toBe('nightly');
    expect(policyNow(cluster.policies, { ...OLD, policy: 'nightly' })?.name).toBe('nightly');
    expect(policyNow(cluster.policies, { ...OLD, engine: 'basebackup' })).toBeUndefined();
    expect(policyNow(cluster.policies, { ...OLD, repository: 'offsite' })).toBeUndefined();
  });

  it('are counted and named otherwise, with the line to write', () => {
    const [orphans, ...others] = orphansAmong(cluster, [
      OLD,
      { ...OLD, policy: 'weekly' },
      { ...OLD, policy: 'weekly' },
    ]);
    expect([orphans, others]).toEqual([{ ...OLD, policy: 'weekly', backups: 2 }, []]);
    const { message, fix } = orphansInWords(cluster, orphans as never);
    expect(message).toContain('2 backups of policy weekly of mairie');
    expect(fix).toContain('previous_names: [weekly] in policy nightly');
  });

  it('of a cluster that was renamed are named by doctor', async () => {
    await mkdir(join(root, 'town', 'records'), { recursive: true });
    await writeFile(join(root, 'a-file'), '');
    const repository = { name: 'local', type: 'directory', options: { path: root } };
    const found = await leftClusterFindings(
      { file: 'reprise.yml', clusters: { town: cluster } } as never,
      repository as never,
    );
    expect(found).toMatchObject([{ check: 'repository/local/clusters/mairie', level: 'warning' }]);
  });
});
