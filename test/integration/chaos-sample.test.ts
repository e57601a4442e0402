import { beforeAll, describe, expect, it } from '@jest/globals';
import { journeysOf, kills } from '../chaos/cases.js';
import type { Journey, Kill } from '../chaos/cases.js';
import { disturb, disturbedCases, nameOfDisturbed } from '../chaos/disturbances.js';
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
/** Four of what is done to an operation while it runs; each is a case of `npm run chaos` too. */
const disturbed = disturbedCases.filter(({ policy, stage, disturbance, number }) =>
  [
    'dump backup paused and unpaused 1',
    'dump backup cancelled 1',
    'dump recover its lock workflow terminated 1',
    'dump recover its host worker stopped 1',
  ].includes([policy, stage, disturbance, number].join(' ')),
);
let outcomes: ReadonlyMap<string, Promise<Measured>>;

beforeAll(() => {
  outcomes = inPool(
    new Map([
      ...journeys.map((journey) => [nameOf(journey), () => travel(journey)] as const),
      [RESET, resetRecovery('physical')],
      ...disturbed.map((which, place) => [nameOfDisturbed(which), disturb(which, seeded(seed + place + 1))] as const),
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
    900_000,
  );

  it.each(disturbed.map(nameOfDisturbed))('%s', async (name) => void (await outcomes.get(name)), 900_000);

  it(RESET, async () => void (await outcomes.get(RESET)), 900_000);
});
