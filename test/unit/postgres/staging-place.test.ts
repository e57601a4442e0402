import { execFileSync } from 'node:child_process';
import {
  chmod,
  copyFile,
  link,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  emptyStaging,
  markStaging,
  requireStagingApart,
  type StagingDirectory,
  stagingMarkerOf,
  stagingTablespaces,
} from '../../../src/postgres/server/staging-place.js';
import { freePorts } from '../../helpers/ports.js';
import { tempDir } from '../../helpers/temp.js';

let root: string;
let place: StagingDirectory;
/** The data directory of production, with a tablespace and a WAL directory elsewhere. */
let main: string;
const mounts: string[] = [];

const production = () => [{ what: 'the data directory of mairie', path: main }];
const at = (dataDir: string, changed: Partial<StagingDirectory> = {}): StagingDirectory => ({
  ...place,
  dataDir,
  ...changed,
});
const refusedApart = (dataDir: string) =>
  expect(requireStagingApart(at(dataDir), production())).rejects.toMatchObject({ code: 'path-refused' });
const content = async () => (await readdir(main, { recursive: true })).sort();

beforeEach(async () => {
  root = await tempDir('staging');
  await chmod(root, 0o755);
  const [port] = (await freePorts(1)) as [number];
  place = { cluster: 'mairie', host: 'staging1', dataDir: join(root, 'staging'), port, owner: null };
  main = join(root, 'main');
  for (const directory of [main, join(main, 'pg_tblspc'), join(root, 'space'), join(root, 'wal'), join(main, 'base')])
    await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFile(join(main, 'base', '1'), 'rows');
  await writeFile(join(root, 'space', '2'), 'more rows');
  await symlink(join(root, 'space'), join(main, 'pg_tblspc', '16384'));
  await symlink(join(root, 'wal'), join(main, 'pg_wal'));
});

afterEach(() => {
  for (const mount of mounts.splice(0)) execFileSync('umount', [mount]);
});

const isRoot = process.getuid?.() === 0;
const bind = (from: string, to: string): void => {
  execFileSync('mount', ['--bind', from, to]);
  mounts.push(to);
};

describe('P4: staging shares nothing with production', () => {
  it('a directory of its own is taken, absent or empty', async () => {
    await requireStagingApart(place, production());
    await mkdir(place.dataDir);
    await requireStagingApart(place, production());
  });

  it.each([
    ['production itself', () => main],
    ['within it', () => join(main, 'base', 'staging')],
    ['above it', () => root],
    ['a way around', () => join(root, 'x', '..', 'main')],
    ['its tablespace', () => join(root, 'space')],
    ['within its tablespace', () => join(root, 'space', 'staging')],
    ['its WAL directory', () => join(root, 'wal')],
    ['the root', () => '/'],
  ])('%s is refused', async (_, dataDir) => {
    const before = await content();
    await refusedApart(dataDir());
    expect(await content()).toEqual(before);
  });

  it('a symbolic link is refused, also a dangling one, and one in the place of the tablespaces', async () => {
    await symlink(main, join(root, 'link'));
    await refusedApart(join(root, 'link'));
    await symlink(join(root, 'nowhere'), join(root, 'dangling'));
    await refusedApart(join(root, 'dangling'));
    await symlink(main, stagingTablespaces(place.dataDir));
    await refusedApart(place.dataDir);
  });

  it('a link further up that leads into production is followed, and refused', async () => {
    await symlink(join(main, 'base'), join(root, 'up'));
    await refusedApart(join(root, 'up', 'staging'));
  });

  (isRoot ? it : it.skip)(
    'a bind mount of production, of what is above it, and one within staging are refused',
    async () => {
      const other = join(root, 'other');
      await mkdir(join(other, 'staging'), { recursive: true });
      bind(main, join(other, 'staging'));
      await refusedApart(join(other, 'staging'));
      await refusedApart(join(other, 'staging', 'base'));
      const parent = join(root, 'parent');
      await mkdir(parent);
      bind(root, parent);
      await refusedApart(join(parent, 'main'));
      await refusedApart(join(parent, 'main', 'base'));
      await mkdir(join(place.dataDir, 'inner'), { recursive: true });
      bind(join(root, 'space'), join(place.dataDir, 'inner'));
      await expect(requireStagingApart(place, [])).rejects.toMatchObject({
        code: 'path-refused',
        message: expect.stringContaining('is mounted inside'),
      });
    },
  );

  it('a port in use is refused', async () => {
    const { createServer } = await import('node:net');
    const server = createServer().listen(place.port, '127.0.0.1');
    try {
      await expect(requireStagingApart(place, production())).rejects.toMatchObject({ code: 'conflict' });
    } finally {
      await new Promise((closed) => server.close(closed));
    }
  });

  it('a directory in which others may write is refused', async () => {
    await mkdir(join(root, 'open'));
    await chmod(join(root, 'open'), 0o777);
    await refusedApart(join(root, 'open', 'staging'));
  });

  it('a missing parent may be a disk that is not mounted: refused', async () => {
    await refusedApart(join(root, 'missing', 'staging'));
  });
});

describe('P4: only what carries the marker is emptied', () => {
  it('an absent or empty directory is marked, owner-only, and emptied; the directory itself stays', async () => {
    await markStaging(place);
    const marker = JSON.parse(await readFile(stagingMarkerOf(place.dataDir), 'utf8')) as object;
    expect(marker).toMatchObject({ cluster: 'mairie', host: 'staging1', dataDir: place.dataDir });
    expect((await stat(stagingMarkerOf(place.dataDir))).mode & 0o777).toBe(0o600);
    const { ino } = await stat(place.dataDir);
    await mkdir(join(place.dataDir, 'base'));
    await writeFile(join(place.dataDir, 'base', '1'), 'restored');
    await writeFile(join(stagingTablespaces(place.dataDir), 'x'), 'restored');
    await markStaging(place);
    await emptyStaging(place);
    expect(await readdir(place.dataDir)).toEqual([]);
    expect(await readdir(stagingTablespaces(place.dataDir))).toEqual([]);
    expect((await stat(place.dataDir)).ino).toBe(ino);
  });

  it('a directory with anything in it is never marked, and without its marker never emptied', async () => {
    await mkdir(place.dataDir);
    await writeFile(join(place.dataDir, 'precious'), 'x');
    await expect(markStaging(place)).rejects.toMatchObject({
      code: 'path-refused',
      hint: expect.stringContaining('drill.data_dir'),
    });
    await expect(emptyStaging(place)).rejects.toMatchObject({ code: 'path-refused' });
    expect(await readdir(place.dataDir)).toEqual(['precious']);
  });

  it('a marker that was copied beside production, renamed or edited, marks nothing', async () => {
    await markStaging(place);
    await copyFile(stagingMarkerOf(place.dataDir), stagingMarkerOf(main));
    await mkdir(stagingTablespaces(main), { mode: 0o700 });
    const before = await content();
    await expect(emptyStaging(at(main))).rejects.toMatchObject({ code: 'path-refused' });
    const edited = (await readFile(stagingMarkerOf(main), 'utf8')).replaceAll(place.dataDir, main);
    await writeFile(stagingMarkerOf(main), edited, { mode: 0o600 });
    await expect(emptyStaging(at(main))).rejects.toMatchObject({ code: 'path-refused' });
    await expect(markStaging(at(main))).rejects.toMatchObject({ code: 'path-refused' });
    expect(await content()).toEqual(before);
  });

  it('production renamed into the place of staging is not what the marker names', async () => {
    await markStaging(place);
    await rm(place.dataDir, { recursive: true });
    await rename(main, place.dataDir);
    main = place.dataDir;
    const before = await content();
    for (const act of [emptyStaging, markStaging])
      await expect(act(place)).rejects.toMatchObject({ code: 'path-refused' });
    expect(await content()).toEqual(before);
  });

  it('the marker of another cluster, or of another host, is refused by its name', async () => {
    await markStaging(place);
    await expect(emptyStaging({ ...place, cluster: 'other' })).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('of cluster mairie on host staging1'),
    });
    await expect(markStaging({ ...place, host: 'db1' })).rejects.toMatchObject({ code: 'conflict' });
  });

  it('a marker that others may read, a link to one, or a damaged one is none', async () => {
    await markStaging(place);
    const marker = stagingMarkerOf(place.dataDir);
    await chmod(marker, 0o644);
    await expect(emptyStaging(place)).rejects.toMatchObject({ code: 'path-refused' });
    await chmod(marker, 0o600);
    await rename(marker, join(root, 'elsewhere'));
    await symlink(join(root, 'elsewhere'), marker);
    await expect(emptyStaging(place)).rejects.toMatchObject({ code: 'path-refused' });
    await rm(marker);
    await writeFile(marker, 'nonsense', { mode: 0o600 });
    await expect(emptyStaging(place)).rejects.toMatchObject({ code: 'path-refused' });
  });

  it('links in staging are removed, never followed; hard links leave the files of production as they are', async () => {
    await markStaging(place);
    await symlink(main, join(place.dataDir, 'pg_wal'));
    await mkdir(join(place.dataDir, 'pg_tblspc'));
    await symlink(join(root, 'space'), join(place.dataDir, 'pg_tblspc', '16384'));
    await link(join(root, 'space', '2'), join(stagingTablespaces(place.dataDir), '2'));
    const before = await content();
    await emptyStaging(place);
    expect(await readdir(place.dataDir)).toEqual([]);
    expect(await content()).toEqual(before);
    expect(await readFile(join(root, 'space', '2'), 'utf8')).toBe('more rows');
  });

  it('a directory that was removed is marked anew', async () => {
    await markStaging(place);
    await rm(place.dataDir, { recursive: true });
    await expect(emptyStaging(place)).rejects.toMatchObject({ code: 'path-refused' });
    await markStaging(place);
    await emptyStaging(place);
  });
});
