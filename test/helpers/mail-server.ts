import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';
import type { SMTPServerOptions } from 'smtp-server';
import { onCleanup } from './cleanup.js';

export interface ReceivedMail {
  readonly from: string;
  /** Envelope: whom the server took it for. */
  readonly to: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  readonly secure: boolean;
}

export interface MailServerOptions {
  readonly port?: number;
  readonly user?: string;
  readonly password?: string;
  /** PEM; without it the server offers no STARTTLS. */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Answer to a recipient, e.g. 550; undefined takes it. */
  readonly refuse?: (address: string) => number | undefined;
}

/** A real SMTP server on the loopback address, which keeps what it was sent. */
export class MailServer {
  readonly mails: ReceivedMail[] = [];
  /** Whoever tried to log in, and whether the connection was encrypted then. */
  readonly logins: { readonly user: string; readonly secure: boolean }[] = [];
  private constructor(
    private readonly server: SMTPServer,
    public port = 0,
  ) {}

  static async start({ port = 0, user, password, tls, refuse }: MailServerOptions = {}): Promise<MailServer> {
    const asked = user !== undefined;
    const options: SMTPServerOptions = {
      disabledCommands: [...(asked ? [] : ['AUTH']), ...(tls ? [] : ['STARTTLS'])],
      authOptional: !asked,
      // A careless server would take a password in clear: that it gets none is up to the client.
      allowInsecureAuth: true,
      ...tls,
      onAuth: (auth, session, done) => {
        made.logins.push({ user: auth.username ?? '', secure: session.secure });
        if (auth.username === user && auth.password === password) done(null, { user: auth.username });
        // Some servers repeat what they were told.
        else done(Object.assign(new Error(`wrong login ${auth.username} ${auth.password}`), { responseCode: 535 }));
      },
      onRcptTo: ({ address }, _session, done) => {
        const code = refuse?.(address);
        done(code === undefined ? null : Object.assign(new Error('mailbox unavailable'), { responseCode: code }));
      },
      onData: (stream, { envelope, secure }, done) => {
        const chunks: Buffer[] = [];
        stream.on('data', (chunk: Buffer) => chunks.push(chunk));
        stream.on('end', () => {
          const { mailFrom, rcptTo } = envelope;
          made.mails.push({
            from: mailFrom === false ? '' : mailFrom.address,
            to: rcptTo.map(({ address }) => address),
            secure,
            ...parsed(Buffer.concat(chunks).toString('utf8')),
          });
          done();
        });
      },
    };
    const server = new SMTPServer(options);
    const made = new MailServer(server);
    // A client that hangs up is the client's affair.
    server.on('error', () => undefined);
    server.listen(port, '127.0.0.1');
    await once(server.server, 'listening');
    made.port = (server.server.address() as AddressInfo).port;
    onCleanup(() => made.stop());
    return made;
  }

  stop(): Promise<void> {
    return new Promise((resolve) => this.server.close(() => resolve()));
  }
}

/** Headers unfolded, their names in lower case; text decoded. */
function parsed(raw: string): Pick<ReceivedMail, 'headers' | 'text'> {
  const end = raw.indexOf('\r\n\r\n');
  const head = raw.slice(0, end).replace(/\r\n[ \t]+/g, ' ');
  const headers = Object.fromEntries(
    head
      .split('\r\n')
      .map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  );
  const text = raw.slice(end + 4);
  const quoted = headers['content-transfer-encoding'] === 'quoted-printable';
  return { headers, text: (quoted ? unquoted(text) : text).replaceAll('\r\n', '\n') };
}

function unquoted(text: string): string {
  const bytes = text
    .replace(/=\r\n/g, '')
    .replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1').toString('utf8');
}
