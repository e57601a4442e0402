import type { SendContext, Sent } from '../notifier.js';
import type { Resolve } from '../shared/destination.js';
import { sendRequest } from '../shared/send-request.js';
import type { HeartbeatOptions, HeartbeatSignal } from './options.js';

const signalOf = { started: 'start', succeeded: 'success', failed: 'fail' } as const satisfies Record<
  string,
  HeartbeatSignal
>;

/**
 * Tells a service outside that a run has begun or how it ended, so that the service tells people where nothing is heard
 * (healthchecks.io/docs/http_api: Pinging API). A test is a success.
 */
export async function sendHeartbeat(context: SendContext, options: HeartbeatOptions, resolve?: Resolve): Promise<Sent> {
  const { message } = context;
  const signal = signalOf[message.run?.state ?? 'succeeded'];
  if (!options.signals.includes(signal)) return { refused: [], detail: `${signal} is not sent: see signals` };
  const { method } = options;
  const what = await sendRequest(
    context,
    options,
    {
      ...{ notifier: 'heartbeat', method, check: 'url' },
      ...(method === 'POST' ? { body: message.subject, headers: { 'content-type': 'text/plain; charset=utf-8' } } : {}),
      addressed: (url) =>
        addressOf(url, signal, { cluster: message.cluster ?? 'test', work: message.run?.work ?? 'test' }),
    },
    resolve,
  );
  return { refused: [], detail: `${signal} accepted by ${what}` };
}

/** Fills in what the URL names, and adds the signal to its path. */
function addressOf(url: URL, signal: HeartbeatSignal, names: { readonly cluster: string; readonly work: string }): URL {
  const filled = (text: string): string =>
    text.replaceAll(/(?:%7B|\{)(cluster|work)(?:%7D|\})/gi, (_all, name: keyof typeof names) => slug(names[name]));
  const address = new URL(url);
  address.pathname = filled(url.pathname) + (signal === 'success' ? '' : `/${signal}`);
  address.search = filled(url.search);
  return address;
}

/** Letters, digits, `-` and `_` are all that such services take in a name. */
function slug(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9_-]+/g, '-');
}
