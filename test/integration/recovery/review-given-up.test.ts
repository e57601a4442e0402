import { expect, it } from '@jest/globals';
import { signalNames } from '../../../src/domain/operation/names.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

it('S4, F33: a recovery given up at its target; the next one has every commit all the same, and the first can never go on', async () => {
  const site = await Site.create();
  await site.startWorker();
  await site.backUp('physical');
  const rows = await site.commit(100);
  const content = await site.contentHash();
  // What was committed last is in the old pg_wal only.
  await site.loseInstance('data');

  const first = await site.recover('physical', { kind: 'latest' }, 'in-place', true);
  const givenUp = await site.approve(first);
  await site.waitFor(async () => (await site.status(first)).state === 'paused', 'the first recovery is looked at');
  await first.handle.signal(signalNames.reject, { by: 'dba', reason: 'test' });
  await expect(first.handle.result()).rejects.toThrow();

  const second = await site.recover('physical');
  const plan = await site.approve(second);
  expect(plan.binding.salvageFrom).toBe(givenUp.binding.replaces[0]?.keptAs);
  expect(await site.recovered(second)).toMatchObject({ state: 'completed', outcome: { rpoSeconds: 0 } });
  expect((await site.query('SELECT count(*)::int AS n FROM metier.demandes_rdv')).rows).toEqual([{ n: rows }]);
  expect(await site.contentHash()).toEqual(content);
  const { dataDir } = site.places;
  expect(givenUp.binding.replaces).toEqual([{ what: dataDir, keptAs: expect.stringContaining(`${dataDir}.aside-`) }]);
});
