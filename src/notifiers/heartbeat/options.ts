import { z } from 'zod';
import { readUrlOptions, urlOptions, type UrlOptions } from '../shared/url-options.js';

const signals = ['start', 'success', 'fail'] as const;
export type HeartbeatSignal = (typeof signals)[number];

/** Keys of a notifier of type `heartbeat`, besides `type`. */
export const heartbeatOptions = urlOptions.extend({
  method: z.enum(['POST', 'GET']).default('POST').describe('How the URL is asked for.'),
  signals: z
    .array(z.enum(signals))
    .min(1)
    .default([...signals])
    .describe(
      'What is sent: `success` to the URL itself, `start` and `fail` to it with /start and /fail at the end of its path. A service that knows no such paths: [success].',
    ),
});

/** What the notifier reads from `NotifierConfig.options`. */
export interface HeartbeatOptions extends UrlOptions {
  readonly method: 'POST' | 'GET';
  readonly signals: readonly HeartbeatSignal[];
}

export function readHeartbeatOptions({
  method,
  signals: sent,
  ...options
}: z.output<typeof heartbeatOptions>): HeartbeatOptions {
  return { ...readUrlOptions(options), method, signals: sent };
}
