import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import { logicalEngine } from '../../../src/engines/logical/logical-engine.js';
import { testRestore } from '../../../src/activities/backup/restore-test.js';
import type { ClusterContext } from '../../../src/activities/cluster-context.js';
import { runSqlCheck } from '../../../src/checks/sql/sql-check.js';
import { countDatabases } from '../../../src/postgres/content/inventory.js';
import { makeGround } from '../../contract/engine-fixture.js';
import type { Ground } from '../../contract/engine-fixture.js';
import { onlyBackup } from '../../contract/engine-suite.js';
import { bound } from '../../helpers/bound.js';
import { seedHostile } from '../../helpers/hostile-database.js';
import { schemaText } from '../../helpers/dump-text.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster } from '../../helpers/postgres.js';

failOnLeakedProcesses();

let second = 0;
async function backUp(ground: Ground, operationId: string): Promise<Backup> {
  const startedAt = new Date(Date.UTC(2026, 10, 21, 2, 15, second++)).toISOString();
  return onlyBackup(await logicalEngine.backup(await ground.context(operationId), { type: 'full', startedAt }));
}

async function restore(
  ground: Ground,
  backup: Backup,
  operationId: string,
  intoDatabase = 'app_new',
): Promise<unknown> {
  const context = await ground.context(operationId);
  return logicalEngine.logical?.restoreDatabase(context, {
    ...(await bound(logicalEngine, context, backup)),
    intoDatabase,
    connection: ground.cluster.connection,
    restoreAs: ground.cluster.restoreAs,
  });
}

/** As `proof: restore` does it, every night and without an approval. */
async function prove(ground: Ground, backup: Backup): Promise<unknown> {
  const context = await ground.context('proof');
  const clusterContext = {
    ...context,
    deps: { engineOf: () => logicalEngine, postgresBin: async () => context.pgBin },
  } as unknown as ClusterContext;
  return testRestore(clusterContext, context, backup, [backup]);
}

async function schemaOf(server: ScratchCluster, database: string): Promise<string> {
  // PostgreSQL itself writes such a check in another way once it was restored.
  return (await schemaText(server, database))
    .replaceAll("(ARRAY['a'::character varying, 'b'::character varying])::text[]", "ARRAY['a', 'b']")
    .replaceAll("ARRAY[('a'::character varying)::text, ('b'::character varying)::text]", "ARRAY['a', 'b']");
}

const rolesOf = async (server: ScratchCluster): Promise<unknown> =>
  (await runQuery(server, 'postgres', "SELECT rolname, rolsuper FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1"))
    .rows;

it.each([15, 18])(
  'U1: nothing that a hostile database holds runs as a superuser, and all that is legitimate in it comes back (PostgreSQL %s)',
  async (version) => {
    const source = await startScratchCluster({ version });
    const hostile = await seedHostile(source);
    const ground = await makeGround(source, 'logical', { restoreJobs: 1 }, { databases: [hostile.name] });
    const roles = await rolesOf(source);

    const backup = await backUp(ground, 'backup');
    // Of a physical backup the same is counted, on the live server and in the restored copy.
    await countDatabases(ground.cluster.connection, [hostile.name], new AbortController().signal);
    expect(await hostile.escaped()).toEqual([]);
    expect(await prove(ground, backup)).toMatchObject({ ok: true, detail: expect.stringContaining('hold the rows') });
    expect(await hostile.escaped()).toEqual([]);
    await restore(ground, backup, 'recovery');
    expect(await hostile.escaped()).toEqual([]);

    expect(await schemaOf(source, 'app_new')).toBe(await schemaOf(source, 'app'));
    expect(await rolesOf(source)).toEqual(roles);
    const left = `SELECT count(*)::int AS n FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE datname = 'app_new'`;
    expect((await runQuery(source, 'postgres', left)).rows).toEqual([{ n: 1 }]);
    const filled = 'SELECT count FROM app.mv UNION ALL SELECT count(*) FROM app.trusting_view';
    expect((await runQuery(source, 'app_new', filled)).rows).toEqual([{ count: '1000' }, { count: '1' }]);

    // What is asked of it afterwards runs as nobody who may do more.
    for (const query of ['SELECT count(*) FROM evil.v', 'SELECT count(*) FROM evil.t', 'SELECT max(a) FROM evil.t'])
      expect(
        await runSqlCheck(
          {
            connection: ground.cluster.connection,
            recorded: [],
            recordedIsExact: true,
            signal: new AbortController().signal,
          },
          { database: 'app_new', query, min: 2, max: 2, timeoutSeconds: 240 },
        ),
      ).toEqual({ status: 'passed', detail: '2' });
    expect(await hostile.escaped()).toEqual([]);
    expect(await rolesOf(source)).toEqual(roles);
  },
);

it('U1: a dump of PostgreSQL 15 is restored by a login without rights into PostgreSQL 18, which writes some of it in another way', async () => {
  const [source, target] = [await startScratchCluster({ version: 15 }), await startScratchCluster({ version: 18 })];
  const hostile = await seedHostile(source);
  const ground = await makeGround(source, 'logical', { restoreJobs: 1 }, { databases: ['app'] });
  const backup = await backUp(ground, 'backup');
  const connection = { ...ground.cluster.connection, port: target.port };
  const context = await ground.context('newer', { pgBin: target.binDir, cluster: { ...ground.cluster, connection } });
  const approved = await bound(logicalEngine, context, backup);
  await logicalEngine.logical?.restoreGlobals(context, { ...approved, connection });
  await logicalEngine.logical?.restoreDatabase(context, { ...approved, intoDatabase: 'app', connection });
  expect(await hostile.escaped()).toEqual([]);
  // PostgreSQL 17 has a right of its own for maintenance.
  const owners = `SELECT relnamespace::regnamespace::text AS schema, relname, pg_get_userbyid(relowner) AS owner,
                         replace(relacl::text, 'Dxtm', 'Dxt') AS acl
                    FROM pg_class WHERE relnamespace IN ('app'::regnamespace, 'evil'::regnamespace) ORDER BY 1, 2`;
  expect((await runQuery(target, 'app', owners)).rows).toEqual((await runQuery(source, 'app', owners)).rows);
});

it('U1: a plan is refused where pg_hba.conf lets no such login in, and says which line is missing', async () => {
  const source = await startScratchCluster({ version: 15 });
  await runQuery(source, 'postgres', 'CREATE DATABASE app');
  const ground = await makeGround(source, 'logical', { restoreJobs: 1 }, { databases: ['app'] });
  const candidates = [await backUp(ground, 'backup')];
  const plan = async (more: object = {}): Promise<unknown> =>
    logicalEngine.outlineRecovery(await ground.context('plan', more), {
      ...{ target: { kind: 'latest' }, candidates, oldDataDir: null, databases: ['app'] },
    });
  await plan();
  await writeFile(join(source.dataDir, 'pg_hba.conf'), 'host all postgres 127.0.0.1/32 trust\n');
  await runQuery(source, 'postgres', 'SELECT pg_reload_conf()');
  await expect(plan()).rejects.toMatchObject({
    code: 'privilege-missing',
    hint: expect.stringContaining('host all all 127.0.0.1/32 scram-sha-256'),
  });
  await plan({ cluster: { ...ground.cluster, restoreAs: 'superuser' } });
});
