import { z } from 'zod';
import { holdsNoNul, noNulRule, duration } from '../../domain/fields.js';

const text = (rule: string) => z.string().min(1, rule).refine(holdsNoNul, noNulRule);
const count = () => z.int({ error: 'expected a whole number' });

/** Keys of a check of type `sql`, besides `type`: one query that gives one number. */
export const sqlOptions = z
  .strictObject({
    database: text('expected the name of a database').describe('Database the query runs in.'),
    query: text('expected a query').describe('Query that returns one row with one number.'),
    compare: z
      .literal('recorded', { error: 'expected "recorded"' })
      .optional()
      .describe('recorded: the number must be the count recorded with the backup.'),
    min: count().optional().describe('Minimum for the check to pass.'),
    max: count().optional().describe('Maximum for the check to pass.'),
    equals: count().optional().describe('Exact number for the check to pass.'),
    timeout: duration().prefault('30s').describe('How long the check may take before it counts as failed.'),
  })
  .superRefine(({ compare, min, max, equals }, context) => {
    const demands = [compare, equals, min ?? max].filter((demand) => demand !== undefined).length;
    if (demands === 0)
      context.addIssue('the check compares with nothing\nHINT: add compare: recorded, min:, max: or equals:');
    if (demands > 1) {
      context.addIssue('the check has more than one rule\nHINT: keep one of compare, equals, or min and max');
    }
    if (min !== undefined && max !== undefined && min > max) {
      context.addIssue({ code: 'custom', path: ['max'], message: `max ${max} is below min ${min}` });
    }
  });

/** What the check reads from `CheckConfig.options`. */
export interface SqlCheckOptions extends Readonly<Record<string, unknown>> {
  readonly database: string;
  readonly query: string;
  readonly compare?: 'recorded';
  readonly min?: number;
  readonly max?: number;
  readonly equals?: number;
  readonly timeoutSeconds: number;
}

export function readSqlOptions(options: z.output<typeof sqlOptions>): SqlCheckOptions {
  const { timeout: timeoutSeconds, ...rest } = options;
  return { ...rest, timeoutSeconds };
}
