import { z } from 'zod';
import { duration, holdsNoNul, noNulRule } from '../../domain/fields.js';

/** Keys of a check of type `command`, besides `type`. */
export const commandOptions = z
  .strictObject({
    argv: z
      .array(z.string().refine(holdsNoNul, noNulRule))
      .min(1)
      .refine(([program]) => program !== '', 'the program may not be empty')
      .describe(
        'Program and arguments, run without a shell on the host of the restored server. It finds that server by PGHOST, PGPORT, PGUSER and PGDATABASE.',
      ),
    exit_code: z.int().min(0).max(255).default(0).describe('Exit code for the check to pass.'),
    contains: z.string().min(1).optional().describe('Text that its output must contain.'),
    min: z.number().optional().describe('Its output must be one number, and this is the minimum, e.g. of workers.'),
    max: z.number().optional().describe('Its output must be one number, and this is the maximum, e.g. of a queue.'),
    timeout: duration().prefault('30s').describe('How long it may take before it counts as failed.'),
  })
  .superRefine(({ min, max }, context) => {
    if (min !== undefined && max !== undefined && min > max)
      context.addIssue({ code: 'custom', path: ['max'], message: `max ${max} is below min ${min}` });
  });

/** What the check reads from `CheckConfig.options`. */
export interface CommandCheckOptions extends Readonly<Record<string, unknown>> {
  readonly argv: readonly string[];
  readonly exitCode: number;
  readonly contains?: string;
  readonly min?: number;
  readonly max?: number;
  readonly timeoutSeconds: number;
}

export function readCommandOptions(options: z.output<typeof commandOptions>): CommandCheckOptions {
  const { timeout: timeoutSeconds, exit_code: exitCode, ...rest } = options;
  return { ...rest, exitCode, timeoutSeconds };
}
