import { expect, it } from '@jest/globals';
import { predictedText } from '../../../src/cli/commands/drill.js';
import { sampleDrillOutcome } from '../../helpers/drill-sample.js';

it('P4: drill show holds the prediction against what the restore took', () => {
  const [physical, dump] = sampleDrillOutcome.restores;
  expect(predictedText(physical!)).toBe('1460 s, at most 1810 s in nine of ten cases; it took 5 % more');
  expect(predictedText({ ...physical!, rtoSeconds: 730 })).toContain('it took 50 % less');
  expect(predictedText(dump!)).toBe('nothing was measured before');
});
