import { expect, test } from '@jest/globals';
import { stat, writeFile } from 'node:fs/promises';
import { noteBatch, openRepairFiles, readBatch, removeOldRepairs } from '../../../src/records/repair-files.js';
import { tempDir } from '../../helpers/temp.js';

const DAY_MS = 86_400_000;

test('T6: what a repair changed is kept for 30 days, for its owner alone, and then removed', async () => {
  const stateDir = await tempDir('repairs');
  const files = await openRepairFiles(stateDir, 'op-1');
  await writeFile(files.changes, 'rows of people');
  expect((await stat(files.directory)).mode & 0o077).toBe(0);
  // Opened again, it keeps its end.
  expect((await openRepairFiles(stateDir, 'op-1')).until).toBe(files.until);
  await removeOldRepairs(stateDir, new Date(Date.now() + 29 * DAY_MS));
  await stat(files.changes);
  await removeOldRepairs(stateDir, new Date(Date.now() + 31 * DAY_MS));
  await expect(stat(files.directory)).rejects.toMatchObject({ code: 'ENOENT' });
  await removeOldRepairs(await tempDir('none'), new Date());
});

test('T6: the transaction of a batch is noted before it is committed, each batch of each plan by itself', async () => {
  const files = await openRepairFiles(await tempDir('repairs'), 'op-1');
  const done = { insert: 1, update: 2, delete: 3, left: [7] };
  expect(await readBatch(files, 'a'.repeat(64), 0)).toBeNull();
  await noteBatch(files, 'a'.repeat(64), 0, { xid: '10', done });
  // One that was rolled back is done again.
  await noteBatch(files, 'a'.repeat(64), 0, { xid: '11', done });
  expect(await readBatch(files, 'a'.repeat(64), 0)).toEqual({ xid: '11', done });
  expect(await readBatch(files, 'a'.repeat(64), 1)).toBeNull();
  expect(await readBatch(files, 'b'.repeat(64), 0)).toBeNull();
});
