import { expect, it } from '@jest/globals';
import type { DamageGround, DrillDamage } from './drill-damages.js';

/** Each damage is made, found by a drill with what to do, and mended. */
export function findsDamages(damages: readonly DrillDamage[], ground: () => DamageGround): void {
  it.each(damages.map((damage) => [damage.name, damage] as const))(
    'P4: the drill of %s fails, and says why',
    async (_, damage) => {
      const mend = await damage.make(ground());
      const findings = await ground().drill(damage.policy);
      await mend();
      expect(findings).toContainEqual(
        expect.objectContaining({
          found: damage.found,
          says: expect.stringMatching(damage.says),
          hint: expect.any(String),
        }),
      );
    },
  );
}
