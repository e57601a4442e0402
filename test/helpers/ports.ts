import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';

// Below the range from which the system takes ports for connections (net.ipv4.ip_local_port_range): one of those could
// take the port between our look and the server's start.
const LOWEST = 10_000;
const HIGHEST = 32_000;
const TRIES = 50;

/** Ports free on the loopback address now. All are held open until the last is known, so none comes twice. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, listen));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
  return ports;
}

/** One free port. */
export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  return port as number;
}

async function listen(): Promise<Server> {
  for (let tries = 1; ; tries++) {
    const port = randomInt(LOWEST, HIGHEST);
    const server = await new Promise<Server | NodeJS.ErrnoException>((done) => {
      const made = createServer();
      made.once('error', done);
      made.listen(port, '127.0.0.1', () => done(made));
    });
    // In jest a failure of Node's core is no instance of Error.
    if (!('code' in server)) return server as Server;
    if (server.code !== 'EADDRINUSE' || tries >= TRIES) throw server;
  }
}
