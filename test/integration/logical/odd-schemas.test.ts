import { expect, it } from '@jest/globals';
import { logicalEngine } from '../../../src/engines/logical/logical-engine.js';
import { makeGround } from '../../contract/engine-fixture.js';
import { asBackup, onlyBackup } from '../../contract/engine-suite.js';
import { bound } from '../../helpers/bound.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster } from '../../helpers/postgres.js';

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

async function backUpVerifyAndRestore(server: ScratchCluster, database: string): Promise<void> {
  const ground = await makeGround(server, 'logical', { restoreJobs: 1 }, { databases: [database] });
  const context = await ground.context(database);
  const made = onlyBackup(await logicalEngine.backup(context, { type: 'full', startedAt: '2026-11-21T02:15:00Z' }));
  expect(await logicalEngine.verify(await ground.context('verify'), asBackup(made))).toMatchObject({ ok: true });
  for (const restoreAs of ['unprivileged', 'superuser'] as const)
    await logicalEngine.logical?.restoreDatabase(await ground.context(restoreAs), {
      ...(await bound(logicalEngine, context, made)),
      ...{ intoDatabase: `again ${restoreAs}`, connection: context.cluster.connection, restoreAs },
    });
}

it.each([15, 18])(
  'R4: a good dump with partitions by hash of an enum, an invalid index, no schema public and objects on tables of extensions is verified and restored (PostgreSQL %s)',
  async (version) => {
    const server = await startScratchCluster({ version });
    await runQuery(server, 'postgres', 'CREATE DATABASE odd');
    const statements = version < 18 ? [...ODD, ...ON_EXTENSION] : ODD;
    for (const sql of [...statements, 'DROP SCHEMA public CASCADE']) await runQuery(server, 'odd', sql);
    await expect(runQuery(server, 'odd', 'CREATE UNIQUE INDEX CONCURRENTLY ON app.twice (i)')).rejects.toThrow();
    await backUpVerifyAndRestore(server, 'odd');
    const rows = await runQuery(server, 'again unprivileged', 'SELECT count(*)::int AS rows FROM app.hashed');
    expect(rows.rows).toEqual([{ rows: 30 }]);
  },
);
