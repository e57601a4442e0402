import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import { onCleanup } from './cleanup.js';
import { freePort } from './ports.js';
import { asPostgres, giveToPostgres } from './postgres-user.js';
import type { ServerAddress } from './postgres.js';
import { Reaper } from './reaper.js';
import { tempDir } from './temp.js';
import { until } from './until.js';

/** A pooler in front of a server. */
export interface Pooler {
  readonly port: number;
  readonly socketDir: string;
}

/**
 * PgBouncer with one session on the server for each database, so that clients get what others left in it.
 * @param ignored settings that a client may bring with it (`ignore_startup_parameters`); they are not set
 */
export async function startPgbouncer(
  { host, port: serverPort, user }: ServerAddress,
  { mode, ignored = [] }: { readonly mode: 'session' | 'transaction' | 'statement'; readonly ignored?: string[] },
): Promise<Pooler> {
  const [port, directory] = [await freePort(), await tempDir('pgbouncer')];
  const [config, users] = [join(directory, 'pgbouncer.ini'), join(directory, 'users')];
  await writeFile(users, `"${user}" ""\n`);
  await writeFile(
    config,
    [
      ...['[databases]', `* = host=${host} port=${serverPort} user=${user}`, '[pgbouncer]', 'listen_addr = 127.0.0.1'],
      ...[`listen_port = ${port}`, `unix_socket_dir = ${directory}`, 'auth_type = trust', `auth_file = ${users}`],
      ...[`pool_mode = ${mode}`, 'default_pool_size = 1', `ignore_startup_parameters = ${ignored.join(',')}`, ''],
    ].join('\n'),
  );
  for (const path of [directory, config, users]) await giveToPostgres(path);
  const reaper = new Reaper();
  const child = spawn(...asPostgres('/usr/sbin/pgbouncer', ['-q', config]), { stdio: 'ignore', cwd: directory });
  onCleanup(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    reaper.done();
  });
  if (child.pid !== undefined) reaper.process(child.pid);
  await until(() => answers(port, user), 'PgBouncer answers');
  return { port, socketDir: directory };
}

async function answers(port: number, user: string): Promise<boolean> {
  const client = new pg.Client({ host: '127.0.0.1', port, user, database: 'postgres' });
  client.on('error', () => undefined);
  await client.connect();
  await client.end();
  return true;
}

const PGPOOL_QUESTION = 'SHOW pool_version';
/** An empty answer: CommandComplete and ReadyForQuery. */
const ANSWER = Buffer.from('C\0\0\0\x09SHOW\0Z\0\0\0\x05I', 'latin1');

/**
 * Forwards connections to a server, each to a session of its own.
 * @param asPgpool answers itself what only Pgpool-II answers, which also tells a client the server's own process
 * @param questions counts how often that was asked
 */
export async function startForwarder(
  { host, port }: ServerAddress,
  { asPgpool }: { readonly asPgpool: boolean },
): Promise<{ readonly port: number; readonly questions: () => number }> {
  const sockets = new Set<Socket>();
  let questions = 0;
  const server = createServer((client) => {
    const session = connect(port, host);
    for (const socket of [client, session]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
    }
    session.pipe(client);
    client.on('end', () => session.end());
    client.on('data', (data) => {
      const isQuestion = data.includes(PGPOOL_QUESTION);
      if (isQuestion) questions++;
      if (isQuestion && asPgpool) client.write(ANSWER);
      else session.write(data);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onCleanup(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return { port: (server.address() as AddressInfo).port, questions: () => questions };
}
