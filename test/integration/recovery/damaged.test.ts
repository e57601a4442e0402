import { copyFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { queryNames } from '../../../src/domain/operation/names.js';
import type { Plan } from '../../../src/domain/plan/plan.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { reaches } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

/** Puts another file's content in the place of the largest one below a directory: it can be unpacked, and is not what was backed up. */
async function damage(directory: string): Promise<void> {
  const files = await Promise.all(
    (await readdir(directory, { recursive: true })).map(async (name) => ({
      path: join(directory, name),
      found: await stat(join(directory, name)),
    })),
  );
  const sorted = files.filter(({ found }) => found.isFile()).sort((a, b) => b.found.size - a.found.size);
  const [largest] = sorted;
  // Of the same size is the same file of another database, often.
  const next = sorted.find(({ found }) => found.size < (largest?.found.size ?? 0));
  if (largest === undefined || next === undefined) throw new Error(`too little lies in ${directory}`);
  await copyFile(next.path, largest.path);
}

it('F15: pgBackRest finds the approved backup damaged while it restores: it is quarantined, nothing is opened, the one before it is approved anew and loses nothing', async () => {
  const site = await Site.create();
  await site.startWorker();
  const [older] = (await site.backUp('physical', 'full')).backups;
  await site.commit(20);
  const [newer] = (await site.backUp('physical', 'full')).backups;
  await site.commit(20);
  const content = await site.contentHash();
  await damage(join(site.root, 'pgb', 'repo', 'backup', 'main', newer?.label ?? '', 'pg_data', 'base'));

  const work = await site.recover('physical');
  const first = await site.approve(work);
  expect(first.binding.backups).toMatchObject([{ id: newer?.id }]);
  const second = await site.waitFor(async () => {
    const plan = await work.handle.query<Plan | null>(queryNames.plan);
    return plan !== null && plan.digest !== first.digest && plan;
  }, 'another plan waits');
  expect(second.binding.backups).toMatchObject([{ id: older?.id }]);
  expect((await site.backups()).find(({ id }) => id === newer?.id)).toMatchObject({
    status: 'quarantined',
    proven: null,
  });
  expect((await site.status(work)).state).toBe('waiting-approval');
  await expect(site.query('SELECT 1')).rejects.toThrow();

  await site.approve(work);
  await reaches(site, work.workflowId, 'completed');
  expect(await site.recovered(work)).toMatchObject({
    state: 'completed',
    plan: { digest: second.digest },
    outcome: { rpoSeconds: 0 },
  });
  expect(await site.contentHash()).toEqual(content);
  // An increment would rest on the damaged one.
  expect((await site.backups()).at(-1)).toMatchObject({
    type: 'full',
    status: 'complete',
    proven: { level: 'verified' },
  });
  expect(await site.leftovers()).toMatchObject({ processes: [], files: [] });
});
