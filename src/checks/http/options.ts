import { z } from 'zod';
import { duration } from '../../domain/fields.js';

/** A URL of a service, without a password in it: a config's text goes to plans, reports and screens. */
const url = z.string({ error: 'expected a URL' }).superRefine((text, context) => {
  const parsed = URL.canParse(text) ? new URL(text) : undefined;
  if (!parsed || !/^https?:$/.test(parsed.protocol))
    context.addIssue('expected a URL that starts with http:// or https://');
  else if (parsed.username || parsed.password) {
    context.addIssue('a URL may not hold a user or a password\nHINT: let the check ask a path that needs no login');
  }
});

/** Keys of a check of type `http`, besides `type`. */
export const httpOptions = z.strictObject({
  url: url.describe('URL, requested with GET; redirects are not followed.'),
  drill_url: url
    .optional()
    .describe(
      'URL in drills, of an application that uses the restored server; absent: drills leave the check out, as url is that of production.',
    ),
  status: z.int().min(100).max(599).default(200).describe('Status code for the check to pass.'),
  contains: z.string().min(1).optional().describe('Text that the response must contain.'),
  timeout: duration().prefault('10s').describe('How long the check may take before it counts as failed.'),
});

/** What the check reads from `CheckConfig.options`. */
export interface HttpCheckOptions extends Readonly<Record<string, unknown>> {
  readonly url: string;
  /** In drills; absent: it is not asked there. */
  readonly drillUrl?: string;
  readonly status: number;
  readonly contains?: string;
  readonly timeoutSeconds: number;
}

export function readHttpOptions(options: z.output<typeof httpOptions>): HttpCheckOptions {
  const { timeout: timeoutSeconds, drill_url: drillUrl, ...rest } = options;
  return { ...rest, ...(drillUrl === undefined ? {} : { drillUrl }), timeoutSeconds };
}
