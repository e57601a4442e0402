import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Kill, drillKills, journeysOf } from '../../chaos/cases.js';
import {
  cancelDrill,
  type DrilledPolicy,
  killServerOnly,
  killWithServer,
  killingCheck,
  leftAt,
  terminateDrill,
  travelDrill,
} from '../../chaos/drill-cases.js';
import { DrillSite } from '../../chaos/drills.js';
import { seeded, seedOr, shuffled } from '../../chaos/random.js';
import { readPostmaster } from '../../../src/postgres/server/postmaster.js';
import { labelOf } from '../../chaos/journey.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { reaches, refusal } from '../../helpers/site-cli.js';

failOnLeakedProcesses();

/** Fixed, so that every run of the tests is the same; another by REPRISE_CHAOS_SEED. */
const seed = seedOr(20261129);
const random = seeded(seed);
const some = <T>(items: readonly T[], amount: number): T[] => shuffled(items, random).slice(0, amount);
const killsOf = (policy: DrilledPolicy): readonly Kill[] => drillKills.filter((kill) => kill.policy === policy);

let drills: DrillSite;
beforeAll(async () => {
  drills = await DrillSite.create({ retention: '{ count: 1, min_proven: 1 }' }, killingCheck);
}, 300_000);
afterAll(() => drills?.site.remove());

/** A sample; `npm run chaos` has all of it. */
describe(`a drill that is killed anywhere ends as it should, and leaves nothing (seed ${seed})`, () => {
  const [kills] = journeysOf('dump', some(killsOf('dump'), 3));
  it(`P4, F1: workers that are killed (${kills?.kills.map(({ at }) => at).join(', ')}): it goes on, and seals its evidence once`, async () => {
    if (kills === undefined) throw new Error('there is no kill');
    expect((await travelDrill(drills, kills)).kills).toBe(kills.kills.length);
  }, 400_000);

  it('P4, F2: the host restarts in the middle of a drill, worker and staging server: it goes on', async () => {
    await killWithServer(drills, 'physical', some(['checkStaging', 'openStaging', 'closeStaging'], 1));
  }, 400_000);

  it('P4: a staging server that is killed while it is checked is started again, and fails no check', async () => {
    await killServerOnly(drills, 'dump');
  }, 400_000);

  it('P4, F46: a drill that is terminated while its tool restores keeps neither place nor tool from the next one', async () => {
    await terminateDrill(drills, 'physical', 'job:after-pid@restore-NEWEST', true);
  }, 400_000);

  const [point = ''] = some(leftAt('dump'), 1);
  it(`P4: a drill that is cancelled while no worker runs (${point}) says what it came to, and clears up`, async () => {
    await cancelDrill(drills, 'dump', point);
  }, 400_000);
});

describe('P4: what runs beside a drill', () => {
  it('P4, F29: one that is being looked at holds its place and its backups, and nothing else: another drill is refused, a backup, a rotation and a recovery in place are not', async () => {
    const { site } = drills;
    const worker = await site.startWorker();
    const held = await drills.newest('physical');
    const labels = async () =>
      (await site.backups())
        .filter(({ policy, status }) => policy === 'physical' && status === 'complete')
        .map(({ label }) => label);
    const work = await drills.start({ engines: ['pgbackrest'] });
    await reaches(site, work.workflowId, 'waiting-sign-off');
    const staged = await readPostmaster(drills.staging);
    expect(await refusal(site, 'drill', 'run', 'mairie', '--engine', 'dump')).toMatchObject({
      ...{ exit: 7, code: 'conflict' },
      message: expect.stringContaining(work.workflowId),
    });
    const newer = labelOf(await site.backUp('physical', 'full'));
    await site.rotate('physical');
    expect(await labels()).toEqual([held.label, newer]);
    await site.commit(5);
    const expected = await site.contentHash();
    await site.loseInstance('data');
    const recovery = await site.recover('physical');
    await site.approve(recovery);
    expect((await site.recovered(recovery)).state).toBe('completed');
    expect(await site.contentHash()).toEqual(expected);
    expect(await readPostmaster(drills.staging)).toEqual(staged);
    await drills.signOffWhenAsked(work);
    expect(await site.result(work)).toMatchObject({ outcome: { verdict: 'pass' } });
    await worker.stop();
    // Claims of backups are kept until the next worker looks.
    const next = await site.startWorker();
    await drills.requireNothingLeft();
    await site.rotate('physical');
    expect(await labels()).not.toContain(held.label);
    await next.stop();
  }, 400_000);
});
