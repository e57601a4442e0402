import { beforeAll, expect, it } from '@jest/globals';
import { testRestore } from '../../../src/activities/backup/restore-test.js';
import type { ClusterContext } from '../../../src/activities/cluster-context.js';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { ClusterConfig } from '../../../src/domain/config.js';
import type { EngineContext } from '../../../src/engines/engine.js';
import { logicalEngine } from '../../../src/engines/logical/logical-engine.js';
import { makeGround } from '../../contract/engine-fixture.js';
import type { Ground } from '../../contract/engine-fixture.js';
import { onlyBackup } from '../../contract/engine-suite.js';
import { bound } from '../../helpers/bound.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runAsPostgres } from '../../helpers/postgres-user.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster } from '../../helpers/postgres.js';

failOnLeakedProcesses();

let source: ScratchCluster;
let ground: Ground;
let backup: Backup;

/** Two that have to be preloaded, with what reads one of them; one that can be made in one database of a server only. */
beforeAll(async () => {
  source = await startScratchCluster({
    version: 15,
    settings: {
      shared_preload_libraries: 'pgaudit, pg_stat_statements, pg_cron',
      ...{ 'cron.database_name': 'app', 'cron.use_background_workers': 'off' },
    },
  });
  await runQuery(source, 'postgres', 'CREATE DATABASE app');
  await runQuery(
    source,
    'app',
    `CREATE EXTENSION pgaudit; CREATE EXTENSION pg_stat_statements; CREATE EXTENSION pg_cron;
     SELECT cron.schedule('yearly', '0 0 1 1 *', 'SELECT 1');
     CREATE TABLE t (x int); INSERT INTO t VALUES (1), (2);
     CREATE MATERIALIZED VIEW seen AS SELECT count(*) FROM pg_stat_statements;
     CREATE FUNCTION nothing() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
     CREATE EVENT TRIGGER own ON ddl_command_end EXECUTE FUNCTION nothing()`,
  );
  ground = await makeGround(source, 'logical', { restoreJobs: 1 }, { databases: ['app'] });
  backup = await backUp('backup', '2026-11-21T02:15:00Z');
});

async function backUp(operationId: string, startedAt: string): Promise<Backup> {
  return onlyBackup(await logicalEngine.backup(await ground.context(operationId), { type: 'full', startedAt }));
}

async function prove(operationId: string, changed: Partial<ClusterConfig> = {}, of = backup): Promise<unknown> {
  const plain = await ground.context(operationId);
  const context: EngineContext = { ...plain, cluster: { ...plain.cluster, ...changed } };
  const clusterContext = {
    ...context,
    deps: { engineOf: () => logicalEngine, postgresBin: async () => context.pgBin },
  } as unknown as ClusterContext;
  return testRestore(clusterContext, context, of, [of]);
}

const silent = (): Partial<ClusterConfig> => ({ connection: { ...ground.cluster.connection, port: 1 } });

it('R11: a restore test preloads what the source preloads, and makes pg_cron without running its jobs', async () => {
  expect(await prove('proof')).toMatchObject({ ok: true });
  expect(await prove('as superuser', { restoreAs: 'superuser' })).toMatchObject({ ok: true });
});

it('R11: a library that the test server lacks is told as such, and is no damage of the backup', async () => {
  for (const restoreAs of ['unprivileged', 'superuser'] as const)
    await expect(prove(`without ${restoreAs}`, { ...silent(), restoreAs })).rejects.toMatchObject({
      code: 'extension-missing',
      hint: expect.stringContaining('shared_preload_libraries'),
    });
});

it('R11: the plan names pg_cron, and the database comes back without it, with its own event triggers', async () => {
  const outline = await logicalEngine.outlineRecovery(await ground.context('outline'), {
    ...{ target: { kind: 'latest' }, candidates: [backup], oldDataDir: null, databases: ['app'] },
  });
  expect(outline.warnings).toEqual([expect.stringContaining('comes back without extension pg_cron and its jobs')]);
  for (const restoreAs of ['unprivileged', 'superuser'] as const) {
    const context = await ground.context(`restore ${restoreAs}`);
    await logicalEngine.logical?.restoreDatabase(context, {
      ...(await bound(logicalEngine, context, backup)),
      ...{ intoDatabase: 'app_new', connection: context.cluster.connection, restoreAs },
    });
    const there = await runQuery(
      source,
      'app_new',
      `SELECT (SELECT string_agg(extname, ',' ORDER BY extname) FROM pg_extension) AS extensions,
              (SELECT count(*)::int FROM t) AS rows, (SELECT count(*)::int FROM pg_event_trigger WHERE evtname = 'own') AS own`,
    );
    expect(there.rows).toEqual([{ extensions: 'pg_stat_statements,pgaudit,plpgsql', rows: 2, own: 1 }]);
    if (restoreAs === 'superuser') await loadJobs(outline.warnings?.join() ?? '');
    await runQuery(source, 'postgres', 'DROP DATABASE app_new WITH (FORCE)');
  }
});

/** The very commands that the plan names, once the server has pg_cron in the restored database. */
async function loadJobs(warning: string): Promise<void> {
  await source.configure({ 'cron.database_name': 'app_new' });
  await source.stop();
  await source.start();
  const commands = /load them: (psql .* && pg_restore .*)$/.exec(warning)?.[1] ?? 'false';
  const at = `PGHOST=${source.host} PGPORT=${source.port} PGUSER=${source.user} PATH=${source.binDir}:$PATH`;
  await runAsPostgres('/bin/sh', ['-c', `export ${at}; ${commands.replaceAll('-d app ', '-d app_new ')}`]);
  const { rows } = await runQuery(source, 'app_new', 'SELECT jobname, schedule FROM cron.job');
  expect(rows).toEqual([{ jobname: 'yearly', schedule: '0 0 1 1 *' }]);
}

it('R11: a label of a provider that is not loaded is no damage either', async () => {
  await runQuery(source, 'app', 'DROP EXTENSION pg_cron');
  await runQuery(
    source,
    'app',
    `SET allow_system_table_mods = on;
     INSERT INTO pg_seclabel VALUES ('t'::regclass, 'pg_class'::regclass, 0, 'dummy', 'secret')`,
  );
  const labelled = await backUp('labelled', '2026-11-21T02:15:01Z');
  for (const restoreAs of ['unprivileged', 'superuser'] as const)
    await expect(prove(`labelled ${restoreAs}`, { restoreAs }, labelled)).rejects.toMatchObject({
      code: 'extension-missing',
      message: expect.stringContaining('dummy'),
    });
});
