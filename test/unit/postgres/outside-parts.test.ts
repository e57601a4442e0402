import { mkdir, readFile, readdir, readlink, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import type { PlannedLayout } from '../../../src/domain/plan/layout.js';
import { restoredWithin } from '../../../src/domain/plan/recovery-place.js';
import { attachParts, detachWal, movePartsAside } from '../../../src/postgres/old-data/outside-parts.js';
import { observeLayout } from '../../../src/postgres/server/layout.js';
import { tempDir } from '../../helpers/temp.js';

const SEGMENT = '000000010000000000000007';

/** A data directory behind a link, its WAL and a tablespace in other places, where other things lie too. */
async function spreadOut() {
  const root = await tempDir('layout');
  const [link, home, wal, space] = ['main', 'disk/main', 'wal', 'fast'].map((name) => join(root, name)) as [
    string,
    string,
    string,
    string,
  ];
  for (const made of [join(home, 'pg_tblspc'), join(wal, 'archive_status'), join(space, 'PG_15_202209061', '5')])
    await mkdir(made, { recursive: true });
  await symlink(home, link);
  await symlink(wal, join(home, 'pg_wal'));
  await symlink(space, join(home, 'pg_tblspc', '16400'));
  await writeFile(join(home, 'PG_VERSION'), '15\n');
  await writeFile(join(wal, SEGMENT), 'old');
  await writeFile(join(wal, 'lost+found'), '');
  await writeFile(join(space, 'PG_15_202209061', '5', '16401'), 'old');
  await mkdir(join(space, 'PG_14_202107181'));
  const layout: PlannedLayout = {
    dataDir: home,
    wal: { path: wal, keptAs: `${wal}.aside-op` },
    tablespaces: [{ oid: '16400', path: space, keptAs: join(space, '.aside-op'), restored: true }],
  };
  return { root, link, home, wal, space, layout, old: `${home}.aside-op` };
}

it('W8, F50: what is a link, and where it leads to, is seen', async () => {
  const { link, home, wal, space } = await spreadOut();
  await symlink('/var/log/postgresql', join(home, 'log'));
  const part = { isInside: false, state: 'usable', isEmpty: false };
  expect(await observeLayout(link, null)).toMatchObject({
    ...{ dataDir: home, isLink: true, isMountPoint: false, mountsBelow: [], parent: 'usable', otherLinks: ['log'] },
    wal: { ...part, path: wal, hasRoomBeside: true },
    tablespaces: [{ ...part, path: space, oid: '16400' }],
  });
  await rename(home, `${home}.gone`);
  expect(await observeLayout(link, null)).toMatchObject({ dataDir: home, isLink: true, wal: null, tablespaces: [] });
});

it('W8: old parts are moved aside on their disks, where the old data finds them; nothing else there is touched', async () => {
  const { home, wal, space, layout, old } = await spreadOut();
  await rename(home, old);
  // Cut off before: some were moved.
  await mkdir(join(space, '.aside-op'));
  for (let times = 0; times < 2; times++) await movePartsAside(old, layout, null);
  expect(await readdir(wal)).toEqual(['lost+found']);
  expect((await readdir(space)).toSorted()).toEqual(['.aside-op', 'PG_14_202107181']);
  expect(await readFile(join(old, 'pg_wal', SEGMENT), 'utf8')).toBe('old');
  expect(await readFile(join(old, 'pg_tblspc', '16400', 'PG_15_202209061', '5', '16401'), 'utf8')).toBe('old');
});

it('W8: restored parts take their places; also where an attempt was cut off, or an earlier plan had restored others', async () => {
  const { home, wal, space, layout, old } = await spreadOut();
  await rename(home, old);
  await movePartsAside(old, layout, null);
  for (const round of ['first', 'second']) {
    await detachWal(home, layout);
    const restored = restoredWithin(space, 'op', '16400');
    for (const made of [join(home, 'pg_wal'), join(home, 'pg_tblspc'), join(restored, 'PG_15_202209061')])
      await mkdir(made, { recursive: true });
    await writeFile(join(home, 'pg_wal', SEGMENT), round);
    await writeFile(join(home, 'tablespace_map'), `16400 ${restored}\n16500 /elsewhere\n`);
    await writeFile(join(restored, 'PG_15_202209061', 'file'), round);
    if (round === 'first') await symlink(restored, join(home, 'pg_tblspc', '16400'));
    for (let times = 0; times < 2; times++) await attachParts(home, layout, 'op', null);
    expect(await readlink(join(home, 'pg_wal'))).toBe(wal);
    expect(await readFile(join(wal, SEGMENT), 'utf8')).toBe(round);
    expect(await readlink(join(home, 'pg_tblspc', '16400'))).toBe(space);
    expect(await readFile(join(space, 'PG_15_202209061', 'file'), 'utf8')).toBe(round);
    expect(await readFile(join(home, 'tablespace_map'), 'utf8')).toBe(`16500 /elsewhere\n16400 ${space}\n`);
  }
  expect((await readdir(home)).toSorted()).toEqual(['pg_tblspc', 'pg_wal', 'tablespace_map']);
  expect(await readFile(join(old, 'pg_wal', SEGMENT), 'utf8')).toBe('old');
  expect((await readdir(space)).toSorted()).toEqual(['.aside-op', 'PG_14_202107181', 'PG_15_202209061']);
});

it('W8: of WAL that was moved when the attempt was cut off, nothing is lost', async () => {
  const { home, wal, layout, old } = await spreadOut();
  await rename(home, old);
  await movePartsAside(old, layout, null);
  await mkdir(join(home, 'pg_wal.moved'), { recursive: true });
  await writeFile(join(wal, SEGMENT), 'copied');
  await attachParts(home, { wal: layout.wal! }, 'op', null);
  expect(await readFile(join(home, 'pg_wal', SEGMENT), 'utf8')).toBe('copied');
  expect(await readdir(home)).toEqual(['pg_wal']);
});
