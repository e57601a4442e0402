import { createHmac } from 'node:crypto';
import { RepriseError } from '../../domain/errors.js';
import type { NotifierMessage, SendContext, Sent } from '../notifier.js';
import type { Resolve } from '../shared/destination.js';
import { sendRequest } from '../shared/send-request.js';
import type { WebhookOptions } from './options.js';

/** Posts one signed JSON document. `resolve` stands in for DNS in tests. */
export async function sendWebhook(context: SendContext, options: WebhookOptions, resolve?: Resolve): Promise<Sent> {
  const { message, secret } = context;
  const body = JSON.stringify(payload(message));
  const headers = {
    'content-type': 'application/json',
    ...signedHeaders(await secret(options.secret), `msg_${message.id}`, new Date(), body),
  };
  const what = await sendRequest(
    context,
    options,
    { notifier: 'webhook', method: 'POST', headers, body, check: 'url and secret' },
    resolve,
  );
  return { refused: [], detail: `accepted by ${what}` };
}

/** `type`, `timestamp` and `data`, as Standard Webhooks recommends. */
function payload({ id, event, at, cluster, workflowId, subject, text, link, first, others }: NotifierMessage) {
  const names = (recipients: NotifierMessage['first']): string[] => recipients.map(({ contact }) => contact);
  return {
    type: `reprise.${event}`,
    timestamp: at,
    data: {
      id: `msg_${id}`,
      event,
      cluster,
      workflowId,
      subject,
      text,
      webUi: link,
      first: names(first),
      others: names(others),
    },
  };
}

const PREFIX = 'whsec_';
/** The Standard Webhooks specification asks for 24 to 64 bytes. */
const LEAST_BYTES = 24;

/**
 * Headers of a signed message as Standard Webhooks defines them (standardwebhooks.com): HMAC-SHA256 over id, timestamp and
 * body, so that a receiver knows who sent it, that it is whole, and that it is no old one.
 * @throws `config-invalid` for a secret that is none
 */
function signedHeaders(secret: string, id: string, at: Date, body: string): Record<string, string> {
  const timestamp = String(Math.floor(at.getTime() / 1000));
  const signature = createHmac('sha256', keyOf(secret)).update(`${id}.${timestamp}.${body}`).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` };
}

function keyOf(secret: string): Buffer {
  const text = secret.startsWith(PREFIX) ? secret.slice(PREFIX.length) : secret;
  const key = /^[A-Za-z0-9+/]+={0,2}$/.test(text) ? Buffer.from(text, 'base64') : Buffer.alloc(0);
  if (key.length >= LEAST_BYTES) return key;
  throw new RepriseError(
    'config-invalid',
    `the secret of the webhook is no base64 of ${LEAST_BYTES} bytes at least`,
    'make one: echo "whsec_$(openssl rand -base64 32)"',
  );
}
