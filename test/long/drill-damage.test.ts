import { beforeAll, expect, it } from '@jest/globals';
import { findsDamages } from '../helpers/drill-damage-suite.js';
import { DamageGround, longDamages } from '../helpers/drill-damages.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';

failOnLeakedProcesses();

let ground: DamageGround;
beforeAll(async () => {
  ground = await DamageGround.create();
});

it.each(['base', 'physical'] as const)(
  'P4: twenty drills of an undamaged backup pass (%s)',
  async (policy) => {
    await ground.canary();
    await ground.backUp(policy);
    for (let time = 1; time <= 20; time++)
      expect({ time, found: await ground.drill(policy) }).toEqual({ time, found: [] });
  },
  1_800_000,
);

findsDamages(longDamages, () => ground);
