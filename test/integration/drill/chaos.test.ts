import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { drillKills, journeysOf } from '../../chaos/cases.js';
import { killServerOnly, killingCheck, travelDrill } from '../../chaos/drill-cases.js';
import { DrillSite } from '../../chaos/drills.js';
import { seeded, seedOr, shuffled } from '../../chaos/random.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';

failOnLeakedProcesses();

/** Fixed, so that every run of the tests is the same; another by REPRISE_CHAOS_SEED. */
const seed = seedOr(20261129);
const kills = shuffled(
  drillKills.filter(({ policy }) => policy === 'dump'),
  seeded(seed),
).slice(0, 3);

let drills: DrillSite;
beforeAll(async () => {
  drills = await DrillSite.create({}, killingCheck);
});
afterAll(() => drills?.site.remove());

/** A sample; `npm run chaos` has all of it, and what is minutes long. */
describe(`a drill that is killed anywhere ends as it should, and leaves nothing (seed ${seed})`, () => {
  const [journey] = journeysOf('dump', kills);
  it(`P4, F1: workers that are killed (${journey?.kills.map(({ at }) => at).join(', ')}): it goes on, and seals its evidence once`, async () => {
    if (journey === undefined) throw new Error('there is no kill');
    expect((await travelDrill(drills, journey)).kills).toBe(journey.kills.length);
  });

  it('P4: a staging server that is killed while it is checked is started again, and fails no check', async () => {
    await killServerOnly(drills, 'dump');
  });
});
