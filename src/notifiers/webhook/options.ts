import type { z } from 'zod';
import type { SecretReference } from '../../domain/config.js';
import { secretReference } from '../../domain/fields.js';
import { readUrlOptions, urlOptions, type UrlOptions } from '../shared/url-options.js';

/** Keys of a notifier of type `webhook`, besides `type`. */
export const webhookOptions = urlOptions.extend({
  secret: secretReference().describe(
    'Secret that signs the messages (whsec_ and 24 to 64 random bytes in base64), by reference.',
  ),
});

/** What the notifier reads from `NotifierConfig.options`. */
export interface WebhookOptions extends UrlOptions {
  readonly secret: SecretReference;
}

export function readWebhookOptions({ secret, ...options }: z.output<typeof webhookOptions>): WebhookOptions {
  return { ...readUrlOptions(options), secret };
}
