import { createHmac } from 'node:crypto';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { readCertificates } from '../../files/certificates.js';
import { reasonWithout, rejected, unreachable } from '../failures.js';
import type { NotifierMessage, SendContext, Sent } from '../notifier.js';
import { guardedLookup, refuseForeign, type Resolve } from './destination.js';
import { urlProblem, type WebhookOptions } from './options.js';

/** Answers that say "later" (RFC 9110, RFC 6585), besides all 5xx. */
const LATER = [408, 425, 429];

/**
 * Posts one signed JSON document. A redirect is not followed: what is signed for one place is for no other. `resolve`
 * stands in for DNS in tests.
 */
export async function sendWebhook(
  { message, secret, signal }: SendContext,
  options: WebhookOptions,
  resolve?: Resolve,
): Promise<Sent> {
  const hidden = typeof options.url === 'string' ? undefined : await secret(options.url);
  const url = await destination(hidden ?? String(options.url), options);
  const what = `webhook ${url.host}`;
  const body = JSON.stringify(payload(message));
  const headers = {
    'content-type': 'application/json',
    'user-agent': 'reprise',
    ...signedHeaders(await secret(options.secret), `msg_${message.id}`, new Date(), body),
  };
  const ca = await readCertificates(options.caFile, 'check ca_file of the notifier');
  const late = AbortSignal.timeout(options.timeoutSeconds * 1000);
  const status = await post(url, {
    headers,
    body,
    ca,
    lookup: guardedLookup(options, resolve),
    signal: AbortSignal.any([signal, late]),
  }).catch((error: unknown) => {
    signal.throwIfAborted();
    if (isRepriseError(error)) throw error;
    throw unreachable(
      what,
      late.aborted ? `no response within ${options.timeoutSeconds} s` : reasonWithout(hidden, error),
    );
  });
  if (status >= 200 && status < 300) return { refused: [], detail: `accepted by ${what}` };
  if (status >= 300 && status < 400)
    throw rejected(
      what,
      `the response is ${status}, a redirect, which is not followed`,
      'put the final address under url:',
    );
  if (status >= 500 || LATER.includes(status)) throw unreachable(what, `the response is ${status}`);
  throw rejected(what, `the response is ${status}`, 'check url and secret of the notifier');
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

/** Checked again when it is used: what a reference gives may have changed since. */
async function destination(text: string, options: WebhookOptions): Promise<URL> {
  const problem = urlProblem(text);
  if (problem !== null) {
    const [message = '', hint] = problem.split('\nHINT: ');
    throw new RepriseError('config-invalid', `url of the webhook: ${message}`, hint);
  }
  const url = new URL(text);
  refuseForeign(options, url);
  return url;
}

interface Post {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly ca: string | undefined;
  readonly lookup: ReturnType<typeof guardedLookup>;
  readonly signal: AbortSignal;
}

/** Status of the answer; its text is not read. A connection of its own, so that no kept one is taken past the lookup. */
function post(url: URL, { headers, body, ca, lookup, signal }: Post): Promise<number> {
  const request = url.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      {
        method: 'POST',
        headers: { ...headers, 'content-length': Buffer.byteLength(body) },
        lookup,
        signal,
        agent: false,
        ...(ca === undefined ? {} : { ca }),
      },
      (response) => {
        resolve(response.statusCode ?? 0);
        response.destroy();
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
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
