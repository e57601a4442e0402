import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import pg from 'pg';
import type { DumpManifest } from '../../../src/engines/logical/repository/manifest.js';
import { readManifestFile } from './faults.js';
import { withInventory } from '../../../src/engines/logical/backup/snapshot.js';
import { logicalEngine } from '../../../src/engines/logical/logical-engine.js';
import { makeGround } from '../../contract/engine-fixture.js';
import { asBackup, onlyBackup } from '../../contract/engine-suite.js';
import { bound } from '../../helpers/bound.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster } from '../../helpers/postgres.js';
import { until } from '../../helpers/until.js';

failOnLeakedProcesses();

/** What a correct dump and restore makes otherwise than it was, or leaves out. */
const ODD: readonly string[] = [
  'CREATE SCHEMA app',
  "CREATE TYPE app.color AS ENUM ('r', 'g', 'b')",
  // The hash of an enum's value is another one in each database: pg_dump has rows go to the root.
  'CREATE TABLE app.hashed (c app.color, i int) PARTITION BY HASH (c)',
  'CREATE TABLE app.hashed0 PARTITION OF app.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0)',
  'CREATE TABLE app.hashed1 PARTITION OF app.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1) PARTITION BY HASH (c)',
  'CREATE TABLE app.hashed10 PARTITION OF app.hashed1 FOR VALUES WITH (MODULUS 2, REMAINDER 0)',
  'CREATE TABLE app.hashed11 PARTITION OF app.hashed1 FOR VALUES WITH (MODULUS 2, REMAINDER 1)',
  "INSERT INTO app.hashed SELECT (ARRAY['r', 'g', 'b']::app.color[])[1 + i % 3], i FROM generate_series(1, 30) i",
  'CREATE TABLE app.listed (i int) PARTITION BY LIST (i)',
  'CREATE TABLE app.listed1 PARTITION OF app.listed FOR VALUES IN (1)',
  'INSERT INTO app.listed VALUES (1)',
  'CREATE TABLE app.twice (i int)',
  'INSERT INTO app.twice VALUES (1), (1)',
  // No partition has it: pg_dump leaves no index of a partitioned table out.
  'CREATE INDEX invalid_parent ON ONLY app.listed (i)',
  'CREATE TABLE app.generated (g int GENERATED ALWAYS AS (1) STORED)',
  'INSERT INTO app.generated DEFAULT VALUES',
  'CREATE TABLE app.nothing ()',
  'INSERT INTO app.nothing DEFAULT VALUES',
  'CREATE FUNCTION app.quiet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$',
];
/** Of an extension's table: no dump has them. */
const ON_EXTENSION: readonly string[] = [
  'CREATE EXTENSION lo WITH SCHEMA app',
  'CREATE TABLE app.member (i int, CONSTRAINT positive CHECK (i > 0))',
  'ALTER EXTENSION lo ADD TABLE app.member',
  'CREATE INDEX by_user ON app.member (i)',
  'ALTER TABLE app.member ADD CONSTRAINT by_user_too CHECK (i < 1000)',
  'CREATE TYPE app.composite AS (i int)',
  'ALTER EXTENSION lo ADD TYPE app.composite',
  'CREATE TRIGGER by_user BEFORE INSERT ON app.member FOR EACH ROW EXECUTE FUNCTION app.quiet()',
];

async function backUpVerifyAndRestore(
  server: ScratchCluster,
  database: string,
  ways: readonly ('unprivileged' | 'superuser')[],
): Promise<DumpManifest> {
  const ground = await makeGround(server, 'logical', { restoreJobs: 1 }, { databases: [database] });
  const context = await ground.context(database);
  const made = onlyBackup(await logicalEngine.backup(context, { type: 'full', startedAt: '2026-11-21T02:15:00Z' }));
  expect(await logicalEngine.verify(await ground.context('verify'), asBackup(made))).toMatchObject({ ok: true });
  for (const restoreAs of ways)
    await logicalEngine.logical?.restoreDatabase(await ground.context(restoreAs), {
      ...(await bound(logicalEngine, context, made)),
      ...{ intoDatabase: `${database} ${restoreAs}`, connection: context.cluster.connection, restoreAs },
    });
  return readManifestFile(join(ground.repositoryPath, 'mairie', 'nightly'), made.label);
}

it.each([15, 18])(
  'R4: a good dump with partitions by hash of an enum, an invalid index, no schema public and objects on tables of extensions is verified and restored (PostgreSQL %s)',
  async (version) => {
    const server = await startScratchCluster({ version });
    await runQuery(server, 'postgres', 'CREATE DATABASE odd');
    const statements = version < 18 ? [...ODD, ...ON_EXTENSION] : ODD;
    for (const sql of [...statements, 'DROP SCHEMA public CASCADE']) await runQuery(server, 'odd', sql);
    await expect(runQuery(server, 'odd', 'CREATE UNIQUE INDEX CONCURRENTLY ON app.twice (i)')).rejects.toThrow();
    await backUpVerifyAndRestore(server, 'odd', ['unprivileged', 'superuser']);
    const rows = await runQuery(server, 'odd unprivileged', 'SELECT count(*)::int AS rows FROM app.hashed');
    expect(rows.rows).toEqual([{ rows: 30 }]);
  },
);

/** Text in an encoding, as a client sends it that says so. */
const inEncoding = (server: ScratchCluster, database: string, encoding: string, sql: Buffer): void => {
  const argv = [
    '-XqAt',
    '-v',
    'ON_ERROR_STOP=1',
    '-h',
    server.host,
    '-p',
    String(server.port),
    '-U',
    'postgres',
    database,
  ];
  const env = { ...process.env, PGCLIENTENCODING: encoding };
  execFileSync(join(server.binDir, 'psql'), argv, { input: sql, env, stdio: ['pipe', 'ignore', 'inherit'] });
};
/** As roles and databases are named: the same bytes in all databases. */
const ROLE = Buffer.from('rôle', 'utf8');
/** Names of every kind that a dump has. */
const named = (name: Buffer): Buffer =>
  Buffer.from(
    `CREATE SCHEMA "@"; CREATE TABLE "@"."@" ("@" int PRIMARY KEY, "@t" text) PARTITION BY RANGE ("@");
     CREATE TABLE "@"."@1" PARTITION OF "@"."@" DEFAULT; INSERT INTO "@"."@" VALUES (1, '@'), (2, NULL);
     CREATE VIEW "@"."@v" AS SELECT * FROM "@"."@"; CREATE FUNCTION "@"."@f"("@" int) RETURNS int LANGUAGE sql AS 'SELECT 1';
     CREATE TYPE "@"."@e" AS ENUM ('@'); CREATE SEQUENCE "@"."@s"; CREATE TABLE "@"."@u" ("@" "@"."@e" DEFAULT '@');
     INSERT INTO "@"."@u" DEFAULT VALUES; CREATE MATERIALIZED VIEW "@"."@m" AS SELECT "@" FROM "@"."@u";
     CREATE TRIGGER "@" BEFORE UPDATE ON "@"."@u" FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
     ALTER TABLE "@"."@" OWNER TO "rôle"; ALTER FUNCTION "@"."@f"(int) OWNER TO "rôle"; GRANT SELECT ON "@"."@1" TO "rôle";
     COMMENT ON TABLE "@"."@1" IS '@'; CREATE STATISTICS "@"."@st" ON "@", "@t" FROM "@"."@1"`
      .replaceAll('@', name.toString('latin1'))
      .replaceAll('rôle', ROLE.toString('latin1')),
    'latin1',
  );

it('R5: names are bytes in the encoding of the database: counted, verified and restored with all their rows', async () => {
  const server = await startScratchCluster();
  await runQuery(server, 'postgres', 'CREATE ROLE "rôle" LOGIN');
  const cases: readonly (readonly [database: string, encoding: string, name: Buffer])[] = [
    ['bâtiment', 'LATIN1', Buffer.from('café', 'latin1')],
    // Of no character in UTF-8: nothing may be converted.
    ['private', 'EUC_JP', Buffer.from([0xf5, 0xa1, 0xf5, 0xa2])],
    ['bytes', 'SQL_ASCII', Buffer.from('café', 'latin1')],
    ['ascii', 'SQL_ASCII', Buffer.from('café', 'utf8')],
  ];
  for (const [database, encoding, name] of cases) {
    await runQuery(
      server,
      'postgres',
      `CREATE DATABASE "${database}" ENCODING '${encoding}' LOCALE 'C' TEMPLATE template0`,
    );
    inEncoding(server, database, encoding, named(name));
    const made = await backUpVerifyAndRestore(server, database, ['unprivileged']).catch((error: unknown) => {
      throw new Error(`${database}: ${String(error)}`, { cause: error });
    });
    expect(made).toMatchObject({ countedIn: 'snapshot', contents: [{ rows: 2 }, { rows: 1 }] });
  }
});

it('R5: a role whose name is no text in UTF-8 keeps no database from its backup, and comes with it where a database takes the name', async () => {
  const server = await startScratchCluster();
  await runQuery(server, 'postgres', "CREATE DATABASE old ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
  await runQuery(server, 'postgres', 'CREATE DATABASE new');
  const role = Buffer.from('café', 'latin1').toString('latin1');
  inEncoding(
    server,
    'old',
    'LATIN1',
    Buffer.from(
      `CREATE ROLE "${role}"; ALTER ROLE "${role}" SET work_mem = '5MB'; CREATE TABLE t AS SELECT 1; ALTER TABLE t OWNER TO "${role}"`,
      'latin1',
    ),
  );
  await runQuery(server, 'postgres', 'CREATE ROLE "été" LOGIN');
  const ground = await makeGround(server, 'logical', { restoreJobs: 1 }, { databases: ['new'] });
  const globalsOf = async (
    label: string,
  ): Promise<{ notes: readonly string[]; told: readonly string[]; file: Buffer }> => {
    const context = await ground.context(label);
    const notes = await logicalEngine.preflightBackup(context);
    const startedAt = `2026-11-${label}T02:15:00Z`;
    const made = onlyBackup(await logicalEngine.backup(context, { type: 'full', startedAt }));
    expect(await logicalEngine.verify(await ground.context(`verify ${label}`), asBackup(made))).toMatchObject({
      ok: true,
    });
    const folder = join(ground.repositoryPath, 'mairie', 'nightly');
    const file = await readFile(join(folder, `${made.label}.globals.sql`));
    await runQuery(server, 'postgres', 'DROP ROLE "été"');
    const order = { ...(await bound(logicalEngine, context, made)), connection: context.cluster.connection };
    const told = (await logicalEngine.logical?.restoreGlobals(await ground.context(`roles ${label}`), order)) ?? [];
    return { notes, told, file };
  };

  await backUpVerifyAndRestore(server, 'old', ['unprivileged']);
  const through = await globalsOf('21');
  expect(through.notes.join()).toMatch(/\(caf\\xe9\): they are dumped through database old/);
  expect(through.file.includes(Buffer.from(`ALTER ROLE "${role}" SET work_mem`, 'latin1'))).toBe(true);
  expect(through.told).toEqual(['role été created']);

  for (const database of ['old', 'old unprivileged'])
    await runQuery(server, 'postgres', `DROP DATABASE "${database}" WITH (FORCE)`);
  const nowhere = await globalsOf('22');
  expect(nowhere.notes.join()).toMatch(/\(caf\\xe9\): pg_dumpall cannot dump roles and tablespaces; .*ALTER ROLE/);
  expect(nowhere.told).toEqual([expect.stringContaining('no role and no tablespace is in the backup')]);
});

it('R5: a count that fails leaves the snapshot to the dump', async () => {
  const server = await startScratchCluster();
  await runQuery(server, 'postgres', 'CREATE TABLE locked (i int); INSERT INTO locked VALUES (1), (2)');
  const { cluster } = await makeGround(server, 'logical', { restoreJobs: 1 });
  const holder = new pg.Client({ host: server.host, port: server.port, user: server.user, database: 'postgres' });
  await holder.connect();
  await holder.query('BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE');
  const counting = await withInventory(
    { connection: cluster.connection, database: 'postgres', hashes: false, signal: new AbortController().signal },
    async (snapshot) => {
      await until(async () => {
        const { rows } = await runQuery(
          server,
          'postgres',
          "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'COPY %'",
        );
        return rows.length > 0;
      }, 'the count waits and is cancelled');
      await holder.query('ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ');
      await until(async () => {
        const { rows } = await runQuery(
          server,
          'postgres',
          "SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'COPY %'",
        );
        return rows.length === 0;
      }, 'the count has ended');
      await holder.query(`SET TRANSACTION SNAPSHOT '${snapshot}'`);
      return (await holder.query('SELECT count(*)::int AS rows FROM locked')).rows as unknown;
    },
  );
  await holder.end();
  expect(counting).toEqual({ result: [{ rows: 2 }], inventory: null });
});
