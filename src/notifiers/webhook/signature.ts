import { createHmac } from 'node:crypto';
import { RepriseError } from '../../domain/errors.js';

const PREFIX = 'whsec_';
/** The Standard Webhooks specification asks for 24 to 64 bytes. */
const LEAST_BYTES = 24;

/**
 * Headers of a signed message as Standard Webhooks defines them (standardwebhooks.com): HMAC-SHA256 over id, timestamp and
 * body, so that a receiver knows who sent it, that it is whole, and that it is no old one.
 * @throws `config-invalid` for a secret that is none
 */
export function signedHeaders(secret: string, id: string, at: Date, body: string): Record<string, string> {
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
