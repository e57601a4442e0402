import { execFile } from 'node:child_process';
import { chmod, copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, it } from '@jest/globals';
import type { ClusterConfig, ConnectionConfig, TlsConfig } from '../../../src/domain/config.js';
import { connectionAt } from '../../../src/domain/plan/recovery-place.js';
import { inspectServer, serverFindings } from '../../../src/doctor/server.js';
import { logicalEngine } from '../../../src/engines/logical/logical-engine.js';
import { probe } from '../../../src/postgres/connection/probe.js';
import { withClient } from '../../../src/postgres/connection/with-client.js';
import { makeGround } from '../../contract/engine-fixture.js';
import { onlyBackup } from '../../contract/engine-suite.js';
import { bound } from '../../helpers/bound.js';
import { certificate } from '../../helpers/certificate.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster } from '../../helpers/postgres.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();

/** Where an answer is looked for, and not how long it takes. */
const LONG_MS = 240_000;

let server: ScratchCluster;
let rootCert: string;
let client: { readonly cert: string; readonly key: string };

beforeAll(async () => {
  const own = await certificate();
  rootCert = own.certFile;
  const directory = await tempDir('client');
  client = { cert: join(directory, 'client.pem'), key: join(directory, 'client.key') };
  const subject = ['-subj', '/CN=postgres', '-keyout', client.key, '-out', client.cert];
  await promisify(execFile)('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', ...subject]);
  await chmod(client.key, 0o600);
  server = await startScratchCluster();
  const place = (name: string): string => join(server.dataDir, name);
  await writeFile(place('server.key'), own.key, { mode: 0o600 });
  await writeFile(place('server.crt'), own.cert);
  await copyFile(client.cert, place('client-ca.crt'));
  for (const name of ['server.key', 'server.crt', 'client-ca.crt']) await giveToPostgres(place(name));
  await runQuery(server, 'postgres', 'CREATE DATABASE app');
  await runQuery(server, 'app', 'CREATE TABLE t AS SELECT generate_series(1, 3) AS x');
});

/** Has the server take encrypted sessions or not, and let them in by these lines. */
async function admit(ssl: boolean, ...lines: readonly string[]): Promise<void> {
  await server.configure({
    ssl: ssl ? 'on' : 'off',
    ssl_ca_file: 'client-ca.crt',
    listen_addresses: '127.0.0.1, 127.0.0.2',
  });
  await writeFile(join(server.dataDir, 'pg_hba.conf'), ['local all all trust', ...lines, ''].join('\n'));
  await server.stop();
  await server.start();
}

const connection = (tls?: TlsConfig, host = '127.0.0.1'): ConnectionConfig => ({
  ...{ host, port: server.port, user: 'postgres', maintenanceDatabase: 'postgres' },
  ...(tls === undefined ? {} : { tls }),
});
const isEncrypted = (to: ConnectionConfig): Promise<unknown> =>
  withClient(to, 'app', async (session) => {
    const { rows } = await session.query<{ ssl: boolean }>('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()');
    return rows[0]?.ssl;
  });

it('R14: a server without TLS is connected to in clear text where that is allowed, and refused where TLS is asked for', async () => {
  await admit(false, 'host all all 127.0.0.1/32 trust');
  for (const mode of [undefined, 'disable', 'allow', 'prefer'] as const) {
    const to = connection(mode === undefined ? undefined : { mode });
    expect(await isEncrypted(to)).toBe(false);
    expect(await probe(to, LONG_MS)).toMatchObject({ ok: true });
  }
  for (const tls of [{ mode: 'require' }, { mode: 'verify-full', rootCert }] as const) {
    await expect(isEncrypted(connection(tls))).rejects.toMatchObject({
      code: 'database-unreachable',
      hint: expect.stringContaining('sslmode'),
    });
    expect(await probe(connection(tls), LONG_MS)).toMatchObject({ ok: false, layer: 'login' });
  }
});

it('R14: certificates are checked as sslmode says, and a server that wants TLS gets it', async () => {
  await admit(true, 'hostssl all all 127.0.0.1/32 trust');
  const other = (await certificate()).certFile;
  for (const tls of [
    undefined,
    { mode: 'allow' },
    { mode: 'prefer' },
    { mode: 'require' },
    { mode: 'verify-ca', rootCert },
    { mode: 'verify-full', rootCert },
  ] as const) {
    expect(await isEncrypted(connection(tls))).toBe(true);
    expect(await probe(connection(tls), LONG_MS)).toMatchObject({ ok: true });
  }
  // Another address of this machine, for which the certificate was not made.
  await admit(true, 'hostssl all all 127.0.0.0/8 trust');
  expect(await isEncrypted(connection({ mode: 'verify-ca', rootCert }, '127.0.0.2'))).toBe(true);
  for (const [tls, host] of [
    [{ mode: 'disable' }, '127.0.0.1'],
    [{ mode: 'require', rootCert: other }, '127.0.0.1'],
    [{ mode: 'verify-ca', rootCert: other }, '127.0.0.1'],
    [{ mode: 'verify-full', rootCert }, '127.0.0.2'],
  ] as const)
    await expect(isEncrypted(connection(tls, host))).rejects.toMatchObject({ code: 'database-unreachable' });
  await expect(isEncrypted(connection({ mode: 'verify-ca', rootCert: '/nowhere' }))).rejects.toMatchObject({
    code: 'config-invalid',
  });
});

it('R14: a server recovered on another host is asked within that host, encrypted where it has TLS, whatever its certificate is for', async () => {
  const cluster = (tls: TlsConfig) =>
    ({ host: 'db1', connection: connection(tls, 'db1.example.org') }) as unknown as ClusterConfig;
  const other = (await certificate()).certFile;
  const at = (tls: TlsConfig) => connectionAt(cluster(tls), { port: server.port, targetHost: 'db2' });
  const modes: readonly TlsConfig[] = [
    { mode: 'require' },
    { mode: 'verify-ca', rootCert: other },
    { mode: 'verify-full', rootCert },
  ];
  await admit(true, 'hostssl all all 127.0.0.1/32 trust');
  for (const tls of modes) expect(await isEncrypted(at(tls))).toBe(true);
  // Its certificate may not have come with the data.
  await admit(false, 'host all all 127.0.0.1/32 trust');
  for (const tls of modes) {
    expect(await isEncrypted(at(tls))).toBe(false);
    expect(await probe(at(tls), LONG_MS)).toMatchObject({ ok: true });
  }
  // On its own host it keeps the name that its certificate is for.
  expect(connectionAt(cluster({ mode: 'verify-full', rootCert }), { port: 1, targetHost: 'db1' })).toMatchObject({
    ...{ host: 'db1.example.org', tls: { mode: 'verify-full' } },
  });
});

it('R14: tools connect by the same settings, with the certificate of the role', async () => {
  await admit(true, 'hostssl all postgres 127.0.0.1/32 cert', 'hostssl all all 127.0.0.1/32 scram-sha-256');
  await expect(isEncrypted(connection({ mode: 'verify-full', rootCert }))).rejects.toMatchObject({
    code: 'database-unreachable',
  });
  // Where the tools' user can read them.
  const [root, cert, key] = await Promise.all(
    [rootCert, client.cert, client.key].map(async (path, index) => {
      const copy = join(server.root, `copy-${index}.pem`);
      await writeFile(copy, await readFile(path), { mode: 0o600 });
      await giveToPostgres(copy);
      return copy;
    }),
  );
  const tls: TlsConfig = { mode: 'verify-full', rootCert: root, cert, key };
  const ground = await makeGround(
    server,
    'logical',
    { restoreJobs: 1 },
    { databases: ['app'], connection: connection(tls) },
  );
  const context = await ground.context('one');
  const backup = onlyBackup(await logicalEngine.backup(context, { type: 'full', startedAt: '2026-11-21T02:15:00Z' }));
  const restored = await logicalEngine.logical?.restoreDatabase(context, {
    ...(await bound(logicalEngine, context, backup)),
    ...{ intoDatabase: 'again', connection: context.cluster.connection },
  });
  expect(restored?.contents).toMatchObject([{ table: 't', rows: 3 }]);
});

it('R14: doctor warns of clear text, and of a certificate that nobody checks, to a server elsewhere only', async () => {
  const named = (host: string, tls?: TlsConfig) =>
    ({ name: 'mairie', connection: { ...connection(tls, host) } }) as unknown as Parameters<typeof serverFindings>[0];
  const seen = await inspectServer({
    name: 'mairie',
    connection: connection({ mode: 'verify-full', rootCert, ...client }),
  } as unknown as Parameters<typeof inspectServer>[0]);
  if (!('versionNum' in seen)) throw new Error(seen.message);
  const found = (cluster: Parameters<typeof serverFindings>[0], encrypted: boolean) =>
    serverFindings(cluster, { ...seen, encrypted }).filter(({ check }) => check.endsWith('/tls'));
  expect(seen.encrypted).toBe(true);
  expect(found(named('127.0.0.1'), false)).toEqual([]);
  expect(found(named('db1.example.org'), false)).toMatchObject([
    { level: 'warning', fix: expect.stringContaining('sslmode') },
  ]);
  expect(found(named('db1.example.org', { mode: 'require' }), true)).toMatchObject([{ level: 'warning' }]);
  expect(found(named('db1.example.org', { mode: 'verify-full' }), true)).toMatchObject([{ level: 'ok' }]);
});
