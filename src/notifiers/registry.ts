import type { z } from 'zod';
import { registered } from '../domain/fields.js';
import { heartbeatOptions, readHeartbeatOptions } from './heartbeat/options.js';
import { mailAddress, mailOptions, readMailOptions } from './mail/options.js';
import type { NotifierKind } from './notifier.js';
import { readWebhookOptions, webhookOptions } from './webhook/options.js';

/** Every kind of notifier: one line each; config schema, addresses of contacts and docs follow from it. */
export const notifierKinds: Readonly<Record<string, NotifierKind>> = {
  mail: notifierKind({
    options: mailOptions,
    read: readMailOptions,
    address: mailAddress,
    send: async (...given) => (await import('./mail/mail-notifier.js')).sendMail(...given),
  }),
  heartbeat: notifierKind({
    options: heartbeatOptions,
    read: readHeartbeatOptions,
    address: null,
    takesRuns: true,
    send: async (...given) => (await import('./heartbeat/heartbeat-notifier.js')).sendHeartbeat(...given),
  }),
  webhook: notifierKind({
    options: webhookOptions,
    read: readWebhookOptions,
    address: null,
    send: async (...given) => (await import('./webhook/webhook-notifier.js')).sendWebhook(...given),
  }),
};

/** Notifier of a kind named in the config. Throws `config-invalid` for a kind that is not registered. */
export function notifierOf(kind: string): NotifierKind {
  return registered(notifierKinds, kind, `unknown notifier type "${kind}"`, 'known types');
}

/** Checks that a line's parts belong together, before their types are forgotten. */
function notifierKind<S extends z.ZodObject, O>(kind: NotifierKind<S, O>): NotifierKind {
  return kind as unknown as NotifierKind;
}
