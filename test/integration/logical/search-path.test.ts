import { expect, it } from '@jest/globals';
import type { RestoreAs } from '../../../src/domain/plan/plan.js';
import { logicalEngine } from '../../../src/engines/logical/logical-engine.js';
import { makeGround } from '../../contract/engine-fixture.js';
import { onlyBackup } from '../../contract/engine-suite.js';
import { bound } from '../../helpers/bound.js';
import { schemaText } from '../../helpers/dump-text.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster } from '../../helpers/postgres.js';

failOnLeakedProcesses();

/** Functions that find `factor` only by the database's own search_path. */
const unqualified = [
  'CREATE SCHEMA app AUTHORIZATION alice; GRANT CREATE ON DATABASE app TO alice',
  `SET ROLE alice; SET search_path = app, public;
   CREATE FUNCTION factor() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2';
   CREATE FUNCTION times(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1 * factor(); END $$;
   CREATE FUNCTION own(int) RETURNS int LANGUAGE plpgsql IMMUTABLE SET search_path = app SET work_mem = '1MB' AS $$ BEGIN RETURN factor(); END $$;
   CREATE FUNCTION sized(int) RETURNS int LANGUAGE plpgsql IMMUTABLE SET work_mem = '1MB' AS $$ BEGIN RETURN factor(); END $$;
   CREATE TABLE checked (a int CHECK (times(a) > 0 AND sized(a) > 0)); INSERT INTO checked SELECT generate_series(1, 10);
   CREATE TABLE computed (a int, b int GENERATED ALWAYS AS (times(a)) STORED); INSERT INTO computed SELECT generate_series(1, 10);
   CREATE MATERIALIZED VIEW filled AS SELECT 110 AS b`,
];
/** From PostgreSQL 17 on an index and a materialized view are made without a search_path in any case. */
const until16 = [
  `SET ROLE alice; SET search_path = app, public; CREATE INDEX ON computed (times(a));
   DROP MATERIALIZED VIEW filled; CREATE MATERIALIZED VIEW filled AS SELECT times(a) AS b FROM checked`,
];
/** What a login without rights cannot fill, nor its owner when it is restored. */
const unfillable = [
  `SET ROLE alice; CREATE TABLE app.forced (a int); INSERT INTO app.forced VALUES (1);
   CREATE MATERIALIZED VIEW app.of_forced AS SELECT a FROM app.forced;
   ALTER TABLE app.forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`,
  'CREATE MATERIALIZED VIEW app.roles AS SELECT rolname FROM pg_authid',
];

async function restored(
  server: ScratchCluster,
  statements: readonly string[],
  into: string,
  { setting = 'ALTER DATABASE app', restoreAs }: { setting?: string; restoreAs?: RestoreAs } = {},
): Promise<unknown> {
  await runQuery(server, 'postgres', 'DROP DATABASE IF EXISTS app');
  await runQuery(server, 'postgres', 'CREATE DATABASE app');
  await runQuery(server, 'postgres', `${setting} SET search_path = app, public`);
  for (const statement of statements) await runQuery(server, 'app', statement);
  const ground = await makeGround(server, 'logical', { restoreJobs: 2 }, { databases: ['app'] });
  const context = await ground.context(into);
  const startedAt = '2026-11-21T02:15:00Z';
  const backup = onlyBackup(await logicalEngine.backup(context, { type: 'full', startedAt }));
  const verified = await logicalEngine.verify(context, backup);
  expect(verified).toMatchObject({ ok: true, detail: expect.stringContaining('it was not restored') });
  const request = {
    ...(await bound(logicalEngine, context, backup)),
    intoDatabase: into,
    connection: context.cluster.connection,
    restoreAs,
  };
  const done = await logicalEngine.logical?.restoreDatabase(context, request);
  expect(await schemaText(server, into)).toBe(await schemaText(server, 'app'));
  return done?.accepted;
}

it.each([15, 18])(
  'R8: what needs the search_path of its database is restored with it (PostgreSQL %s)',
  async (version) => {
    const server = await startScratchCluster({ version });
    await runQuery(server, 'postgres', 'CREATE ROLE alice');
    expect(await restored(server, [...unqualified, ...(version < 17 ? until16 : [])], 'again')).toEqual([
      expect.stringMatching(/^functions ran with search_path app, public, as some find nothing without one/),
    ]);
    const rows = `SELECT (SELECT count(*) FROM app.checked)::int AS checked, (SELECT sum(b) FROM app.computed)::int AS computed,
                         (SELECT sum(b) FROM app.filled)::int AS filled`;
    expect((await runQuery(server, 'again', rows)).rows).toEqual([{ checked: 10, computed: 110, filled: 110 }]);
    // The same by a superuser; and as the setting of who owns the functions.
    const others = { setting: 'ALTER ROLE alice', restoreAs: 'superuser' as const };
    const ofRole = await restored(server, [...unqualified, ...(version < 17 ? until16 : [])], 'by_superuser', others);
    expect(ofRole).toEqual([expect.stringMatching(/^functions ran with search_path app, public/)]);
    expect((await runQuery(server, 'by_superuser', rows)).rows).toEqual([{ checked: 10, computed: 110, filled: 110 }]);
    await expectNothingLeft(server, 'by_superuser');
    await expectNothingLeft(server, 'again');
  },
);

/** Nothing is left of how it was done. */
async function expectNothingLeft(server: ScratchCluster, database: string): Promise<void> {
  const config = `SELECT proname::text AS name, proconfig FROM pg_proc WHERE pronamespace = 'app'::regnamespace AND proconfig IS NOT NULL ORDER BY 1`;
  expect((await runQuery(server, database, config)).rows).toEqual((await runQuery(server, 'app', config)).rows);
  const made = `SELECT nspname::text AS name FROM pg_namespace WHERE nspname LIKE 'reprise%' UNION ALL SELECT evtname::text FROM pg_event_trigger`;
  expect((await runQuery(server, database, made)).rows).toEqual([]);
}

it('R8, U1: materialized views that nobody can fill stay empty and are named, and all else is there', async () => {
  const server = await startScratchCluster({ version: 15 });
  await runQuery(server, 'postgres', 'CREATE ROLE alice');
  const statements = [unqualified[0] ?? '', ...unfillable];
  expect(await restored(server, statements, 'again')).toEqual([
    expect.stringMatching(
      /^materialized view app\.of_forced is empty: .* nor as alice; REFRESH MATERIALIZED VIEW fills it$/,
    ),
    expect.stringMatching(/^materialized view app\.roles is empty: /),
  ]);
  expect((await runQuery(server, 'again', 'SELECT a FROM app.forced')).rows).toEqual([{ a: 1 }]);
});
