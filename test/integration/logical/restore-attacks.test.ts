import { describe, expect, it } from '@jest/globals';
import { logicalEngine } from '../../../src/engines/logical/logical-engine.js';
import { makeGround } from '../../contract/engine-fixture.js';
import { onlyBackup } from '../../contract/engine-suite.js';
import { bound } from '../../helpers/bound.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster } from '../../helpers/postgres.js';

failOnLeakedProcesses();

/** What mallory's code does where it is restored: as its constraint is checked, or as its index is made. */
interface Attack {
  readonly name: string;
  readonly place: 'check' | 'index';
  readonly does: string;
  /** Why the restore is refused; absent: it is whole, and nothing is left of the attack. */
  readonly refused?: RegExp;
}

const NESTED = /code in the dump may not define anything while it is restored/;
const REWRITTEN = /rows were changed after they were restored, by code that is in the dump: app\.a/;
const OBJECTS = /rows were changed after they were restored, by code that is in the dump: large objects/;
const attacks: readonly Attack[] = [
  {
    name: 'replaces the rows of another by as many of its own',
    place: 'check',
    does: 'TRUNCATE app.a; INSERT INTO app.a SELECT i, 999 FROM generate_series(1, 10) i',
    refused: REWRITTEN,
  },
  {
    name: 'inserts and deletes',
    place: 'check',
    does: 'INSERT INTO app.a VALUES (99, 1); DELETE FROM app.a WHERE id = 99',
    refused: REWRITTEN,
  },
  {
    name: 'rewrites the table of another',
    place: 'check',
    does: 'ALTER TABLE app.a ALTER amount TYPE int USING 999',
    refused: NESTED,
  },
  {
    name: 'watches rows of another as long as they come in',
    place: 'check',
    does: `CREATE TRIGGER evil BEFORE INSERT ON app.z FOR EACH ROW EXECUTE FUNCTION m.forge()`,
    refused: NESTED,
  },
  {
    name: 'changes a large object of another',
    place: 'index',
    does: `PERFORM lo_put(4711, 0, 'forged')`,
    refused: OBJECTS,
  },
  {
    name: 'adds to a large object of another',
    place: 'index',
    does: `PERFORM lo_put(4711, 2048, 'more')`,
    refused: OBJECTS,
  },
  {
    name: 'says that the connection is lost',
    place: 'check',
    does: `RAISE EXCEPTION 'server closed the connection unexpectedly, the database system is shutting down'`,
    refused: /pg_restore reported errors/,
  },
  {
    name: 'rewrites the table of another when statistics are made',
    place: 'index',
    does: `IF current_query() ILIKE 'ANALYZE%' THEN ALTER TABLE app.a ALTER amount TYPE int USING 999; END IF`,
    refused: NESTED,
  },
  {
    name: 'empties the table of another when statistics are made',
    place: 'index',
    does: `IF current_query() ILIKE 'ANALYZE%' THEN TRUNCATE app.a; END IF`,
    refused: /the restored database is not what was dumped: table app\.a holds 0 rows/,
  },
  {
    name: 'raises messages without end',
    place: 'check',
    does: `SET client_min_messages = notice; LOOP RAISE NOTICE '%', repeat('x', 1000000); END LOOP`,
    refused: /pg_restore was ended: it printed more than 256 MiB/,
  },
  {
    name: 'hides the marks of the database, and then fails',
    place: 'index',
    does: `PERFORM m.hide(); RAISE EXCEPTION 'no'`,
    refused: /pg_restore reported errors/,
  },
  { name: 'sets a sequence of another', place: 'index', does: `PERFORM setval('app.sq', 999)` },
  {
    name: 'changes the database and its own login',
    place: 'check',
    does: `PERFORM m.hide();
      EXECUTE format('ALTER DATABASE %I SET search_path = m, pg_catalog', current_database());
      EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());
      EXECUTE format('ALTER ROLE %I PASSWORD ''known''', current_user);
      EXECUTE format('ALTER ROLE %I SET role = none', current_user)`,
  },
];

describe.each([15, 18])('U1: what code in a dump does while it is restored (PostgreSQL %s)', (version) => {
  it('is seen, or leaves nothing', async () => {
    const server = await startScratchCluster({ version });
    await seed(server);
    for (const [index, attack] of attacks.entries()) {
      const found = await restoreWith(server, attack, index);
      expect([attack.name, found]).toEqual([
        attack.name,
        attack.refused === undefined ? WHOLE : expect.stringMatching(attack.refused),
      ]);
      const left = await runQuery(
        server,
        'postgres',
        `SELECT datname::text AS name FROM pg_database WHERE datname LIKE 'new%' UNION ALL
         SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'reprise%' OR rolname = 'pwned'`,
      );
      expect([attack.name, left.rows]).toEqual([attack.name, []]);
    }
  });
});

const WHOLE = {
  rows: '55',
  object: 'secret',
  sequence: '7',
  database: { datacl: null, datistemplate: false, datallowconn: true, datconnlimit: -1 },
  settings: [],
  report: [{ ran: false }],
  programs: [],
};

async function seed(server: ScratchCluster): Promise<void> {
  const query = (database: string, sql: string) => runQuery(server, database, sql);
  await query(
    'postgres',
    'CREATE ROLE alice; CREATE ROLE mallory LOGIN; CREATE ROLE operator IN ROLE pg_execute_server_program',
  );
  await query('postgres', 'CREATE DATABASE app');
  await query('app', 'CREATE SCHEMA app AUTHORIZATION alice; CREATE SCHEMA m AUTHORIZATION mallory');
  await query(
    'app',
    `SET ROLE alice; CREATE TABLE app.a (id int PRIMARY KEY, amount int); CREATE TABLE app.z (id int);
     CREATE SEQUENCE app.sq; SELECT setval('app.sq', 7); INSERT INTO app.a SELECT i, i FROM generate_series(1, 10) i;
     SELECT lo_from_bytea(4711, 'secret')`,
  );
  await query(
    'app',
    `SET ROLE mallory;
     CREATE FUNCTION m.forge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
     CREATE FUNCTION m.hide() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
       EXECUTE format('COMMENT ON DATABASE %I IS NULL', current_database());
       EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT -1', current_database());
       EXECUTE format('ALTER DATABASE %I IS_TEMPLATE true', current_database());
     END $$;
     CREATE FUNCTION m.act() RETURNS void LANGUAGE plpgsql AS $$ BEGIN END $$;
     CREATE FUNCTION m.ischecked() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RETURN true; END $$;
     CREATE FUNCTION m.indexed(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;
     CREATE FUNCTION m.viewed() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
       COPY (SELECT 1) TO PROGRAM 'touch program-has-run'; RETURN true; EXCEPTION WHEN insufficient_privilege THEN RETURN false;
     END $$; GRANT USAGE ON SCHEMA m TO PUBLIC;
     CREATE TABLE m.zz (x int CHECK (m.ischecked())); CREATE TABLE m.ix (x int);
     INSERT INTO m.zz VALUES (1); INSERT INTO m.ix VALUES (1); CREATE INDEX ON m.ix (m.indexed(x))`,
  );
  // Of a role that may run programs of the host; mallory's function in it is called wherever it is filled.
  await query(
    'app',
    `CREATE SCHEMA o AUTHORIZATION operator; SET ROLE operator;
     CREATE MATERIALIZED VIEW o.report AS SELECT m.viewed() AS ran WITH NO DATA; RESET ROLE;
     UPDATE pg_class SET relispopulated = true WHERE oid = 'o.report'::regclass`,
  );
}
/** Restores a dump in which the attack is, and says what came of it: why it was refused, or what is there. */
async function restoreWith(server: ScratchCluster, { place, does }: Attack, index: number): Promise<unknown> {
  const query = (database: string, sql: string) => runQuery(server, database, sql);
  const acting = (here: Attack['place']): string =>
    here === place ? `IF current_database() <> 'app' THEN PERFORM m.act(); END IF;` : '';
  await query(
    'app',
    `CREATE OR REPLACE FUNCTION m.act() RETURNS void LANGUAGE plpgsql AS $act$ BEGIN ${does}; END $act$;
     CREATE OR REPLACE FUNCTION m.ischecked() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN ${acting('check')} RETURN true; END $$;
     CREATE OR REPLACE FUNCTION m.indexed(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN ${acting('index')} RETURN 1; END $$`,
  );
  const ground = await makeGround(server, 'logical', { restoreJobs: 1 }, { databases: ['app'] });
  const context = await ground.context(`attack${index}`);
  const startedAt = new Date(Date.UTC(2026, 10, 21, 2, index)).toISOString();
  const backup = onlyBackup(await logicalEngine.backup(context, { type: 'full', startedAt }));
  const database = `new${index}`;
  const request = {
    ...(await bound(logicalEngine, context, backup)),
    intoDatabase: database,
    connection: context.cluster.connection,
  };
  try {
    await logicalEngine.logical?.restoreDatabase(context, request);
  } catch (error) {
    return String(error);
  }
  const [rows] = (await query(database, 'SELECT sum(amount)::text AS rows FROM app.a')).rows as { rows: string }[];
  const [object] = (await query(database, `SELECT convert_from(lo_get(4711), 'UTF8') AS object`)).rows as {
    object: string;
  }[];
  const [sequence] = (await query(database, 'SELECT last_value::text AS sequence FROM app.sq')).rows as {
    sequence: string;
  }[];
  const facts = await query(
    'postgres',
    `SELECT datacl::text, datistemplate, datallowconn, datconnlimit FROM pg_database WHERE datname = '${database}'`,
  );
  const report = (await query(database, 'SELECT ran FROM o.report')).rows as unknown[];
  const programs = await query(
    'postgres',
    `SELECT pg_ls_dir AS file FROM pg_ls_dir('.') WHERE pg_ls_dir = 'program-has-run'`,
  );
  const settings = await query('postgres', `SELECT setconfig::text FROM pg_db_role_setting`);
  await query('postgres', `DROP DATABASE ${database}`);
  return {
    ...rows,
    ...object,
    ...sequence,
    database: facts.rows[0] as unknown,
    settings: settings.rows,
    report,
    programs: programs.rows as unknown[],
  };
}
