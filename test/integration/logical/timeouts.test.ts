import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import { isRetryable, RepriseError } from '../../../src/domain/errors.js';
import { databaseMark } from '../../../src/domain/plan/recovery-place.js';
import type { EngineContext, RestoredDatabase } from '../../../src/engines/engine.js';
import { logicalEngine } from '../../../src/engines/logical/logical-engine.js';
import { withClient } from '../../../src/postgres/connection/with-client.js';
import { makeGround } from '../../contract/engine-fixture.js';
import { onlyBackup } from '../../contract/engine-suite.js';
import { bound } from '../../helpers/bound.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster, ServerAddress } from '../../helpers/postgres.js';

failOnLeakedProcesses();

const TIMEOUTS = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout'];
/** Long enough for a log-in on a slow machine; what our sessions do meanwhile takes longer. */
const SHORT = '400ms';
const LONGER_MS = 900;
const MOST_TRIES = 20;

async function restore(
  context: EngineContext,
  backup: Backup,
  restoreAs: 'superuser' | 'unprivileged',
): Promise<RestoredDatabase | undefined> {
  return logicalEngine.logical?.restoreDatabase(context, {
    ...(await bound(logicalEngine, context, backup)),
    ...{ intoDatabase: 'again', connection: context.cluster.connection, restoreAs },
  });
}

const rowsOf = async (server: ScratchCluster, sql: string): Promise<unknown[]> =>
  (await runQuery(server, 'again', sql)).rows as unknown[];
const dropAgain = (server: ServerAddress) => runQuery(server, 'postgres', 'DROP DATABASE again WITH (FORCE)');

/** A session that stands still between its log-in and its first statement is ended, which a step is tried again for. */
async function persistently<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof RepriseError && isRetryable(error)) || tries === MOST_TRIES) throw error;
    }
  }
}

it.each([15, 18])(
  'R7: time-outs of role, database and server end no session and no tool of ours (PostgreSQL %s)',
  async (version) => {
    const server = await startScratchCluster({ version });
    await runQuery(server, 'postgres', 'CREATE DATABASE app');
    // Counting the rows of this one takes longer than any of the time-outs.
    await runQuery(
      server,
      'app',
      `CREATE TABLE t (x int); INSERT INTO t VALUES (1);
       CREATE FUNCTION slow(x int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_catalog.pg_sleep(${LONGER_MS / 1000}); RETURN x; END $$;
       CREATE INDEX ON t (public.slow(x))`,
    );
    const names = version < 17 ? TIMEOUTS : [...TIMEOUTS, 'transaction_timeout'];
    // For what the test itself does there is none.
    const { host, port, socketDir } = server;
    const admin = { host, port, socketDir, user: 'admin' };
    await runQuery(server, 'postgres', 'CREATE ROLE admin LOGIN SUPERUSER');
    for (const name of names) await runQuery(server, 'postgres', `ALTER ROLE admin SET ${name} = 0`);
    for (const name of names) {
      await runQuery(admin, 'postgres', `ALTER ROLE postgres IN DATABASE app SET ${name} = '${SHORT}'`);
      await runQuery(admin, 'postgres', `ALTER ROLE postgres SET ${name} = '${SHORT}'`);
      await runQuery(admin, 'postgres', `ALTER SYSTEM SET ${name} = '${SHORT}'`);
    }
    await runQuery(admin, 'postgres', 'SELECT pg_reload_conf()');
    const ground = await makeGround(server, 'logical', { restoreJobs: 2 }, { databases: ['app'] });
    const context = await ground.context('one');
    await persistently(() =>
      withClient(context.cluster.connection, 'app', async (client) => {
        await client.query(`BEGIN; SELECT pg_catalog.pg_sleep(${LONGER_MS / 1000})`);
        await sleep(LONGER_MS);
        await client.query('COMMIT');
        await sleep(LONGER_MS);
        for (const name of names) expect((await client.query(`SHOW ${name}`)).rows[0]).toEqual({ [name]: '0' });
      }),
    );
    const slow = () =>
      withClient(context.cluster.connection, 'app', (client) => client.query('SELECT pg_catalog.pg_sleep(600)'), {
        statementTimeoutMs: 100,
      });
    await expect(persistently(slow)).rejects.toMatchObject({ code: 'query-timeout' });
    const backup = onlyBackup(
      await persistently(() => logicalEngine.backup(context, { type: 'full', startedAt: '2026-11-21T02:15:00Z' })),
    );
    expect(backup.contents).toMatchObject([{ table: 't', rows: 1 }]);
    for (const restoreAs of ['unprivileged', 'superuser'] as const) {
      const attempt = async () => restore(await ground.context(restoreAs), backup, restoreAs);
      expect(await persistently(attempt)).toMatchObject({ accepted: [] });
      await dropAgain(admin);
    }
  },
);

it('R7: what a finished job made in a database that is gone is made again: rows, statistics, sequences and rights', async () => {
  const server = await startScratchCluster();
  await runQuery(server, 'postgres', 'CREATE ROLE reader');
  await runQuery(server, 'postgres', 'CREATE DATABASE app');
  await runQuery(
    server,
    'app',
    `CREATE TABLE t (id serial PRIMARY KEY); INSERT INTO t SELECT FROM generate_series(1, 500); GRANT SELECT ON t TO reader;
     CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM t`,
  );
  const ground = await makeGround(server, 'logical', { restoreJobs: 1 }, { databases: ['app'] });
  const backup = onlyBackup(
    await logicalEngine.backup(await ground.context('one'), { type: 'full', startedAt: '2026-11-21T02:15:00Z' }),
  );
  const state = async (): Promise<unknown> =>
    rowsOf(
      server,
      `SELECT (SELECT last_value FROM t_id_seq) AS last, has_table_privilege('reader', 't', 'SELECT') AS granted,
              (SELECT reltuples FROM pg_class WHERE relname = 't') AS analyzed, (SELECT count(*) FROM t) AS rows`,
    );
  const whole = [{ last: '500', granted: true, analyzed: 500, rows: '500' }];
  for (const restoreAs of ['unprivileged', 'superuser'] as const) {
    await restore(await ground.context(restoreAs), backup, restoreAs);
    expect(await state()).toEqual(whole);
    await dropAgain(server);
    await restore(await ground.context(restoreAs), backup, restoreAs);
    expect(await state()).toEqual(whole);
    await dropAgain(server);
  }
  // Made anew by an attempt that was killed before it restored anything: it is empty, and ours.
  await runQuery(server, 'postgres', 'CREATE DATABASE again TEMPLATE template0');
  await runQuery(server, 'postgres', `COMMENT ON DATABASE again IS '${databaseMark('superuser')}'`);
  await restore(await ground.context('superuser'), backup, 'superuser');
  expect(await state()).toEqual(whole);
});
