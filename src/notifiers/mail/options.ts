import ipaddr from 'ipaddr.js';
import { z } from 'zod';
import type { SecretReference } from '../../domain/config.js';
import { caFile, secretReference } from '../../domain/fields.js';

export const mailAddress = z.email({ error: 'expected a mail address' });

/** Port that speaks TLS from the first byte (RFC 8314). */
const IMPLICIT_TLS_PORT = 465;

/** Keys of a notifier of type `mail`, besides `type`. */
export const mailOptions = z
  .strictObject({
    host: z
      .string()
      .regex(/^[A-Za-z0-9.:-]+$/, 'expected a host name or an address')
      .describe('SMTP server, by name or address.'),
    port: z.int().min(1).max(65_535).default(587).describe('Port; with 465, TLS is used from the start.'),
    user: z.string().min(1).optional().describe('Login; absent: no login.'),
    password: secretReference().optional().describe('Password of the login, by reference.'),
    from: mailAddress.describe('Address the messages come from.'),
    tls: z
      .enum(['required', 'none'])
      .optional()
      .describe(
        'required: nothing is sent before STARTTLS; none: not encrypted. Absent: required, except for a server on the same machine.',
      ),
    ca_file: caFile(),
    password_in_clear: z
      .boolean()
      .default(false)
      .describe(
        'true: the password may be sent over the network without encryption. Use it only in a network that you trust.',
      ),
  })
  .superRefine(({ host, port, user, password, tls, password_in_clear: inClear }, context) => {
    if ((user === undefined) !== (password === undefined)) {
      const lacking = user === undefined ? 'user' : 'password';
      context.addIssue(`the login has no ${lacking}\nHINT: give user: and password:, or neither`);
    }
    if (tls === 'none' && password !== undefined && !inClear && port !== IMPLICIT_TLS_PORT && !isLoopback(host)) {
      context.addIssue({
        code: 'custom',
        path: ['tls'],
        message:
          'the password would be sent over the network without encryption\nHINT: use tls: required, or set password_in_clear: true',
      });
    }
  });

/** What the notifier reads from `NotifierConfig.options`. */
export interface MailOptions extends Readonly<Record<string, unknown>> {
  readonly host: string;
  readonly port: number;
  readonly login?: { readonly user: string; readonly password: SecretReference };
  readonly from: string;
  /** TLS from the first byte, by STARTTLS before anything else is said, or not at all. */
  readonly security: 'implicit' | 'starttls' | 'none';
  readonly caFile?: string;
}

export function readMailOptions(options: z.output<typeof mailOptions>): MailOptions {
  const { host, port, user, password, from, tls, ca_file: file } = options;
  const inClear = tls === 'none' || (tls === undefined && isLoopback(host));
  return {
    host,
    port,
    ...(user === undefined || password === undefined ? {} : { login: { user, password } }),
    from,
    security: port === IMPLICIT_TLS_PORT ? 'implicit' : inClear ? 'none' : 'starttls',
    caFile: file,
  };
}

/** Whether what is said to this host leaves the machine. */
function isLoopback(host: string): boolean {
  if (host.toLowerCase() === 'localhost') return true;
  return ipaddr.isValid(host) && ipaddr.process(host).range() === 'loopback';
}
