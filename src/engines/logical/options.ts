import { z } from 'zod';

/** `options` of a policy with the engine `logical`: its files go to the policy's repository, nothing else is needed. */
export const logicalOptions = z.strictObject({
  compress: z
    .int({ error: 'expected a compression level from 0 to 9' })
    .min(0)
    .max(9)
    .optional()
    .describe('Compression level of pg_dump -Z; absent: the level pg_dump itself takes.'),
});

/** What the engine reads from `policy.options`. */
export interface LogicalOptions extends Readonly<Record<string, unknown>> {
  readonly compress?: number;
}

export function readLogicalOptions(options: z.output<typeof logicalOptions>): LogicalOptions {
  return { ...options };
}
