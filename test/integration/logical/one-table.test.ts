import { beforeAll, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { TableName } from '../../../src/domain/table/table-name.js';
import { logicalEngine } from '../../../src/engines/logical/logical-engine.js';
import { makeGround } from '../../contract/engine-fixture.js';
import type { Ground } from '../../contract/engine-fixture.js';
import { onlyBackup } from '../../contract/engine-suite.js';
import { bound } from '../../helpers/bound.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster } from '../../helpers/postgres.js';

failOnLeakedProcesses();

const HOSTILE = 'a "b"; DROP TABLE x; -- é';
const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
const visits: TableName = { schema: HOSTILE, table: 'Visits' };

let source: ScratchCluster;
let ground: Ground;
let backup: Backup;

beforeAll(async () => {
  source = await startScratchCluster();
  await runQuery(source, 'postgres', 'CREATE ROLE owner');
  await runQuery(source, 'postgres', 'CREATE DATABASE app OWNER owner');
  await runQuery(
    source,
    'app',
    `CREATE EXTENSION citext;
     CREATE SCHEMA ${quoted(HOSTILE)} AUTHORIZATION owner;
     SET search_path TO ${quoted(HOSTILE)}, public;
     CREATE DOMAIN postcode AS text CHECK (VALUE ~ '^[0-9]{5}$');
     CREATE TYPE mood AS ENUM ('good', 'bad');
     CREATE FUNCTION doubled(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 2';
     CREATE SEQUENCE own;
     CREATE TABLE big (id int PRIMARY KEY, filler text);
     INSERT INTO big SELECT g, repeat('x', 1000) FROM generate_series(1, 20000) g;
     CREATE TABLE "Visits" (
       id int PRIMARY KEY DEFAULT nextval('own'), at postcode, mood mood, name citext, big int REFERENCES big,
       parent int REFERENCES "Visits", twice int GENERATED ALWAYS AS (doubled(id)) STORED);
     COMMENT ON CONSTRAINT "Visits_big_fkey" ON "Visits" IS 'goes with it';
     INSERT INTO "Visits" (at, mood, name, big, parent) SELECT '75001', 'good', 'A', g, g FROM generate_series(1, 10) g;
     CREATE TABLE notes (id int PRIMARY KEY, visit int REFERENCES "Visits" ON DELETE CASCADE);
     INSERT INTO notes SELECT g, g FROM generate_series(1, 5) g;
     CREATE TABLE child (extra int) INHERITS ("Visits");
     INSERT INTO child (id, extra) VALUES (1000, 1);
     CREATE TABLE parted (id int, part int, big int REFERENCES big) PARTITION BY RANGE (part);
     CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (10) PARTITION BY LIST (part);
     CREATE TABLE parted_one PARTITION OF parted_low FOR VALUES IN (1);
     CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (10) TO (20);
     INSERT INTO parted SELECT g, 1 + 9 * (g % 2), g FROM generate_series(1, 6) g;
     CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM big;
     SELECT lo_from_bytea(0, 'large');
     ALTER TABLE "Visits" OWNER TO owner; ALTER TABLE notes OWNER TO owner; GRANT SELECT ON "Visits" TO PUBLIC`,
  );
  ground = await makeGround(source, 'logical', { restoreJobs: 2 }, { databases: ['app'] });
  backup = onlyBackup(
    await logicalEngine.backup(await ground.context('backup'), { type: 'full', startedAt: '2026-11-21T02:15:00Z' }),
  );
});

async function restored(name: string, only: readonly TableName[], as?: 'superuser'): Promise<Record<string, number>> {
  const context = await ground.context(name);
  await logicalEngine.logical?.restoreDatabase(context, {
    ...(await bound(logicalEngine, context, backup)),
    ...{ intoDatabase: name, connection: ground.cluster.connection, restoreAs: as, only },
  });
  const { rows } = await runQuery(
    source,
    name,
    `SELECT c.relname AS name, (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM ONLY %I.%I', n.nspname, c.relname), false, true, '')))[1]::text::int AS rows
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname !~ '^(pg_|information)'`,
  );
  const counts = (rows as { name: string; rows: number }[]).filter((one) => one.rows > 0);
  return Object.fromEntries(counts.map((one) => [one.name, one.rows]));
}

it.each([undefined, 'superuser'] as const)(
  'T1: one table comes out of a dump with all definitions that it needs, and no rows of others (as %s)',
  async (as) => {
    const name = `one_${as ?? 'login'}`;
    expect(await restored(name, [visits], as)).toEqual({ Visits: 10 });
    const { rows } = await runQuery(
      source,
      name,
      `SELECT DISTINCT at, mood::text, name::text, twice = 2 * id AS twice FROM ONLY ${quoted(HOSTILE)}."Visits"`,
    );
    expect(rows).toEqual([{ at: '75001', mood: 'good', name: 'A', twice: true }]);
    // Its own foreign keys refer to rows that are not there; those of others to it are whole.
    const keys = await runQuery(
      source,
      name,
      "SELECT conrelid::regclass::text LIKE '%notes' AS own FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 AND conrelid::regclass::text !~ 'parted'",
    );
    expect(keys.rows).toEqual([{ own: true }]);
    expect((await runQuery(source, name, 'SELECT FROM pg_largeobject_metadata')).rows).toEqual([]);
  },
);

it('T1: a partitioned table comes with all its partitions, a part of it with its own, and an heir without the table above', async () => {
  const of = (table: string): TableName[] => [{ schema: HOSTILE, table }];
  expect(await restored('parted', of('parted'))).toEqual({ parted_one: 3, parted_high: 3 });
  expect(await restored('part', of('parted_low'))).toEqual({ parted_one: 3 });
  expect(await restored('heir', of('child'))).toEqual({ child: 1 });
});

it('T1: less room is planned for one table than for all', async () => {
  const context = await ground.context('room');
  const bytes = async (only?: readonly TableName[]): Promise<number> =>
    (await logicalEngine.logical?.databaseBytes(context, backup, only)) ?? 0;
  const [all, one, big] = [await bytes(), await bytes([visits]), await bytes([{ schema: HOSTILE, table: 'big' }])];
  expect(one).toBeLessThan(all);
  expect(one).toBeLessThan(big);
  expect(big).toBeLessThanOrEqual(all);
});
