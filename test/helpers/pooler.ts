import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { onCleanup } from './cleanup.js';
import type { ServerAddress } from './postgres.js';

const message = (type: string, body: Buffer): Buffer => {
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length + 4);
  return Buffer.concat([Buffer.from(type, 'latin1'), length, body]);
};
const startup = (parameters: Readonly<Record<string, string>>): Buffer => {
  const text = Object.entries(parameters).flatMap(([name, value]) => [name, '\0', value, '\0']);
  return message('', Buffer.concat([Buffer.from([0, 3, 0, 0]), Buffer.from(`${text.join('')}\0`)]));
};
const SSL_REQUEST = 80_877_103;
const READY = message('Z', Buffer.from('I'));
const REFUSAL = message('E', Buffer.from('SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: options\0\0'));

/**
 * A pooler in transaction mode with one session on the server, as PgBouncer is one: it answers a client's login itself, with a
 * made-up key to cancel by, and lends the session for each transaction. Statements by the simple protocol only.
 * @param strict settings that a client brings are refused, as PgBouncer does where `ignore_startup_parameters` has no `options`
 */
export async function startPooler(
  { host, port, user }: ServerAddress,
  database: string,
  { strict = false }: { readonly strict?: boolean } = {},
): Promise<number> {
  const session = connect(port, host);
  let holder: Socket | null = null;
  let rest = Buffer.alloc(0);
  session.on('data', (data) => {
    rest = Buffer.concat([rest, data]);
    while (rest.length >= 5 && rest.length > rest.readInt32BE(1)) {
      const one = rest.subarray(0, rest.readInt32BE(1) + 1);
      rest = rest.subarray(one.length);
      holder?.write(one);
      if (one[0] === 0x5a && one[5] === 0x49) {
        holder = null;
        session.emit('lent back');
      }
    }
  });
  session.on('error', () => undefined);
  session.write(startup({ user, database, client_encoding: 'UTF8' }));
  await once(session, 'lent back');
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    sockets.add(client);
    let isStarted = false;
    client.on('error', () => undefined);
    client.on('data', (data) => {
      if (isStarted) {
        if (data[0] === 0x58) return client.end();
        holder = client;
        return session.write(data);
      }
      if (data.length === 8 && data.readInt32BE(4) === SSL_REQUEST) return client.write('N');
      if (strict && data.includes('\0options\0')) return client.end(REFUSAL);
      isStarted = true;
      const key = message('K', Buffer.from([0x7f, 1, 2, 3, 4, 5, 6, 7]));
      return client.write(Buffer.concat([message('R', Buffer.alloc(4)), key, READY]));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onCleanup(async () => {
    for (const socket of sockets) socket.destroy();
    session.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}
