import { execFileSync } from 'node:child_process';
import { link, mkdir, readFile, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { applyAll } from '../../../src/media/apply.js';
import { summarise } from '../../../src/media/summary.js';
import { type MediaRun, actionsOf } from '../../../src/media/carry-out.js';
import { openDirectory } from '../../../src/storage/directory/directory-storage.js';
import { collect } from '../../helpers/collect.js';
import { tempDir } from '../../helpers/temp.js';

const options = { concurrency: 4, singleCopyBytes: 1024 };

async function fill(root: string, files: readonly string[]): Promise<void> {
  for (const file of files) {
    await mkdir(join(root, file, '..'), { recursive: true });
    await writeFile(join(root, file), `content of ${file}`);
  }
}

/** Two directories, and a sync from one into the other that removes what the first lacks. */
async function sides() {
  const [source, target, outside] = [await tempDir('source'), await tempDir('target'), await tempDir('outside')];
  const place = (path: string) => ({ name: path, storage: openDirectory({ path }), folder: '' });
  const work: MediaRun = { kind: 'sync', from: place(source), into: place(target), delete: true };
  return { source, target, outside, work };
}

describe('K3, F37: a sync that removes, and what is no plain file', () => {
  test('links and special files of the source are counted and named, and what the target has under their names stays', async () => {
    const { source, target, outside, work } = await sides();
    await fill(source, ['plain', 'd/plain']);
    await fill(outside, ['x', 'hard']);
    await symlink(outside, join(source, 'album'));
    await symlink('nowhere', join(source, 'd', 'broken'));
    await link(join(outside, 'hard'), join(source, 'hard'));
    execFileSync('mkfifo', [join(source, 'pipe')]);
    execFileSync('bash', ['-c', `mkdir $'${source}/caf\\xe9' && touch $'${source}/caf\\xe9/x' $'${source}/\\xe9'`]);
    const counterparts = ['album/1', 'album/2/3', 'd/broken', 'hard', 'pipe'];
    await fill(target, [...counterparts, 'album-', 'album.jpg', 'album0', 'd/gone', 'd/broken0']);

    const { counts, irregular } = await summarise(actionsOf(work));
    expect(counts).toMatchObject({ copy: { objects: 2 }, remove: { objects: 5 }, keep: { objects: 2 } });
    expect([Object.fromEntries(irregular.counts), irregular.first]).toEqual([
      { 'symbolic link': 2, 'hard link': 1, 'special file': 1, 'undecodable name': 2 },
      'album',
    ]);
    await applyAll(work, options);
    const left = (await readdir(target, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(target.length + 1));
    expect(left.toSorted()).toEqual([...counterparts, 'plain', 'd/plain'].toSorted());
    expect((await summarise(actionsOf(work))).counts).toMatchObject({
      copy: { objects: 0 },
      remove: { objects: 0 },
      right: { objects: 2 },
    });
  });

  test('F31: taken up after a key between a link and what lies below it, the link still stands for that', async () => {
    const { source, target, outside, work } = await sides();
    await symlink(outside, join(source, 'album'));
    await fill(target, ['album-', 'album/1', 'b']);
    expect(await applyAll(work, { ...options, after: 'album-' })).toMatchObject({ remove: { objects: 1 } });
    expect((await readdir(target)).toSorted()).toEqual(['album', 'album-']);
  });

  test('F31: taken up after a key, what follows is told by the order of bytes: beyond U+FFFF nothing is passed over', async () => {
    const { source, target, work } = await sides();
    for (const side of [source, target]) await fill(side, ['\u{FFFD}', '\u{1D4B3}']);
    expect(await collect(actionsOf(work, '\u{FFFD}'))).toMatchObject([{ name: 'right', key: '\u{1D4B3}' }]);
  });

  test('a link in the target is not copied over', async () => {
    const { source, target, outside, work } = await sides();
    await fill(source, ['a', 'b']);
    await fill(outside, ['precious']);
    await symlink(join(outside, 'precious'), join(target, 'a'));
    expect(Object.fromEntries((await summarise(actionsOf(work))).irregular.counts)).toEqual({ 'symbolic link': 1 });
    expect(await applyAll(work, options)).toMatchObject({ copy: { objects: 1 } });
    expect(await readFile(join(outside, 'precious'), 'utf8')).toBe('content of precious');
    expect(await readFile(join(target, 'b'), 'utf8')).toBe('content of b');
  });
});
