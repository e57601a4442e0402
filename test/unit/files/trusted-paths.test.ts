import { chmod, chown, lchown, lstat, mkdir, readdir, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { makeOwnDirectory, refuseSharedPath } from '../../../src/files/trusted-paths.js';
import { asRoot as isRoot } from '../../helpers/postgres-user.js';
import { tempDir } from '../../helpers/temp.js';

const asRoot = isRoot ? it : it.skip;
const OURS = { uid: 12_345, gid: 12_345 };
const ANOTHER = 12_346;

let root: string;
beforeEach(async () => {
  root = await tempDir('paths');
  // Else it belongs to the tests' PostgreSQL user.
  if (isRoot) await chown(root, 0, 0);
  await mkdir(join(root, 'a', 'b', 'c'), { recursive: true, mode: 0o755 });
});
const at = (...names: string[]): string => join(root, ...names);
const refusal = (message: string) => ({ code: 'path-refused', message: expect.stringContaining(message) });

describe('a path in which other users of the host could replace something', () => {
  it('F54, U2: is refused whichever of its directories others may write, and the refusal names that directory', async () => {
    for (const shared of ['a', 'a/b', 'a/b/c']) {
      await chmod(at(shared), 0o777);
      await expect(refuseSharedPath(at('a', 'b', 'c'))).rejects.toMatchObject({
        ...refusal(at(shared)),
        hint: expect.stringContaining(`chmod go-w ${at(shared)}`),
      });
      await chmod(at(shared), 0o755);
    }
    await refuseSharedPath(at('a', 'b', 'c'));
    await refuseSharedPath(at('a', 'b', 'c', 'not', 'there'));
  });

  it('U2: is refused where a group may write that has other members; a group of one is its owner', async () => {
    await chmod(at('a'), 0o775);
    // Root's own, which has no other members.
    if (isRoot) await refuseSharedPath(at('a'));
    if (!isRoot) return;
    // Of nobody that this machine knows, and of daemon, which is a user of its own.
    for (const gid of [12_399, 1]) {
      await chown(at('a'), 0, gid);
      await expect(refuseSharedPath(at('a', 'b'))).rejects.toMatchObject(refusal(`group ${gid} may write`));
    }
  });

  it('U2: a directory like /tmp is allowed on the way where what is entered is ours, and at the end only for what says so', async () => {
    await chmod(at('a'), 0o1777);
    await refuseSharedPath(at('a', 'b'));
    await expect(refuseSharedPath(at('a'))).rejects.toMatchObject(refusal('every user may write'));
    await refuseSharedPath(at('a'), { sticky: true });
    if (!isRoot) return;
    await chown(at('a', 'b'), ANOTHER, ANOTHER);
    await expect(refuseSharedPath(at('a', 'b', 'c'), { owner: OURS })).rejects.toMatchObject(refusal('user 12346'));
  });

  asRoot("U2: is refused where a directory belongs to another user than root and the files' own", async () => {
    await chown(at('a'), OURS.uid, OURS.gid);
    await refuseSharedPath(at('a', 'b'), { owner: OURS });
    await expect(refuseSharedPath(at('a', 'b'), { owner: { uid: ANOTHER } })).rejects.toMatchObject(
      refusal('belongs to user 12345'),
    );
  });

  asRoot("U2: is refused where it leads through another user's link, and followed through root's", async () => {
    await symlink(at('a', 'b'), at('link'));
    await refuseSharedPath(at('link', 'c'));
    await chmod(at('a'), 0o777);
    await expect(refuseSharedPath(at('link', 'c'))).rejects.toMatchObject(refusal(at('a')));
    await chmod(at('a'), 0o755);
    await lchown(at('link'), ANOTHER, ANOTHER);
    await expect(refuseSharedPath(at('link', 'c'))).rejects.toMatchObject(refusal('symbolic link'));
  });

  it('U2: links in a circle end the search', async () => {
    await symlink('y', at('x'));
    await symlink('x', at('y'));
    await expect(refuseSharedPath(at('x'))).rejects.toMatchObject(refusal('links'));
  });
});

describe('a directory of our own', () => {
  it('U2: is made with its parents, owner-only, for its user; one that is there stays', async () => {
    await makeOwnDirectory(at('new', 'er', 'est'), isRoot ? OURS : null);
    for (const made of ['new', 'new/er', 'new/er/est']) {
      const { mode, uid } = await stat(at(made));
      expect({ mode: mode & 0o777, uid }).toEqual({ mode: 0o700, uid: isRoot ? OURS.uid : process.getuid?.() });
    }
    const { ino } = await stat(at('new', 'er', 'est'));
    await makeOwnDirectory(at('new', 'er', 'est'), isRoot ? OURS : null);
    expect((await stat(at('new', 'er', 'est'))).ino).toBe(ino);
  });

  asRoot('U2: is not what another user has put there before, and no link is followed to make it', async () => {
    await chmod(at('a'), 0o1777);
    await mkdir(at('a', 'planted'));
    await chown(at('a', 'planted'), ANOTHER, ANOTHER);
    await symlink(at('a', 'b', 'c'), at('a', 'link'));
    await lchown(at('a', 'link'), ANOTHER, ANOTHER);
    for (const planted of ['planted', 'link'])
      for (const path of [at('a', planted), at('a', planted, 'spool')])
        await expect(makeOwnDirectory(path, OURS)).rejects.toMatchObject({ code: 'path-refused' });
    expect(await readdir(at('a', 'b', 'c'))).toEqual([]);
    expect((await lstat(at('a', 'planted'))).uid).toBe(ANOTHER);
  });
});
