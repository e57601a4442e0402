import { isIP } from 'node:net';
import type { RepriseError } from '../../domain/errors.js';
import { readCertificates } from '../../files/certificates.js';
import { reasonWithout, rejected, unreachable } from '../shared/failures.js';
import type { NotifierMessage, Recipient, SendContext, Sent } from '../notifier.js';
import type { MailOptions } from './options.js';

const CONNECT_MS = 10_000;
const SILENCE_MS = 20_000;

/** What nodemailer tells of a failure. */
interface MailFailure extends Error {
  readonly code?: string;
  readonly responseCode?: number;
}

/**
 * One mail to all recipients: those who have to act in `To`, the others in `Cc`. Its Message-ID is the same in every
 * attempt. Without TLS where it is required, nothing is said: neither login nor text.
 */
export async function sendMail({ message, secret, signal }: SendContext, options: MailOptions): Promise<Sent> {
  const { host, port, login, security } = options;
  const server = `mail server ${host}:${port}`;
  const password = login === undefined ? undefined : await secret(login.password);
  const ca = await readCertificates(options.caFile, 'check ca_file of the notifier');
  // Loaded when a mail is sent: commands that only read the configuration start without it.
  const { createTransport } = await import('nodemailer');
  const transport = createTransport({
    host,
    port,
    secure: security === 'implicit',
    requireTLS: security === 'starttls',
    ignoreTLS: security === 'none',
    ...(login === undefined ? {} : { auth: { user: login.user, pass: password } }),
    tls: {
      minVersion: 'TLSv1.2',
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(ca === undefined ? {} : { ca }),
    },
    connectionTimeout: CONNECT_MS,
    greetingTimeout: CONNECT_MS,
    dnsTimeout: CONNECT_MS,
    socketTimeout: SILENCE_MS,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  try {
    const { rejected: refused } = await transport.sendMail({ ...mailOf(message, options.from), signal });
    return { refused: (refused ?? []).map(textOfAddress), detail: `accepted by ${server}` };
  } catch (error) {
    signal.throwIfAborted();
    throw failureOf(server, error as MailFailure, reasonWithout(password, error));
  } finally {
    transport.close();
  }
}

function mailOf(message: NotifierMessage, from: string) {
  const domain = from.slice(from.lastIndexOf('@') + 1);
  return {
    from: { name: 'Reprise', address: from },
    to: addressesOf(message.first),
    ...(message.others.length > 0 ? { cc: addressesOf(message.others) } : {}),
    subject: message.subject,
    text: message.text,
    messageId: `<${message.id}@${domain}>`,
    // Mail programs show all messages of one operation together.
    references: `<${message.thread}@${domain}>`,
    headers: { 'Auto-Submitted': 'auto-generated', 'X-Reprise-Event': message.event },
  };
}

function addressesOf(recipients: readonly Recipient[]): string[] {
  return [...new Set(recipients.flatMap(({ addresses }) => addresses))];
}

function textOfAddress(address: string | { address: string }): string {
  return typeof address === 'string' ? address : address.address;
}

/** By RFC 5321 a 5xx answer is final and a 4xx one is not; what never answered may answer later. */
function failureOf(server: string, { code, responseCode }: MailFailure, reason: string): RepriseError {
  if (responseCode === undefined || responseCode < 500) return unreachable(server, reason);
  if (code === 'ETLS') return rejected(server, reason, 'it must offer STARTTLS; tls: none sends without encryption');
  if (code === 'EAUTH') return rejected(server, reason, 'check user and password of the notifier');
  return rejected(server, reason, 'check the addresses of the contacts and `from` of the notifier');
}
