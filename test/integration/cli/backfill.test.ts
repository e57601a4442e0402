import { beforeAll, expect, it } from '@jest/globals';
import type { BackfillStart } from '../../../src/client/schedules/backfill.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { answer, refusal } from '../../helpers/site-cli.js';
import { dueHour } from '../../helpers/site-template.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

let site: Site;
const DAY_MS = 86_400_000;
/** Midnight UTC so many days ago; the policy `dump` is due half past {@link dueHour}. */
const midnight = (daysAgo: number): string =>
  new Date(Math.floor(Date.now() / DAY_MS) * DAY_MS - daysAgo * DAY_MS).toISOString().slice(0, 19) + 'Z';
const backfill = (from: string, to: string, ...more: string[]) =>
  ['schedule', 'backfill', 'mairie/dump', '--from', from, '--to', to, ...more] as const;
const complete = async (): Promise<number> =>
  (await site.backups()).filter(({ status }) => status === 'complete').length;

beforeAll(async () => {
  site = await Site.create({ retention: '{ count: 1, min_proven: 1 }' });
  await site.startWorker();
  await answer(site, 'schedule', 'apply', '--yes');
});

it('D5: backfill refuses times without offset, ranges that are reversed, not past, empty or too long, and schedules not as the config says', async () => {
  expect(await refusal(site, ...backfill('2026-11-20T00:00:00', midnight(1)))).toMatchObject({
    exit: 9,
    code: 'target-ambiguous',
    hint: expect.stringContaining('2026-11-20T00:00:00Z'),
  });
  expect(await refusal(site, ...backfill(midnight(1), midnight(2)))).toMatchObject({
    exit: 2,
    code: 'usage',
    message: expect.stringContaining('after'),
  });
  expect(await refusal(site, ...backfill(midnight(1), midnight(-1)))).toMatchObject({
    exit: 2,
    message: expect.stringContaining('in the past'),
  });
  expect(await refusal(site, ...backfill(midnight(1), midnight(1)))).toMatchObject({
    exit: 2,
    message: expect.stringContaining('no start'),
  });
  expect(await refusal(site, ...backfill(midnight(90), midnight(1)))).toMatchObject({
    exit: 2,
    message: expect.stringContaining('more than 31'),
  });
  expect(
    await refusal(site, 'schedule', 'backfill', 'mairie/none', '--from', midnight(2), '--to', midnight(1)),
  ).toMatchObject({ exit: 6 });
  await site.session.client.schedule
    .getHandle('reprise/mairie/physical')
    .update((previous) => ({ ...previous, policies: { ...previous.policies, overlap: 'ALLOW_ALL' } }) as never);
  expect(
    await refusal(site, 'schedule', 'backfill', 'mairie/physical', '--from', midnight(2), '--to', midnight(1)),
  ).toMatchObject({ exit: 7, code: 'conflict', hint: expect.stringContaining('schedule apply') });
});

it('F27: backfill starts what was missed, one after the other and once; none of the runs removes anything', async () => {
  await site.backUp('dump');
  await site.backUp('dump');
  // In time, retention lets the first one go.
  expect(await complete()).toBe(1);

  const due = [3, 2].map((daysAgo) => midnight(daysAgo).replace('00:00:00', `${dueHour}:30:00`));
  const range = backfill(midnight(3), midnight(1));
  const expected = due.map((at) => ({ at, workflowId: `backup/mairie/dump-${at}`, alreadyStarted: false }));
  expect(await answer(site, ...range, '--dry-run')).toMatchObject({ dryRun: true, starts: expected });
  expect(await complete()).toBe(1);

  const { starts } = await answer<{ starts: BackfillStart[] }>(site, ...range);
  expect(starts).toEqual(expected);
  const rotations = [];
  for (const { workflowId } of starts) {
    const handle = await site.waitFor(async () => {
      const found = site.session.client.workflow.getHandle(workflowId);
      await found.describe();
      return found;
    }, `${workflowId} is started`);
    rotations.push(((await handle.result()) as { rotation: unknown }).rotation);
  }
  expect(rotations).toEqual(
    [1, 2].map(() => ({
      keep: [],
      remove: [],
      removed: [],
      refused: { reason: expect.stringContaining('missed'), hint: expect.any(String) },
    })),
  );
  expect(await complete()).toBe(3);

  expect(
    (await answer<{ starts: BackfillStart[] }>(site, ...range)).starts.map(({ alreadyStarted }) => alreadyStarted),
  ).toEqual([true, true]);
  expect(await complete()).toBe(3);
  // The next one in time lets them go.
  await site.backUp('dump');
  expect(await complete()).toBe(1);
});
