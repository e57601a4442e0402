import { beforeAll, describe, expect, it } from '@jest/globals';
import { journeysOf, kills } from '../chaos/cases.js';
import type { Journey, Kill } from '../chaos/cases.js';
import { travel } from '../chaos/journey.js';
import type { Measured } from '../chaos/journey.js';
import { inPool } from '../chaos/pool.js';
import { seeded, seedOr, shuffled } from '../chaos/random.js';
import { resetRecovery } from '../chaos/specials.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';

failOnLeakedProcesses();

/** Fixed, so that every run of the tests is the same; another by REPRISE_CHAOS_SEED. */
const seed = seedOr(20261121);

/** Ten of the kills of `npm run chaos`: both engines, backup, rotation and recovery. */
function sampleOf(random: () => number): readonly Kill[] {
  const some = (policy: Kill['policy'], stage: Kill['stage'], amount: number): Kill[] =>
    shuffled(
      kills.filter((kill) => kill.policy === policy && kill.stage === stage),
      random,
    ).slice(0, amount);
  return [
    ...some('dump', 'backup', 2),
    ...some('dump', 'rotate', 1),
    ...some('dump', 'recover', 2),
    ...some('physical', 'backup', 1),
    ...some('physical', 'rotate', 1),
    ...some('physical', 'recover', 3),
  ];
}

// The longer one first: they run two at a time.
const journeys = (['physical', 'dump'] as const).flatMap((policy) => journeysOf(policy, sampleOf(seeded(seed))));
const RESET = 'F8: a physical recovery is reset in its middle and after its end';
const nameOf = ({ policy, kills: some }: Journey): string =>
  `${policy}: ${some.map(({ stage, at }) => `${stage} ${at}`).join(', ')}`;
let outcomes: ReadonlyMap<string, Promise<Measured>>;

beforeAll(() => {
  outcomes = inPool(
    new Map([
      ...journeys.map((journey) => [nameOf(journey), () => travel(journey)] as const),
      [RESET, resetRecovery('physical')],
    ]),
    2,
  );
});

describe(`D2, F1: a worker killed loses nothing and runs nothing twice (seed ${seed})`, () => {
  it.each(journeys.map(nameOf))(
    '%s',
    async (name) => {
      const journey = journeys.find((one) => nameOf(one) === name);
      expect((await outcomes.get(name))?.kills).toBe(journey?.kills.length);
    },
    400_000,
  );

  it(RESET, async () => void (await outcomes.get(RESET)), 400_000);
});
