import { describe, expect, it } from '@jest/globals';
import { notifierKinds, notifierOf } from '../../../src/notifiers/registry.js';
import { MailServer } from '../../helpers/mail-server.js';
import { freePort } from '../../helpers/ports.js';
import { WebhookReceiver } from '../../helpers/webhook-receiver.js';
import { PASSWORD, SIGNING_SECRET, context, failureOf, message } from './given.js';

/** Somebody who receives, for every kind: what the notifier is told, and what arrived. */
interface Receiver {
  readonly options: (port: number) => Readonly<Record<string, unknown>>;
  readonly start: (port: number) => Promise<() => readonly { id: string; subject: string; text: string }[]>;
}
const receivers: Readonly<Record<string, Receiver>> = {
  mail: {
    options: (port) => ({
      host: '127.0.0.1',
      port,
      from: 'reprise@example.org',
      user: 'reprise',
      password: { env: 'PASSWORD' },
    }),
    start: async (port) => {
      const server = await MailServer.start({ port, user: 'reprise', password: PASSWORD });
      return () =>
        server.mails.map(({ headers, text }) => ({
          id: headers['message-id'] ?? '',
          subject: headers['subject'] ?? '',
          text,
        }));
    },
  },
  heartbeat: {
    options: (port) => ({ url: `http://127.0.0.1:${port}/ping`, allow_private: true }),
    start: async (port) => {
      const receiver = await WebhookReceiver.start(undefined, port);
      return () => receiver.posts.map(({ path, body }) => ({ id: path, subject: body, text: body }));
    },
  },
  webhook: {
    options: (port) => ({ url: `http://127.0.0.1:${port}/`, secret: { env: 'SIGNING_SECRET' }, allow_private: true }),
    start: async (port) => {
      const receiver = await WebhookReceiver.start(undefined, port);
      return () =>
        receiver.posts.map(({ headers, body }) => ({
          id: String(headers['webhook-id']),
          ...(JSON.parse(body) as { data: { subject: string; text: string } }).data,
        }));
    },
  },
};

describe.each(Object.keys(notifierKinds))('contract of notifiers: %s', (name) => {
  const kind = notifierOf(name);
  const receiver = receivers[name] as Receiver;
  const read = (port: number) => kind.read(kind.options.parse(receiver.options(port)));

  // A heartbeat tells a service that something ran, and people nothing: tried in heartbeat.test.ts.
  if (!kind.takesRuns)
    it('delivers subject and text as they are, with the same id in every attempt', async () => {
      const port = await freePort();
      const received = await receiver.start(port);
      for (const _attempt of [1, 2])
        expect(await kind.send(context(), read(port))).toEqual({
          refused: [],
          detail: expect.stringContaining(`127.0.0.1:${port}`),
        });
      const [first, second] = received();
      expect(first).toMatchObject({ subject: message.subject, text: message.text });
      expect(second).toMatchObject({ id: first?.id });
      expect(first?.id).toContain(message.id);
    });

  it('F34: a receiver that is down is to be tried again, and says where; then it is told', async () => {
    const port = await freePort();
    const { code, text } = await failureOf(kind.send(context(), read(port)));
    expect([code, text]).toEqual(['notifier-unreachable', expect.stringContaining(`127.0.0.1:${port}`)]);
    const received = await receiver.start(port);
    await kind.send(context(), read(port));
    expect(received()).toHaveLength(1);
  });

  it('F39: what it fails with contains no secret', async () => {
    const { text } = await failureOf(kind.send(context(), read(await freePort())));
    for (const secret of [PASSWORD, SIGNING_SECRET, SIGNING_SECRET.slice(6)]) expect(text).not.toContain(secret);
  });

  it('stops when it is told to', async () => {
    const port = await freePort();
    const received = await receiver.start(port);
    await expect(kind.send(context({}, AbortSignal.abort(new Error('stopped'))), read(port))).rejects.toThrow(
      'stopped',
    );
    expect(received()).toEqual([]);
  });

  it('describes every key, and takes no other', () => {
    for (const [key, field] of Object.entries(kind.options.shape))
      expect([key, (field as { description?: string }).description]).toEqual([key, expect.stringMatching(/\.$/)]);
    expect(kind.options.safeParse({ ...receiver.options(1), banana: 1 }).success).toBe(false);
  });
});

it('a kind that is not there is named, with those there are', () => {
  expect(() => notifierOf('fax')).toThrow('unknown notifier type "fax"');
});
