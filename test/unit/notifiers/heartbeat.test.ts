import { expect, it } from '@jest/globals';
import type { NotifierMessage } from '../../../src/notifiers/notifier.js';
import { sendHeartbeat } from '../../../src/notifiers/heartbeat/heartbeat-notifier.js';
import { heartbeatOptions, readHeartbeatOptions } from '../../../src/notifiers/heartbeat/options.js';
import { WebhookReceiver } from '../../helpers/webhook-receiver.js';
import { context, failureOf, secrets } from './given.js';

const subject = '[reprise] nightly of mairie has begun';
const run = (state: NonNullable<NotifierMessage['run']>['state'], work = 'nightly') =>
  context({ event: 'run', subject, run: { work, state } });
const options = (url: unknown, more: object = {}) =>
  readHeartbeatOptions(heartbeatOptions.parse({ url, allow_private: true, ...more }));

it('K7: begin, success and failure go to the paths that such services have; placeholders are filled, the query stays', async () => {
  const receiver = await WebhookReceiver.start();
  const to = options(`http://127.0.0.1:${receiver.port}/key/{cluster}-{work}?create=1`);
  for (const state of ['started', 'succeeded', 'failed'] as const) await sendHeartbeat(run(state), to);
  await sendHeartbeat(run('succeeded', 'Été 2026/x'), to);
  expect(receiver.posts.map(({ path, body }) => [path, body])).toEqual([
    ['/key/mairie-nightly/start?create=1', subject],
    ['/key/mairie-nightly?create=1', subject],
    ['/key/mairie-nightly/fail?create=1', subject],
    ['/key/mairie--t-2026-x?create=1', subject],
  ]);
});

it('K7: by GET without a body, and only what is asked for', async () => {
  const receiver = await WebhookReceiver.start();
  const to = options(receiver.url, { method: 'GET', signals: ['success'] });
  for (const state of ['started', 'failed', 'succeeded'] as const) await sendHeartbeat(run(state), to);
  // What `reprise notify test` sends.
  await sendHeartbeat(context({ event: 'test' }), to);
  expect(receiver.posts.map(({ path, body }) => [path, body])).toEqual([
    ['/hook', ''],
    ['/hook', ''],
  ]);
});

it('F39, F41: the URL is a secret that no failure repeats, and a private address is refused unless it is allowed', async () => {
  const receiver = await WebhookReceiver.start(() => ({ status: 404 }));
  secrets['PING'] = `http://127.0.0.1:${receiver.port}/canary-0815`;
  const refused = await failureOf(sendHeartbeat(run('succeeded'), options({ env: 'PING' })));
  expect(refused).toMatchObject({
    code: 'notifier-rejected',
    text: expect.stringContaining('check url of the notifier'),
  });
  const foreign = await failureOf(sendHeartbeat(run('succeeded'), options({ env: 'PING' }, { allow_private: false })));
  expect(foreign).toMatchObject({
    code: 'address-refused',
    text: expect.stringContaining('the heartbeat may not reach'),
  });
  for (const { text } of [refused, foreign]) expect(text).not.toContain('canary-0815');
  expect(receiver.posts).toHaveLength(1);
});
