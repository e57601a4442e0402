import { readFile } from 'node:fs/promises';
import type { ConnectionOptions } from 'node:tls';
import type { ConnectionConfig, TlsConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { isLoopback } from '../../domain/plain-address.js';

/** One way to connect: encrypted so, or not (`false`); undefined: as the driver reads `PGSSLMODE`. */
export type TlsWay = ConnectionOptions | false | undefined;

/** Whether what is sent passes no network: by a socket, or within this machine. */
export const isLocalServer = ({ host }: Pick<ConnectionConfig, 'host'>): boolean =>
  host.startsWith('/') || isLoopback(host);

/**
 * How a server is connected to, the first way that it accepts: libpq's `sslmode`. Where the configuration names none, a server
 * elsewhere is asked for TLS first, and one on this machine only where it wants TLS.
 * @throws RepriseError `config-invalid` for a file that cannot be read
 */
export async function waysToConnect(connection: ConnectionConfig): Promise<readonly TlsWay[]> {
  const { host, tls } = connection;
  if (host.startsWith('/')) return [false];
  if (tls === undefined && process.env['PGSSLMODE'] !== undefined) return [undefined];
  const { mode } = tls ?? { mode: isLocalServer(connection) ? 'allow' : 'prefer' };
  if (mode === 'disable') return [false];
  const encrypted = await optionsOf(mode, tls);
  if (mode === 'allow') return [false, encrypted];
  return mode === 'prefer' ? [encrypted, false] : [encrypted];
}

async function optionsOf(
  mode: TlsConfig['mode'],
  { rootCert, cert, key }: Partial<TlsConfig> = {},
): Promise<ConnectionOptions> {
  // As libpq has it: `require` with an authority checks the chain as well.
  const verifies = mode.startsWith('verify-') || (mode === 'require' && rootCert !== undefined);
  return {
    rejectUnauthorized: verifies,
    ...(rootCert === undefined ? {} : { ca: await read('sslrootcert', rootCert) }),
    ...(cert === undefined ? {} : { cert: await read('sslcert', cert) }),
    ...(key === undefined ? {} : { key: await read('sslkey', key) }),
    ...(mode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
  };
}

function read(name: string, path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    throw new RepriseError(
      'config-invalid',
      `the file ${path} of connection.${name} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`,
      'let the user of the worker read it, or correct the path',
    );
  });
}

/** What a server says to a session that it would have only encrypted, or only in clear text. */
const OTHER_WAY = /server does not support SSL|no pg_hba\.conf entry|pg_hba\.conf rejects/i;

/** Connects by the first way that the server accepts. @throws what the first way met that the server did not answer with another one */
export async function byFirstWay<T>(ways: readonly TlsWay[], connect: (way: TlsWay) => Promise<T>): Promise<T> {
  let first: unknown;
  for (const [index, way] of ways.entries()) {
    try {
      return await connect(way);
    } catch (error) {
      const hasOther = index < ways.length - 1 && error instanceof Error && OTHER_WAY.test(error.message);
      first ??= error;
      if (!hasOther) throw error instanceof Error && OTHER_WAY.test(error.message) ? first : error;
    }
  }
  throw first;
}

/** For libpq: the same, from its environment. */
export function tlsEnv({ tls }: ConnectionConfig): Record<string, string> {
  if (tls === undefined) return {};
  return {
    PGSSLMODE: tls.mode,
    ...(tls.rootCert === undefined ? {} : { PGSSLROOTCERT: tls.rootCert }),
    ...(tls.cert === undefined ? {} : { PGSSLCERT: tls.cert }),
    ...(tls.key === undefined ? {} : { PGSSLKEY: tls.key }),
  };
}
