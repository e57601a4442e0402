import { randomInt } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { join } from 'node:path';

// Below the range from which the system takes ports for connections (net.ipv4.ip_local_port_range): one of those could
// take the port between our look and the server's start.
const LOWEST = 10_000;
const HIGHEST = 32_000;
const TRIES = 100;

/** Ports free on the loopback address now. All are held open until the last is known, so none comes twice. */
export async function freePorts(count: number): Promise<number[]> {
  const held = await Promise.all(Array.from({ length: count }, () => hold(1)));
  return released(held.flat());
}

/** One free port. */
export async function freePort(): Promise<number> {
  const [port] = await released(await hold(1));
  return port as number;
}

/** A free port whose next one is free as well. */
export async function freePair(): Promise<number> {
  const [port] = await released(await hold(2));
  return port as number;
}

/** Holds so many ports one after the other, which nobody else of this run gets. */
async function hold(count: number): Promise<Server[]> {
  for (let tries = 1; ; tries++) {
    const first = randomInt(LOWEST, HIGHEST - count);
    const ports = Array.from({ length: count }, (_, index) => first + index);
    const held: Server[] = [];
    for (const port of ports) {
      const server = await listen(port);
      if (server !== null) held.push(server);
    }
    if (held.length === count && (await isOurs(ports))) return held;
    await released(held);
    if (tries >= TRIES) throw new Error(`no ${count} free ports were found`);
  }
}

/**
 * Keeps ports from other test files of this run: between our look and the server's start, and while a server is down that starts
 * again. In the directory that the run shares, and removes at its end; without one, as in a script, nobody else looks.
 */
async function isOurs(ports: readonly number[]): Promise<boolean> {
  const directory = process.env['REPRISE_TEST_TEMPLATES'];
  if (directory === undefined) return true;
  try {
    for (const port of ports) await writeFile(join(directory, `port-${port}`), '', { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  }
}

async function listen(port: number): Promise<Server | null> {
  const server = await new Promise<Server | NodeJS.ErrnoException>((done) => {
    const made = createServer();
    made.once('error', done);
    made.listen(port, '127.0.0.1', () => done(made));
  });
  // In jest a failure of Node's core is no instance of Error.
  if (!('code' in server)) return server as Server;
  if (server.code !== 'EADDRINUSE') throw server;
  return null;
}

async function released(servers: readonly Server[]): Promise<number[]> {
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
  return ports;
}
