import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { readCertificates } from '../../files/certificates.js';
import type { SendContext } from '../notifier.js';
import { guardedLookup, refuseForeign, type Resolve } from './destination.js';
import { reasonWithout, rejected, unreachable } from './failures.js';
import { urlProblem, type UrlOptions } from './url-options.js';

/** Answers that say "later" (RFC 9110, RFC 6585), besides all 5xx. */
const LATER = [408, 425, 429];

export interface HttpMessage {
  /** What the notifier is called in errors: `webhook`. */
  readonly notifier: string;
  readonly method: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  /** Absent: none is sent. */
  readonly body?: string;
  /** What to check where it is refused, in a few words. */
  readonly check: string;
  /** Makes the URL that is asked for of the one of the configuration. */
  readonly addressed?: (url: URL) => URL;
}

/**
 * Sends one request to the URL of a notifier; returns where it was accepted, without what is secret in it. A redirect is not
 * followed: what is meant for one place is for no other. `resolve` stands in for DNS in tests.
 * @throws RepriseError `notifier-unreachable`, `notifier-rejected`, `address-refused`, `config-invalid`
 */
export async function sendRequest(
  { secret, signal }: Pick<SendContext, 'secret' | 'signal'>,
  options: UrlOptions,
  message: HttpMessage,
  resolve?: Resolve,
): Promise<string> {
  const hidden = typeof options.url === 'string' ? undefined : await secret(options.url);
  const url = destination(hidden ?? String(options.url), options, message);
  const what = `${message.notifier} ${url.host}`;
  const { method, body } = message;
  const ca = await readCertificates(options.caFile, 'check ca_file of the notifier');
  const late = AbortSignal.timeout(options.timeoutSeconds * 1000);
  const status = await statusOf(url, {
    ...{ method, body, ca },
    headers: { 'user-agent': 'reprise', ...message.headers },
    lookup: guardedLookup(options, message.notifier, resolve),
    signal: AbortSignal.any([signal, late]),
  }).catch((error: unknown) => {
    signal.throwIfAborted();
    if (isRepriseError(error)) throw error;
    throw unreachable(
      what,
      late.aborted ? `no response within ${options.timeoutSeconds} s` : reasonWithout(hidden, error),
    );
  });
  if (status >= 200 && status < 300) return what;
  if (status >= 300 && status < 400)
    throw rejected(
      what,
      `the response is ${status}, a redirect, which is not followed`,
      'put the final address under url:',
    );
  if (status >= 500 || LATER.includes(status)) throw unreachable(what, `the response is ${status}`);
  throw rejected(what, `the response is ${status}`, `check ${message.check} of the notifier`);
}

/** Checked again when it is used: what a reference gives may have changed since. */
function destination(text: string, options: UrlOptions, { notifier, addressed }: HttpMessage): URL {
  const problem = urlProblem(text);
  if (problem !== null) {
    const [message = '', hint] = problem.split('\nHINT: ');
    throw new RepriseError('config-invalid', `url of the ${notifier}: ${message}`, hint);
  }
  const url = new URL(text);
  refuseForeign(options, url, notifier);
  return addressed?.(url) ?? url;
}

interface Request {
  readonly method: HttpMessage['method'];
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  readonly ca: string | undefined;
  readonly lookup: ReturnType<typeof guardedLookup>;
  readonly signal: AbortSignal;
}

/** Status of the answer; its text is not read. A connection of its own, so that no kept one is taken past the lookup. */
function statusOf(url: URL, { method, headers, body, ca, lookup, signal }: Request): Promise<number> {
  const request = url.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      {
        ...{ method, lookup, signal },
        headers: { ...headers, ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }) },
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
