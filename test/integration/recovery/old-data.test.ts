import { existsSync } from 'node:fs';
import { chmod, lstat, mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { beforeAll, expect, it } from '@jest/globals';
import { planText } from '../../../src/domain/plan/plan-text.js';
import type { KeptItem } from '../../../src/domain/backup/records.js';
import { signalNames } from '../../../src/domain/operation/names.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { answer, editConfig, refusal } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

let site: Site;
const kept = async (): Promise<readonly KeptItem[]> => (await answer<{ kept: KeptItem[] }>(site, 'kept', 'list')).kept;
const asides = async (): Promise<string[]> =>
  (await readdir(dirname(site.places.dataDir))).filter((name) => name.includes('.aside-'));

/** Workers read the config when they start. */
async function withOldData(value: string): Promise<void> {
  await site.workers.at(-1)?.stop();
  await editConfig(site, (text) =>
    text.replace(/ {4}recovery:\n( {6}old_data:.*\n)?/, `    recovery:\n      old_data: ${value}\n`),
  );
  await site.startWorker();
}

/** Commits what is in the old pg_wal only, and loses the server. */
async function lose(): Promise<Record<string, string>> {
  await site.commit(50);
  const content = await site.contentHash();
  await site.loseInstance('data');
  return content;
}

beforeAll(async () => {
  site = await Site.create();
  await site.startWorker();
  await site.backUp('physical');
});

it('S4, U2: aside-on copies old data to another file system, empties the directory and restores into it; a killed worker takes it up', async () => {
  const { dataDir } = site.places;
  const spare = join(site.root, 'spare');
  await withOldData(`{ mode: aside-on, path: ${spare} }`);
  const content = await lose();
  expect(await refusal(site, 'recover', 'mairie', '--policy', 'physical', '--dry-run')).toMatchObject({
    exit: 9,
    code: 'path-refused',
    message: expect.stringContaining(spare),
  });
  await mkdir(spare, { mode: 0o700 });
  await giveToPostgres(spare);
  // U2: where others may write, nothing is planned.
  await chmod(spare, 0o777);
  expect(await refusal(site, 'recover', 'mairie', '--policy', 'physical', '--dry-run')).toMatchObject({
    exit: 9,
    code: 'path-refused',
    message: expect.stringContaining(`every user may write in the directory ${spare}`),
    hint: expect.stringContaining(`chmod go-w ${spare}`),
  });
  await chmod(spare, 0o700);

  await site.workers.at(-1)?.stop();
  await site.startWorker({
    REPRISE_CRASH_AT: 'job:after-pid@copy-old-data,job:after-exit@empty-old-data',
    REPRISE_CRASH_ONCE: join(site.root, 'crashed'),
  });
  const { ino } = await lstat(dataDir);
  const work = await site.recover('physical');
  const plan = await site.approve(work);
  const where = join(spare, `pgdata.aside-${plan.binding.operationId.replace(/[^A-Za-z0-9]+/g, '-').slice(-32)}`);
  expect(plan.binding.replaces).toEqual([{ what: dataDir, keptAs: where, copied: true }]);
  for (let deaths = 0; deaths < 2; deaths++) {
    await site.workers.at(-1)?.exited();
    await site.startWorker({
      REPRISE_CRASH_AT: 'job:after-pid@copy-old-data,job:after-exit@empty-old-data',
      REPRISE_CRASH_ONCE: join(site.root, 'crashed'),
    });
  }
  expect(await site.recovered(work)).toMatchObject({ state: 'completed', outcome: { rpoSeconds: 0 } });
  expect(await site.contentHash()).toEqual(content);
  expect((await lstat(dataDir)).ino).toBe(ino);
  expect(await asides()).toEqual([]);
  expect(existsSync(join(where, 'pg_wal'))).toBe(true);
  const item = (await kept()).find((one) => one.where === where);
  expect(item).toMatchObject({ cluster: 'mairie', host: 'db1' });
  await answer(site, 'kept', 'drop', item?.id ?? '', '--yes');
  expect(await readdir(spare)).toEqual([]);
});

it('S4: overwrite-delta says that old data is lost, saves its WAL first, and keeps no copy; given up, the next plan has the WAL', async () => {
  const { dataDir } = site.places;
  await withOldData('{ mode: overwrite-delta }');
  const content = await lose();

  const first = await site.recover('physical', { kind: 'latest' }, 'in-place', true);
  const plan = await site.approve(first);
  expect(plan.binding.replaces).toEqual([{ what: dataDir, keptAs: null }]);
  expect(planText(plan)).toContain(`${dataDir} — LOST: overwritten in place, cannot be undone`);
  await site.waitFor(async () => (await site.status(first)).state === 'paused', 'the first recovery is looked at');
  await first.handle.signal(signalNames.reject, { by: 'dba', reason: 'test' });
  await expect(first.handle.result()).rejects.toThrow();
  const saved = (await kept()).find(({ operationId }) => operationId === plan.binding.operationId);
  expect(saved?.what).toBe(`WAL of the overwritten data directory ${dataDir}`);

  const second = await site.recover('physical');
  expect((await site.approve(second)).binding.salvageFrom).toBe(saved?.where);
  expect(await site.recovered(second)).toMatchObject({ state: 'completed', outcome: { rpoSeconds: 0 } });
  expect(await site.contentHash()).toEqual(content);
  expect(await asides()).toEqual([]);
});
