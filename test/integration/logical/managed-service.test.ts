import { expect, it } from '@jest/globals';
import { logicalEngine } from '../../../src/engines/logical/logical-engine.js';
import { databaseMark } from '../../../src/domain/plan/recovery-place.js';
import { swapDatabases } from '../../../src/postgres/old-data/swap-databases.js';
import { makeGround } from '../../contract/engine-fixture.js';
import { onlyBackup } from '../../contract/engine-suite.js';
import { bound } from '../../helpers/bound.js';
import { schemaText } from '../../helpers/dump-text.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';

failOnLeakedProcesses();

/** As the role that a managed service gives its customer: it may make databases and roles, and reads all of its own. */
const MANAGER = `CREATE ROLE app; CREATE ROLE reader;
  CREATE ROLE manager LOGIN CREATEDB CREATEROLE IN ROLE app, pg_read_all_data, pg_signal_backend, pg_monitor`;
const ORDINARY = `SET ROLE app;
  CREATE SCHEMA data; CREATE TYPE data.mood AS ENUM ('good', 'bad');
  CREATE TABLE data.t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, m data.mood DEFAULT 'good', n numeric CHECK (n > 0));
  INSERT INTO data.t (n) SELECT generate_series(1, 100);
  CREATE FUNCTION data.plus(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1 + 1; END $$;
  CREATE INDEX ON data.t (data.plus(id)); CREATE VIEW data.v AS SELECT id FROM data.t;
  CREATE MATERIALIZED VIEW data.mv AS SELECT count(*) FROM data.t;
  GRANT USAGE ON SCHEMA data TO reader; GRANT SELECT ON data.t TO reader; SELECT lo_from_bytea(4711, 'hello');
  COMMENT ON TABLE data.t IS 'ordinary'; GRANT SELECT ON LARGE OBJECT 4711 TO reader`;

it.each([15, 18])(
  'R10: a role that may make databases and is no superuser backs up, restores and swaps in (PostgreSQL %s)',
  async (version) => {
    const server = await startScratchCluster({ version });
    await runQuery(server, 'postgres', MANAGER);
    await runQuery(server, 'postgres', 'CREATE DATABASE app OWNER app');
    await runQuery(server, 'postgres', "ALTER DATABASE app SET work_mem = '8MB'");
    await runQuery(server, 'app', ORDINARY);
    const before = await schemaText(server, 'app');
    const ground = await makeGround(
      server,
      'logical',
      { restoreJobs: 1 },
      { databases: ['app'], restoreAs: 'superuser' },
    );
    const connection = { ...ground.cluster.connection, user: 'manager' };
    const context = await ground.context('managed', { cluster: { ...ground.cluster, connection } });
    const startedAt = '2026-11-21T02:15:00Z';
    const backup = onlyBackup(await logicalEngine.backup(context, { type: 'full', startedAt }));
    const content = await bound(logicalEngine, context, backup);
    const target = { target: { kind: 'latest' } as const, candidates: [backup], oldDataDir: null, databases: ['app'] };
    await logicalEngine.outlineRecovery(context, target);
    await logicalEngine.logical?.restoreGlobals(context, { ...content, connection });
    const restored = await logicalEngine.logical?.restoreDatabase(context, {
      ...{ ...content, connection, intoDatabase: 'app_new' },
      restoreAs: 'superuser',
    });
    expect(restored?.contents).toMatchObject([{ schema: 'data', table: 't', rows: 100 }]);
    const names = { live: 'app', fresh: 'app_new', oldData: 'app_old', mark: databaseMark('managed') };
    await swapDatabases(connection, names);
    expect(await schemaText(server, 'app')).toBe(before);
    const owner = `SELECT pg_get_userbyid(datdba)::text AS owner FROM pg_database WHERE datname = 'app'`;
    expect((await runQuery(server, 'postgres', owner)).rows).toEqual([{ owner: 'app' }]);
  },
);
