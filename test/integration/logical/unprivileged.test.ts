import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import { logicalEngine } from '../../../src/engines/logical/logical-engine.js';
import { testRestore } from '../../../src/activities/backup/restore-test.js';
import type { ClusterContext } from '../../../src/activities/cluster-context.js';
import { runSqlCheck } from '../../../src/checks/sql/sql-check.js';
import { makeGround } from '../../contract/engine-fixture.js';
import type { Ground } from '../../contract/engine-fixture.js';
import { onlyBackup } from '../../contract/engine-suite.js';
import { bound } from '../../helpers/bound.js';
import { seedHostile } from '../../helpers/hostile-database.js';
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
  const clusterContext = { ...context, deps: { engineOf: () => logicalEngine } } as unknown as ClusterContext;
  return testRestore(clusterContext, context, backup, [backup]);
}

async function schemaOf(server: ScratchCluster, database: string): Promise<string> {
  const { stdout } = await promisify(execFile)(
    join(server.binDir, 'pg_dump'),
    ['-s', '--restrict-key=x', '-h', server.host, '-p', String(server.port), '-U', server.user, database],
    { maxBuffer: 1 << 26 },
  );
  // PostgreSQL itself writes such a check in another way once it was restored.
  return stdout
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
          { database: 'app_new', query, min: 2, max: 2, timeoutSeconds: 30 },
        ),
      ).toEqual({ status: 'passed', detail: '2' });
    expect(await hostile.escaped()).toEqual([]);
    expect(await rolesOf(source)).toEqual(roles);
  },
);
