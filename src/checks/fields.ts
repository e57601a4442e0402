import { z } from 'zod';
import { durationPattern, durationRule } from '../domain/text/units.js';

/** How long a check may take before it counts as failed. */
export const timeout = (preset: string) =>
  z
    .string({ error: durationRule })
    .regex(durationPattern, durationRule)
    .default(preset)
    .describe('How long the check may take before it counts as failed.');
