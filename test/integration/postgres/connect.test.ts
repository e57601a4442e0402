import { describe, expect, it } from '@jest/globals';
import { chmod, rm, writeFile } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { runSqlCheck } from '../../../src/checks/sql/sql-check.js';
import { inspectServer } from '../../../src/doctor/server.js';
import type { ClusterConfig, ConnectionConfig } from '../../../src/domain/config.js';
import { withClient } from '../../../src/postgres/connection/with-client.js';
import { watchWork } from '../../../src/files/work-signs.js';
import { probe } from '../../../src/postgres/connection/probe.js';
import { libpqEnv } from '../../../src/postgres/connection/environment.js';
import { runProgram } from '../../../src/process/exec/run-program.js';
import { onCleanup } from '../../helpers/cleanup.js';
import { freePort } from '../../helpers/ports.js';
import { runQuery, sharedServer, startScratchCluster } from '../../helpers/postgres.js';
import { startForwarder, startPgbouncer } from '../../helpers/pooler.js';
import { tempDir } from '../../helpers/temp.js';
import { until } from '../../helpers/until.js';

/** Where an answer is looked for, and not how long it takes. */
const LONG_MS = 240_000;

const server = sharedServer();
const connection: ConnectionConfig = {
  host: server.host,
  port: server.port,
  user: server.user,
  maintenanceDatabase: 'postgres',
};
const hostile = [
  'host=evil port=1',
  'postgresql://evil/x',
  `it's "quoted"`,
  'line\nbreak',
  'données-été-✓',
  '-leading',
  '$(touch x);--',
  'a\\b',
];

describe('hostile database names', () => {
  it('F35, F36: every name is taken as it is, by pg and by libpq’s programs', async () => {
    for (const name of hostile) {
      await runQuery(server, 'postgres', `CREATE DATABASE ${pg.escapeIdentifier(name)}`);
      onCleanup(() =>
        runQuery(server, 'postgres', `DROP DATABASE IF EXISTS ${pg.escapeIdentifier(name)} WITH (FORCE)`),
      );
      const seen = await withClient(
        connection,
        name,
        async (client) => (await client.query<{ name: string }>('SELECT current_database() AS name')).rows[0]?.name,
      );
      expect(seen).toBe(name);
      const psql = await runProgram(['psql', '-XAtc', 'SELECT current_database()'], {
        env: libpqEnv(connection, name),
      });
      expect(psql.stdout).toBe(name);
    }
  });
});

describe('L10: whether a long statement goes on', () => {
  /** How often it showed that it does, asked each 100 ms; whatever it ended with. */
  async function signsOf(statement: string): Promise<number> {
    let signs = 0;
    await watchWork({ moved: () => (signs += 1), everyMs: 100 }, () =>
      withClient(connection, 'postgres', (client) => client.query(statement)),
    ).catch(() => undefined);
    return signs;
  }

  it('L10: an index that is built anew for long shows it, though nothing comes back before its end', async () => {
    await runQuery(server, 'postgres', 'CREATE TABLE public.long_rebuild (word text)');
    onCleanup(() => runQuery(server, 'postgres', 'DROP TABLE public.long_rebuild'));
    await runQuery(
      server,
      'postgres',
      'INSERT INTO public.long_rebuild SELECT md5(i::text) FROM generate_series(1, 400000) AS i; CREATE INDEX long_rebuild_word ON public.long_rebuild (word)',
    );
    // One that is over before anybody has looked, as this process stood still, shows none.
    for (const statement of [
      'REINDEX INDEX public.long_rebuild_word',
      'SELECT count(*) FROM generate_series(1, 5000000)',
    ])
      await until(async () => (await signsOf(statement)) > 0, `${statement} shows a sign`);
  });

  /** The same while it waits: from when the server shows that until three seconds later. */
  async function signsWhileWaiting(statement: string): Promise<number> {
    let signs = 0;
    const working = watchWork({ moved: () => (signs += 1), everyMs: 100 }, () =>
      withClient(connection, 'postgres', (client) => client.query(statement)),
    ).catch(() => undefined);
    const waits = `SELECT pid FROM pg_stat_activity WHERE query = ${pg.escapeLiteral(statement)} AND wait_event_type IN ('Lock', 'Timeout')`;
    await until(async () => (await runQuery(server, 'postgres', waits)).rowCount === 1, 'it waits');
    signs = 0;
    await sleep(3_000);
    const seen = signs;
    await runQuery(server, 'postgres', `SELECT pg_terminate_backend(pid) FROM (${waits}) w`);
    await working;
    return seen;
  }

  it('L10: one that waits for a lock, or sleeps, shows none once it waits', async () => {
    await runQuery(server, 'postgres', 'CREATE TABLE public.locked (x int)');
    onCleanup(() => runQuery(server, 'postgres', 'DROP TABLE public.locked'));
    await withClient(connection, 'postgres', async (holder) => {
      await holder.query('BEGIN; LOCK TABLE public.locked');
      // Who was asked just before may answer after.
      expect(await signsWhileWaiting('SELECT count(*) FROM public.locked')).toBeLessThan(2);
    });
    expect(await signsWhileWaiting('SELECT pg_sleep(600)')).toBeLessThan(2);
  });
});

describe('connecting', () => {
  it('F39: the password comes from an owner-only file, by libpq’s rules, and from nowhere else', async () => {
    const cluster = await startScratchCluster();
    await runQuery(cluster, 'postgres', `CREATE ROLE "us:er" LOGIN PASSWORD 'p:a\\ss'`);
    await writeFile(
      join(cluster.dataDir, 'pg_hba.conf'),
      `local all postgres trust\nhost all postgres all trust\nhost all all all scram-sha-256\n`,
    );
    await runQuery(cluster, 'postgres', 'SELECT pg_reload_conf()');
    const dir = await tempDir('pass');
    const passfile = join(dir, 'pgpass');
    await writeFile(passfile, `# comment\nother:1:*:*:no\n*:${cluster.port}:postgres:us\\:er:p\\:a\\\\ss\n`, {
      mode: 0o600,
    });
    const secret: ConnectionConfig = {
      host: '127.0.0.1',
      port: cluster.port,
      user: 'us:er',
      passfile,
      maintenanceDatabase: 'postgres',
    };
    process.env['PGPASSWORD'] = 'wrong';
    try {
      expect(await withClient(secret, 'postgres', async () => 'in')).toBe('in');
      expect(await probe(secret, LONG_MS)).toMatchObject({ ok: true });
      await expect(withClient({ ...secret, passfile: undefined }, 'postgres', async () => 'in')).rejects.toMatchObject({
        code: 'database-unreachable',
        hint: expect.stringContaining('passfile'),
      });
      await expect(withClient(secret, 'template1', async () => 'in')).rejects.toMatchObject({
        message: expect.stringContaining('no line'),
      });
      await chmod(passfile, 0o640);
      await expect(withClient(secret, 'postgres', async () => 'in')).rejects.toMatchObject({ code: 'config-invalid' });
    } finally {
      delete process.env['PGPASSWORD'];
    }
  });

  it('a statement’s error is named by its SQLSTATE and holds no row values (F39)', async () => {
    const failing = withClient(connection, 'postgres', (client) =>
      client.query('CREATE TEMP TABLE t (i int PRIMARY KEY); INSERT INTO t VALUES (4711); INSERT INTO t VALUES (4711)'),
    );
    const error = await failing.catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'query-failed', details: { sqlState: '23505' } });
    expect(JSON.stringify([error, String(error)])).not.toContain('4711');
    const slow = withClient(connection, 'postgres', (client) => client.query('SELECT pg_sleep(60)'), {
      statementTimeoutMs: 50,
    });
    await expect(slow).rejects.toMatchObject({ code: 'query-timeout' });
  });

  it('F43: no object of the database is called by surprise', async () => {
    const path = await withClient(
      connection,
      'postgres',
      async (client) => (await client.query<{ search_path: string }>('SHOW search_path')).rows[0],
    );
    expect(path).toEqual({ search_path: 'pg_catalog' });
  });

  it('a server that dies in between is unreachable, and the process goes on', async () => {
    const dying = withClient(connection, 'postgres', async (client) => {
      const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      await runQuery(server, 'postgres', 'SELECT pg_terminate_backend($1)', [rows[0]?.pid]);
      return client.query('SELECT pg_sleep(60)');
    });
    await expect(dying).rejects.toMatchObject({ code: 'database-unreachable' });
  });
});

describe('S1: the layer that failed', () => {
  it('ok: a server that answers, with its last commit where it keeps such times', async () => {
    expect(await probe(connection, LONG_MS)).toEqual({ ok: true });
    const cluster = await startScratchCluster({ settings: { track_commit_timestamp: 'on' } });
    const before = new Date().toISOString();
    await runQuery(cluster, 'postgres', 'CREATE TABLE t (i int)');
    const seen = await probe({ ...connection, port: cluster.port }, LONG_MS);
    expect(seen.ok && (seen.lastCommitAt ?? '') >= before).toBe(true);
  });

  it('host: a name that does not resolve', async () => {
    expect(await probe({ ...connection, host: 'no-such-host.invalid' }, LONG_MS)).toMatchObject({
      ok: false,
      layer: 'host',
    });
  });

  it('port: refused, or no socket', async () => {
    expect(await probe({ ...connection, port: await freePort() }, LONG_MS)).toMatchObject({ ok: false, layer: 'port' });
    expect(await probe({ ...connection, host: '/nonexistent' }, LONG_MS)).toMatchObject({ ok: false, layer: 'port' });
  });

  it('O9: a login that the server refuses is no failure of it, and the fix is named; what cannot let anybody in is one', async () => {
    const fixed = async (change: Partial<ConnectionConfig>): Promise<unknown> =>
      ((await probe({ ...connection, ...change }, LONG_MS)) as { fix?: string }).fix;
    expect(await fixed({ user: 'nobody-here' })).toMatch(/login of user nobody-here.*pg_hba\.conf/);
    expect(await fixed({ maintenanceDatabase: 'absent' })).toContain('maintenance_database');
    const cluster = await startScratchCluster();
    const full = { ...connection, port: cluster.port };
    await runQuery(cluster, 'postgres', 'ALTER DATABASE template1 ALLOW_CONNECTIONS false');
    expect(await fixed({ ...full, maintenanceDatabase: 'template1' })).toContain('ALLOW_CONNECTIONS true');
    await writeFile(join(cluster.dataDir, 'pg_hba.conf'), 'local all all trust\nhost all all all scram-sha-256\n');
    await runQuery(cluster, 'postgres', 'SELECT pg_reload_conf()');
    expect(await fixed({ ...full, host: '127.0.0.1' })).toContain('passfile');
    // The server runs, and its files are gone: that is a loss.
    await rm(join(cluster.dataDir, 'global'), { recursive: true });
    const lost = await probe({ ...full, host: cluster.socketDir ?? cluster.host }, LONG_MS);
    expect(lost).toMatchObject({ ok: false });
    expect(lost).not.toHaveProperty('fix');
  });

  it('login: database, role, and a server that takes connections and says nothing (F9)', async () => {
    expect(await probe({ ...connection, maintenanceDatabase: 'absent' }, LONG_MS)).toMatchObject({
      ok: false,
      layer: 'login',
      reason: expect.stringContaining('absent'),
    });
    expect(await probe({ ...connection, user: 'nobody-here' }, LONG_MS)).toMatchObject({ ok: false, layer: 'login' });
    const silent = createServer(() => undefined).listen(0, '127.0.0.1');
    await new Promise((resolve) => silent.once('listening', resolve));
    const { port } = silent.address() as AddressInfo;
    expect(await probe({ ...connection, port }, 300)).toEqual({
      ok: false,
      layer: 'login',
      reason: 'no answer within 0.3 s',
    });
    silent.close();
  });

  it('query: logged in, and no answer', async () => {
    // Hands everything on but queries ('Q'), like a server whose backends are stuck.
    const proxy = createServer((client) => {
      const upstream = createConnection(server.port, '127.0.0.1');
      upstream.pipe(client);
      client.on('data', (chunk) => chunk[0] !== 0x51 && upstream.write(chunk));
      client.on('close', () => upstream.destroy());
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => proxy.once('listening', resolve));
    const { port } = proxy.address() as AddressInfo;
    // A log-in that took so long is another layer: then there is more time.
    for (const seconds of [1, 10, 100]) {
      const found = await probe({ ...connection, port }, seconds * 1000);
      if (!found.ok && found.layer === 'login' && seconds < 100) continue;
      expect(found).toEqual({ ok: false, layer: 'query', reason: `no answer within ${seconds} s` });
      break;
    }
    proxy.close();
  });
});

describe('SQL check (K4)', () => {
  const options = { database: 'postgres', query: 'SELECT 7', timeoutSeconds: 240 };
  const context = {
    connection,
    recorded: [{ database: 'postgres', schema: 'a b', table: 't', rows: 2 }],
    recordedIsExact: true,
    signal: new AbortController().signal,
  };

  it('judges one number by its rule', async () => {
    expect(await runSqlCheck(context, { ...options, equals: 7 })).toEqual({ status: 'passed', detail: '7' });
    expect(await runSqlCheck(context, { ...options, min: 8 })).toMatchObject({
      status: 'failed',
      detail: '7, expected at least 8',
    });
    expect(await runSqlCheck(context, { ...options, max: 6 })).toMatchObject({ status: 'failed' });
    expect(await runSqlCheck(context, { ...options, min: 1, query: 'SELECT 1, 2' })).toMatchObject({
      status: 'failed',
    });
    expect(await runSqlCheck(context, { ...options, min: 0, query: 'SELECT NULL' })).toMatchObject({
      status: 'failed',
    });
    expect(await runSqlCheck(context, { ...options, min: 0, query: 'SELECT 1; DROP TABLE x' })).toMatchObject({
      status: 'failed',
      detail: expect.stringContaining('42601'),
    });
    expect(
      await runSqlCheck(context, { ...options, min: 0, query: 'SELECT pg_sleep(60)', timeoutSeconds: 0.05 }),
    ).toMatchObject({ status: 'failed', detail: expect.stringContaining('longer') });
  });

  it('changes nothing, and compares with what was recorded', async () => {
    await runQuery(server, 'postgres', 'CREATE SCHEMA "a b"; CREATE TABLE "a b".t AS SELECT generate_series(1, 2) i');
    onCleanup(() => runQuery(server, 'postgres', 'DROP SCHEMA "a b" CASCADE'));
    expect(
      await runSqlCheck(context, {
        ...options,
        min: 0,
        query: 'WITH x AS (DELETE FROM "a b".t RETURNING 1) SELECT count(*) FROM x',
      }),
    ).toMatchObject({ detail: expect.stringContaining('25006') });
    const compare = { ...options, query: 'select COUNT(*) from "a b".t ;', compare: 'recorded' as const };
    expect(await runSqlCheck(context, compare)).toEqual({ status: 'passed', detail: '2, as recorded with the backup' });
    expect(
      await runSqlCheck(
        { ...context, recorded: [{ database: 'postgres', schema: 'a b', table: 't', rows: 3 }] },
        compare,
      ),
    ).toMatchObject({ status: 'failed' });
    const history = { ...context, recordedIsExact: false };
    expect(
      await runSqlCheck(
        { ...history, recorded: [{ database: 'postgres', schema: 'a b', table: 't', rows: 4 }] },
        compare,
      ),
    ).toMatchObject({ status: 'passed' });
    expect(
      await runSqlCheck(
        { ...history, recorded: [{ database: 'postgres', schema: 'a b', table: 't', rows: 5 }] },
        compare,
      ),
    ).toMatchObject({ status: 'failed' });
    expect(await runSqlCheck(context, { ...compare, query: 'SELECT count(*) FROM pg_class' })).toMatchObject({
      status: 'failed',
    });
    expect(await runSqlCheck({ ...context, recorded: [] }, compare)).toMatchObject({
      status: 'passed',
      detail: expect.stringContaining('nothing was recorded'),
    });
  });
});

describe('R3: a connection pooler is refused before anything is set', () => {
  const refused = { code: 'pooler-refused', hint: expect.stringContaining('connection.port') };
  const pathOf = async (place: { host: string; port: number }, database: string): Promise<unknown> => {
    const application = new pg.Client({ ...place, user: server.user, database });
    await application.connect();
    try {
      return (await application.query<{ search_path: string }>('SHOW search_path')).rows[0]?.search_path;
    } finally {
      await application.end();
    }
  };

  it.each(['transaction', 'session', 'statement'] as const)(
    'PgBouncer in %s mode, by TCP and by its socket: sessions of applications stay as they were',
    async (mode) => {
      const database = `pooled_${mode}`;
      await runQuery(server, 'postgres', `CREATE DATABASE ${database}`);
      onCleanup(() => runQuery(server, 'postgres', `DROP DATABASE ${database} WITH (FORCE)`));
      for (const ignored of [[], ['options', 'extra_float_digits']]) {
        const { port, socketDir } = await startPgbouncer(server, { mode, ignored });
        for (const host of ['127.0.0.1', socketDir]) {
          const pooled = { ...connection, host, port, maintenanceDatabase: database };
          for (const searchPath of ['fixed', 'database'] as const)
            await expect(
              withClient(pooled, database, (client) => client.query('SELECT 1'), { searchPath }),
            ).rejects.toMatchObject(refused);
          expect(await probe(pooled, LONG_MS)).toMatchObject({
            ...{ ok: false, layer: 'login', reason: expect.stringContaining('pooler') },
            fix: expect.stringContaining('connection.port'),
          });
          expect(await inspectServer({ name: 'c', connection: pooled } as unknown as ClusterConfig)).toMatchObject({
            ...{ level: 'problem', message: expect.stringContaining('pooler') },
            fix: expect.stringContaining('connection.port'),
          });
          expect(await pathOf({ host, port }, database)).toBe('"$user", public');
        }
      }
    },
  );

  it('Pgpool-II, which tells the process of the server; a network that only forwards is none, and is asked once', async () => {
    const pgpool = await startForwarder(server, { asPgpool: true });
    const pooled = { ...connection, host: '127.0.0.1', port: pgpool.port };
    await expect(withClient(pooled, 'postgres', (client) => client.query('SELECT 1'))).rejects.toMatchObject(refused);
    expect(await probe(pooled, LONG_MS)).toMatchObject({
      ok: false,
      layer: 'login',
      reason: expect.stringContaining('pooler'),
    });

    const network = await startForwarder(server, { asPgpool: false });
    const forwarded = { ...connection, host: '127.0.0.1', port: network.port };
    const set = (): Promise<unknown> =>
      withClient(forwarded, 'postgres', async (client) => (await client.query('SHOW search_path')).rows[0]);
    expect(await set()).toEqual({ search_path: 'pg_catalog' });
    expect(await set()).toEqual({ search_path: 'pg_catalog' });
    expect(await probe(forwarded, LONG_MS)).toMatchObject({ ok: true });
    expect(network.questions()).toBe(1);
  });
});
