import { beforeAll, describe, expect, it } from '@jest/globals';
import { sendMail } from '../../../src/notifiers/mail/mail-notifier.js';
import { mailOptions, readMailOptions } from '../../../src/notifiers/mail/options.js';
import { certificate } from '../../helpers/certificate.js';
import { MailServer } from '../../helpers/mail-server.js';
import { PASSWORD, context, failureOf, message } from './given.js';

let tls: Awaited<ReturnType<typeof certificate>>;
beforeAll(async () => {
  tls = await certificate();
});

const send = ({ port }: MailServer, more: object = {}, change: Parameters<typeof context>[0] = {}) =>
  sendMail(
    context(change),
    readMailOptions(mailOptions.parse({ host: '127.0.0.1', port, from: 'reprise@example.org', ...more })),
  );
const login = { user: 'reprise', password: { env: 'PASSWORD' } };

describe('S2: mail', () => {
  it('goes to those who act, with a copy to the others, as one message of its operation', async () => {
    const server = await MailServer.start();
    await send(server);
    expect(server.mails).toEqual([
      {
        from: 'reprise@example.org',
        to: ['ops@example.org', 'night@example.org', 'dba@example.org'],
        secure: false,
        text: message.text,
        headers: expect.objectContaining({
          from: 'Reprise <reprise@example.org>',
          to: 'ops@example.org, night@example.org',
          cc: 'dba@example.org',
          subject: message.subject,
          'message-id': `<${message.id}@example.org>`,
          references: `<${message.thread}@example.org>`,
          'auto-submitted': 'auto-generated',
        }) as unknown,
      },
    ]);
  });

  it('F35: a hostile subject adds no header and no recipient', async () => {
    const server = await MailServer.start();
    await send(server, {}, { subject: 'a\r\nBcc: evil@example.org\r\n\r\nbody' });
    expect(server.mails[0]?.to).not.toContain('evil@example.org');
    expect(server.mails[0]?.headers).not.toHaveProperty('bcc');
  });

  it('logs in over STARTTLS where the certificate is trusted', async () => {
    const server = await MailServer.start({ tls, user: 'reprise', password: PASSWORD });
    await send(server, { ...login, tls: 'required', ca_file: tls.certFile });
    expect(server.logins).toEqual([{ user: 'reprise', secure: true }]);
    expect(server.mails).toMatchObject([{ secure: true }]);
  });

  it('says neither login nor text where TLS is required and not offered', async () => {
    const server = await MailServer.start({ user: 'reprise', password: PASSWORD });
    expect(await failureOf(send(server, { ...login, tls: 'required' }))).toMatchObject({
      code: 'notifier-rejected',
      text: expect.stringContaining('it must offer STARTTLS'),
    });
    expect([server.logins, server.mails]).toEqual([[], []]);
  });

  it('nor where the certificate is nobody’s', async () => {
    const server = await MailServer.start({ tls, user: 'reprise', password: PASSWORD });
    expect(await failureOf(send(server, { ...login, tls: 'required' }))).toMatchObject({
      text: expect.stringMatching(/self.signed/),
    });
    expect([server.logins, server.mails]).toEqual([[], []]);
  });

  it('F39: a wrong password is final, and repeated by nobody, though the server repeats it', async () => {
    const server = await MailServer.start({ user: 'reprise', password: 'another' });
    const { code, text } = await failureOf(send(server, login));
    expect([code, text]).toEqual(['notifier-rejected', expect.stringContaining('wrong login reprise ***')]);
    expect(text).not.toContain(PASSWORD);
    expect(server.mails).toEqual([]);
  });

  it.each([
    [550, 'notifier-rejected'],
    [450, 'notifier-unreachable'],
  ])('all recipients refused with %i: %s', async (answer, code) => {
    const server = await MailServer.start({ refuse: () => answer });
    expect(await failureOf(send(server))).toMatchObject({ code });
  });

  it('a recipient that is refused keeps the mail from nobody else, and is named', async () => {
    const server = await MailServer.start({ refuse: (address) => (address.startsWith('night') ? 550 : undefined) });
    expect(await send(server)).toMatchObject({ refused: ['night@example.org'] });
    expect(server.mails[0]?.to).toEqual(['ops@example.org', 'dba@example.org']);
  });

  it('certificates that are not there are told as that', async () => {
    const server = await MailServer.start();
    expect(await failureOf(send(server, { ca_file: '/nonexistent/ca.pem' }))).toMatchObject({
      code: 'config-invalid',
      text: expect.stringContaining('/nonexistent/ca.pem cannot be read: ENOENT'),
    });
  });
});
