import { beforeAll, expect, it } from '@jest/globals';
import { findsDamages } from '../../helpers/drill-damage-suite.js';
import { DamageGround, quickDamages } from '../../helpers/drill-damages.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';

failOnLeakedProcesses();

let ground: DamageGround;
beforeAll(async () => {
  ground = await DamageGround.create();
});

it.each(['base', 'physical'] as const)(
  'P4: a drill of an undamaged backup passes, and passes again (%s)',
  async (policy) => {
    await ground.canary();
    await ground.backUp(policy);
    for (let time = 1; time <= 2; time++) expect(await ground.drill(policy)).toEqual([]);
  },
);

findsDamages(quickDamages, () => ground);
