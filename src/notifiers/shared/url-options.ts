import ipaddr from 'ipaddr.js';
import { z } from 'zod';
import type { SecretReference } from '../../domain/config.js';
import { caFile, duration, secretReference } from '../../domain/fields.js';
import type { Reach } from './destination.js';

const hostPattern = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/i;

/** A URL without a password in it; one that is itself a secret is elsewhere, by reference. */
const plainUrl = z.string().superRefine((text, context) => {
  const problem = urlProblem(text);
  if (problem !== null) context.addIssue(problem);
});

const allowed = z
  .string()
  .refine(
    (text) => hostPattern.test(text) || ipaddr.isValid(text) || ipaddr.isValidCIDR(text),
    'expected a host name, an address or a network such as 10.1.0.0/16',
  );

/** Keys of a notifier that sends to a URL: which one, and what it may reach. */
export const urlOptions = z.strictObject({
  url: z
    .union([plainUrl, secretReference()], {
      error: ({ input }) =>
        (typeof input === 'string' ? urlProblem(input) : null) ??
        'expected a URL, or where one is kept: { file: PATH }',
    })
    .describe('URL to which messages are sent; by reference if it is a secret.'),
  allow: z
    .array(allowed)
    .min(1)
    .optional()
    .describe('The only hosts, addresses or networks to which messages may be sent; listed addresses may be private.'),
  allow_private: z
    .boolean()
    .default(false)
    .describe('Whether the host may have a private, loopback or link-local address.'),
  timeout: duration().prefault('20s').describe('How long the response may take.'),
  ca_file: caFile(),
});

/** What such a notifier reads from `NotifierConfig.options`. */
export interface UrlOptions extends Reach, Readonly<Record<string, unknown>> {
  readonly url: string | SecretReference;
  /** Host names, addresses and networks; null: any public one. */
  readonly allow: readonly string[] | null;
  readonly allowPrivate: boolean;
  readonly timeoutSeconds: number;
  readonly caFile?: string;
}

export function readUrlOptions(options: z.output<typeof urlOptions>): UrlOptions {
  const { url, allow, allow_private: allowPrivate, timeout: timeoutSeconds, ca_file: file } = options;
  return { url, allow: allow ?? null, allowPrivate, timeoutSeconds, caFile: file };
}

/** What is wrong with a URL to send to, without repeating it: it may hold a token. */
export function urlProblem(text: string): string | null {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) return 'expected a URL that starts with https:// or http://';
  if (url.username || url.password)
    return 'a URL may not hold a user or a password\nHINT: put the whole URL into a file and write url: { file: PATH }';
  return null;
}
