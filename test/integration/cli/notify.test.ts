import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { NotifyOutput } from '../../../src/workflows/api.js';
import { CanaryWatch, filesBelow, textOf } from '../../helpers/canary.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { MailServer } from '../../helpers/mail-server.js';
import { freePort } from '../../helpers/ports.js';
import { answer, approved, planned, reaches, told } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';
import { WebhookReceiver } from '../../helpers/webhook-receiver.js';

failOnLeakedProcesses();

const PASSWORD = `canary-${randomBytes(12).toString('hex')}`;
const KEY = `whsec_${randomBytes(32).toString('base64')}`;

let site: Site;
let mail: MailServer;
let chat: WebhookReceiver;
let watch: CanaryWatch;
let answers = 204;

beforeAll(async () => {
  site = await Site.create();
  mail = await MailServer.start({ user: 'reprise', password: PASSWORD });
  chat = await WebhookReceiver.start(() => ({ status: answers }));
  const password = join(site.root, 'smtp_password');
  await writeFile(password, `${PASSWORD}\n`, { mode: 0o600 });
  await site.configure({
    clusterYaml: `notifiers:
  mail: { type: mail, host: 127.0.0.1, port: ${mail.port}, user: reprise, password: { file: smtp_password }, from: reprise@example.org }
  chat: { type: webhook, url: "${chat.url}", secret: { env: TEST_HOOK_KEY }, allow: ["127.0.0.1"] }
  gone: { type: mail, host: 127.0.0.1, port: ${await freePort()}, from: reprise@example.org }
notify: { failure: [mail, chat], waiting-approval: [mail, gone] }
`,
  });
  await writeFile(site.places.configFile, `${await textOfConfig()}  night: { gone: night@example.org }\n`);
  await site.startWorker({ TEST_HOOK_KEY: KEY });
  watch = new CanaryWatch([PASSWORD], site.session.client);
});
afterAll(() => watch.stop());

async function textOfConfig(): Promise<string> {
  return (await readFile(site.places.configFile, 'utf8')).replace(
    'dba: { mail: [dba@example.org] }',
    'dba: { mail: [dba@example.org], gone: dba@example.org }',
  );
}

const recordsText = async (): Promise<string> =>
  (await filesBelow(join(site.places.backupsDir, 'mairie/records'), /^$/)).map(([, text]) => text).join('\n');

type Tested = NotifyOutput & { contact: string; workflowId: string };

describe('S2: reprise notify test, sent by a real worker', () => {
  it('exit 0: sent by mail, with the login, and by a signed webhook', async () => {
    const sent = await answer<Tested>(site, 'notify', 'test', 'dba', '--notifier', 'mail', '--by', 'chief');
    expect(sent).toMatchObject({
      contact: 'dba',
      deliveries: [
        {
          notifier: 'mail',
          told: ['dba'],
          notTold: [],
          code: null,
          detail: `accepted by mail server 127.0.0.1:${mail.port}`,
        },
      ],
    });
    expect(mail.logins).toEqual([{ user: 'reprise', secure: false }]);
    expect(mail.mails).toMatchObject([
      {
        to: ['dba@example.org'],
        headers: { subject: '[reprise] test for dba' },
        text: expect.stringContaining('By       chief'),
      },
    ]);
    expect(mail.mails[0]?.text).toContain(`/workflows/${encodeURIComponent(sent.workflowId)}`);
    await answer(site, 'notify', 'test', 'dba', '--notifier', 'chat');
    expect(chat.posts[0]?.headers['webhook-signature']).toMatch(/^v1,/);
  });

  it('exit 3: only some of it was taken, each with its reason', async () => {
    const partly = await told<Tested>(site, 'notify', 'test', 'dba');
    expect(partly).toMatchObject({ exit: 3, error: { code: 'partly-done', message: expect.stringContaining('gone') } });
    expect(partly.document.deliveries.map(({ notifier, code }) => [notifier, code])).toEqual([
      ['mail', null],
      ['chat', null],
      ['gone', 'notifier-unreachable'],
    ]);
  });

  it('exit 5: nobody could be reached; exit 1: refused', async () => {
    expect(await told(site, 'notify', 'test', 'dba', '--notifier', 'gone')).toMatchObject({
      exit: 5,
      error: { code: 'notifier-unreachable', message: expect.stringContaining('ECONNREFUSED') },
    });
    answers = 401;
    expect(await told(site, 'notify', 'test', 'dba', '--notifier', 'chat')).toMatchObject({
      exit: 1,
      error: { code: 'notifier-rejected', message: expect.stringContaining('the response is 401') },
    });
    answers = 204;
  });
});

describe('S2, F34: told beside the work', () => {
  it('O14: a recovery that waits asks who may approve, with a link to the text; a notifier that is down delays nothing and approves nothing', async () => {
    await site.backUp('dump');
    const started = await planned(site, '--policy', 'dump');
    await site.waitFor(
      async () => mail.mails.some(({ headers }) => headers['subject']?.includes('approval needed')),
      'the mail is there',
    );
    const asked = mail.mails.find(({ headers }) => headers['subject']?.includes('approval needed'));
    expect(asked?.to).toEqual(['dba@example.org']);
    expect(asked?.text.replaceAll('\n', ' ')).toContain(
      `reprise approve ${started.workflowId} --plan ${started.plan.digest.slice(0, 12)} --by `,
    );
    const { runId } = await site.session.client.workflow.getHandle(started.workflowId).describe();
    expect(asked?.text).toContain(`/workflows/${encodeURIComponent(started.workflowId)}/${runId}/user-metadata`);
    await reaches(site, started.workflowId, 'waiting-approval');
    await approved(site, started);
    await reaches(site, started.workflowId, 'completed');
    await site.waitFor(
      async () => (await recordsText()).includes('notified by mail: dba'),
      'it is recorded who was told',
    );
    expect(await recordsText()).not.toContain('notified by gone');
  });

  it('a backup that fails while the mail server is down ends at once; when the server is back, it is told, once', async () => {
    const { port } = mail;
    await mail.stop();
    await site.query('ALTER DATABASE mairie RENAME TO elsewhere', 'postgres');
    const failed = await told(site, 'backup', 'run', 'mairie', '--policy', 'dump');
    expect(failed.exit).not.toBe(0);
    // The work has ended; telling of it has not.
    mail = await MailServer.start({ port, user: 'reprise', password: PASSWORD });
    await site.waitFor(
      async () => /backup dump of mairie failed .* notified by mail: dba/.test(await recordsText()),
      'it is told',
    );
    expect(mail.mails).toMatchObject([
      {
        to: ['dba@example.org'],
        headers: { subject: `[reprise] backup dump of mairie failed (${failed.error?.code})` },
      },
    ]);
    expect(chat.posts.filter(({ body }) => body.includes('reprise.failure'))).toHaveLength(1);
  });

  it('F39: the password is nowhere but in its file: neither argv, environments, heartbeats, histories, logs nor records', async () => {
    await watch.stop();
    expect(watch.looks).toBeGreaterThan(5);
    for await (const { workflowId, runId } of site.session.client.workflow.list()) {
      watch.search(
        `history of ${workflowId}`,
        textOf(await site.session.client.workflow.getHandle(workflowId, runId).fetchHistory()),
      );
    }
    for (const [path, text] of await filesBelow(site.root, /^(smtp_password|pgdata\/|pgb\/)/)) watch.search(path, text);
    expect([...watch.sightings]).toEqual([]);
  });
});
