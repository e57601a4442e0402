import type { LookupAddress } from 'node:dns';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import type { Resolve } from '../../../src/notifiers/shared/destination.js';
import { readWebhookOptions, webhookOptions } from '../../../src/notifiers/webhook/options.js';
import { sendWebhook } from '../../../src/notifiers/webhook/webhook-notifier.js';
import { freePort } from '../../helpers/ports.js';
import { tempDir } from '../../helpers/temp.js';
import { WebhookReceiver } from '../../helpers/webhook-receiver.js';
import { SIGNING_SECRET, context, failureOf, message, secrets } from './given.js';

const send = (url: unknown, more: object = {}, resolve?: Resolve) =>
  sendWebhook(
    context(),
    readWebhookOptions(webhookOptions.parse({ url, secret: { env: 'SIGNING_SECRET' }, ...more })),
    resolve,
  );
const here = { allow_private: true };

/** DNS that answers so, and counts how often it was asked. */
function dns(...answers: readonly (readonly string[])[]): Resolve & { asked: () => number } {
  let asked = 0;
  const resolve: Resolve = (_hostname, answer) => {
    const addresses = answers[Math.min(asked++, answers.length - 1)] ?? [];
    answer(
      null,
      addresses.map((address): LookupAddress => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
  };
  return Object.assign(resolve, { asked: () => asked });
}

describe('webhook: signed', () => {
  it('S2: the receiver of docs/notifications.md verifies it, and takes nothing that was changed', async () => {
    const receiver = await WebhookReceiver.start();
    await send(receiver.url, here);
    const [post] = receiver.posts;
    const verify = await documentedReceiver();
    expect(verify(SIGNING_SECRET, post?.headers, post?.body)).toEqual({
      type: 'reprise.failure',
      timestamp: message.at,
      data: {
        id: `msg_${message.id}`,
        event: 'failure',
        cluster: 'mairie',
        workflowId: message.workflowId,
        subject: message.subject,
        text: message.text,
        webUi: message.link,
        first: ['ops'],
        others: ['dba'],
      },
    });
    expect(post).toMatchObject({
      path: '/hook',
      headers: { 'webhook-id': `msg_${message.id}`, 'content-type': 'application/json' },
    });
    expect(() => verify(SIGNING_SECRET, post?.headers, post?.body.replace('mairie', 'prefecture'))).toThrow(
      'not signed',
    );
    expect(() => verify(`whsec_${Buffer.alloc(32).toString('base64')}`, post?.headers, post?.body)).toThrow(
      'not signed',
    );
    expect(() => verify(SIGNING_SECRET, { ...post?.headers, 'webhook-timestamp': '1' }, post?.body)).toThrow('too old');
  });

  it.each(['short', 'whsec_c2hvcnQ=', 'with blanks in it and long enough'])(
    'a secret that is none is refused, and not repeated: %s',
    async (secret) => {
      const receiver = await WebhookReceiver.start();
      secrets['WEAK'] = secret;
      const { code, text } = await failureOf(send(receiver.url, { ...here, secret: { env: 'WEAK' } }));
      expect([code, text]).toEqual(['config-invalid', expect.stringContaining('openssl rand -base64 32')]);
      expect(text).not.toContain(secret);
      expect(receiver.connections).toBe(0);
    },
  );
});

describe('F41: a URL that points inside', () => {
  it.each([
    '127.0.0.1',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '0.0.0.0',
    '10.0.0.1',
    '172.16.0.1',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '[fe80::1]',
    '[fd00::1]',
    '[64:ff9b::7f00:1]',
    '2130706433',
    '0x7f.1',
    '127.1',
    '224.0.0.1',
  ])('%s is refused before a connection', async (host) => {
    const receiver = await WebhookReceiver.start();
    expect(await failureOf(send(`http://${host}:${receiver.port}/`))).toMatchObject({
      code: 'address-refused',
      text: expect.stringContaining('allow_private: true'),
    });
    expect(receiver.connections).toBe(0);
  });

  it.each(['127.0.0.1', '::1', '10.1.2.3', '169.254.169.254', 'fd00::1', '::ffff:10.0.0.1'])(
    'a public name that resolves to %s is refused, also where another address of it is public',
    async (address) => {
      const receiver = await WebhookReceiver.start();
      for (const answer of [[address], ['93.184.215.14', address]]) {
        expect(await failureOf(send(`http://hook.example.org:${receiver.port}/`, {}, dns(answer)))).toMatchObject({
          code: 'address-refused',
          text: expect.stringContaining(`hook.example.org (${address})`),
        });
      }
      expect(receiver.connections).toBe(0);
    },
  );

  it('the address that was judged is the one connected to: a name that resolves differently a moment later reaches nothing else', async () => {
    const judged = await WebhookReceiver.start();
    const rebinding = dns(['127.0.0.1'], ['127.0.0.2']);
    await send(`http://hook.example.org:${judged.port}/`, { allow: ['127.0.0.1'] }, rebinding);
    expect([judged.posts.length, rebinding.asked()]).toEqual([1, 1]);
    // And each message is judged anew: the next one gets the other address, which is not listed.
    expect(
      await failureOf(send(`http://hook.example.org:${judged.port}/`, { allow: ['127.0.0.1'] }, rebinding)),
    ).toMatchObject({ code: 'address-refused' });
    expect(judged.connections).toBe(1);
  });

  it('a redirect is not followed', async () => {
    const inside = await WebhookReceiver.start();
    const receiver = await WebhookReceiver.start(() => ({ status: 307, headers: { location: inside.url } }));
    expect(await failureOf(send(receiver.url, here))).toMatchObject({
      code: 'notifier-rejected',
      text: expect.stringContaining('a redirect, which is not followed'),
    });
    expect(inside.connections).toBe(0);
  });

  it('an allow-list: what is not on it is not reached; a listed name may still not point inside, a listed network may', async () => {
    const receiver = await WebhookReceiver.start();
    const url = `http://hook.example.org:${receiver.port}/`;
    for (const more of [
      { allow: ['other.example.org'] },
      { allow: ['other.example.org'], allow_private: true },
      { allow: ['10.0.0.0/8'] },
      { allow: ['hook.example.org'] },
    ]) {
      expect(await failureOf(send(url, more, dns(['127.0.0.1'])))).toMatchObject({ code: 'address-refused' });
    }
    expect(await failureOf(send('http://93.184.215.14/', { allow: ['hook.example.org'] }))).toMatchObject({
      code: 'address-refused',
    });
    expect(receiver.connections).toBe(0);
    for (const more of [
      { allow: ['HOOK.example.org'], allow_private: true },
      { allow: ['127.0.0.0/8'] },
      { allow: ['hook.example.org', '127.0.0.1'] },
    ])
      await send(url, more, dns(['127.0.0.1']));
    expect(receiver.posts).toHaveLength(3);
  });
});

describe('webhook: answers', () => {
  it.each([
    [200, null],
    [204, null],
    [400, 'notifier-rejected'],
    [401, 'notifier-rejected'],
    [410, 'notifier-rejected'],
    [408, 'notifier-unreachable'],
    [429, 'notifier-unreachable'],
    [503, 'notifier-unreachable'],
  ])('%i: %s', async (status, code) => {
    const receiver = await WebhookReceiver.start(() => ({ status }));
    if (code === null) await send(receiver.url, here);
    else
      expect(await failureOf(send(receiver.url, here))).toMatchObject({
        code,
        text: expect.stringContaining(`the response is ${status}`),
      });
  });

  it('no answer in time is to be tried again', async () => {
    const receiver = await WebhookReceiver.start(() => null);
    expect(await failureOf(send(receiver.url, { ...here, timeout: '1s' }))).toMatchObject({
      code: 'notifier-unreachable',
      text: expect.stringContaining('no response within 1 s'),
    });
  });

  it('F39: a URL kept as a secret is used, checked like any other, and never repeated', async () => {
    const receiver = await WebhookReceiver.start(() => ({ status: 404 }));
    const given = { env: 'HOOK_URL' };
    secrets['HOOK_URL'] = `${receiver.url}/token-5d1f`;
    const refused = await failureOf(send(given, here));
    expect(receiver.posts[0]?.path).toBe('/hook/token-5d1f');
    secrets['HOOK_URL'] = `http://127.0.0.1:${await freePort()}/token-5d1f`;
    const down = await failureOf(send(given, here));
    const inside = await failureOf(send(given));
    secrets['HOOK_URL'] = 'ftp://x/token-5d1f';
    const wrong = await failureOf(send(given, here));
    expect([refused.code, down.code, inside.code, wrong.code]).toEqual([
      'notifier-rejected',
      'notifier-unreachable',
      'address-refused',
      'config-invalid',
    ]);
    for (const { text } of [refused, down, inside, wrong]) expect(text).not.toContain('token-5d1f');
  });
});

type Verify = (secret: string, headers: unknown, body: string | undefined) => unknown;

/** The code that docs/notifications.md gives to receivers. */
async function documentedReceiver(): Promise<Verify> {
  const docs = await readFile(join(import.meta.dirname, '../../../docs/notifications.md'), 'utf8');
  const code = /```js\n([\s\S]*?)```/.exec(docs)?.[1] ?? '';
  const file = join(await tempDir('receiver'), 'verify.mjs');
  await writeFile(file, code);
  return ((await import(file)) as { verify: Verify }).verify;
}
