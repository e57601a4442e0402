import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { runSqlCheck } from '../../../src/checks/sql/sql-check.js';
import type { ConnectionConfig } from '../../../src/domain/config.js';
import { collationReport, repairAllCollations, repairCollations } from '../../../src/postgres/content/collation.js';
import { withClient } from '../../../src/postgres/connection/with-client.js';
import { countApart, countDatabases, countTables } from '../../../src/postgres/content/inventory.js';
import { databaseProperties, applyProperties } from '../../../src/postgres/content/database-properties.js';
import { largeObjectsHash, tableContentHash } from '../../../src/postgres/content/content-hash.js';
import { dropOldData, markOfOldData } from '../../../src/postgres/old-data/drop-old-data.js';
import { dropReplication, replicationInWords, replicationOf } from '../../../src/postgres/old-data/kept-replication.js';
import { swapDatabases } from '../../../src/postgres/old-data/swap-databases.js';
import { topologyRefusal } from '../../../src/domain/plan/topology.js';
import { readDatabaseTopology, readTopology } from '../../../src/postgres/server/topology.js';
import { startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster } from '../../helpers/scratch-cluster.js';
import { until } from '../../helpers/until.js';

/** A cluster of this file's own: databases are renamed, roles and settings made. */
let cluster: ScratchCluster;
let connection: ConnectionConfig;

beforeAll(async () => {
  cluster = await startScratchCluster({
    settings: {
      max_prepared_transactions: 5,
      max_locks_per_transaction: 10,
      max_connections: 20,
      wal_level: 'logical',
    },
  });
  connection = { host: cluster.host, port: cluster.port, user: 'postgres', maintenanceDatabase: 'postgres' };
});

const inDatabase = <T>(database: string, fn: (client: pg.Client) => Promise<T>): Promise<T> =>
  withClient(connection, database, fn);
const run = (sql: string, database = 'postgres'): Promise<unknown> =>
  inDatabase(database, (client) => client.query(sql));
const names = async (): Promise<string[]> =>
  inDatabase('postgres', async (client) =>
    (
      await client.query<{ name: string }>(
        "SELECT datname::text AS name FROM pg_database WHERE datname NOT LIKE 'template%' AND datname <> 'postgres' ORDER BY 1",
      )
    ).rows.map(({ name }) => name),
  );
const content = (database: string): Promise<string> =>
  inDatabase(
    database,
    async (client) => (await client.query<{ what: string }>('SELECT what FROM public.mark')).rows[0]?.what ?? '',
  );

/** Makes both databases of a swap, with hostile names (F35). */
async function pair(suffix: string): Promise<{ live: string; fresh: string; oldData: string }> {
  const swap = { live: `mai"rie ${suffix}`, fresh: `-new;${suffix}`, oldData: `mai"rie_aside_${suffix}` };
  for (const name of [swap.live, swap.fresh]) {
    await run(`CREATE DATABASE ${pg.escapeIdentifier(name)}`);
    await run(`CREATE TABLE public.mark AS SELECT ${pg.escapeLiteral(name)}::text AS what`, name);
  }
  return swap;
}

/** The old database is live again, the restored one has its first name. */
const swapBack = ({ live, fresh, oldData }: { live: string; fresh: string; oldData: string }): Promise<void> =>
  swapDatabases(connection, { live, fresh: oldData, oldData: fresh });

describe('swap by rename', () => {
  it('K1, F35: the restored database takes the place of the live one, whose sessions are ended; again it is done; undone it is back', async () => {
    const swap = await pair('one');
    const application = new pg.Client({ ...connection, database: swap.live });
    let ended = false;
    application.on('error', () => (ended = true));
    await application.connect();
    await swapDatabases(connection, swap);
    expect(await content(swap.live)).toBe(swap.fresh);
    expect(ended).toBe(true);
    await expect(inDatabase(swap.oldData, async () => 'in')).rejects.toMatchObject({
      message: expect.stringContaining('not currently accepting connections'),
    });
    await swapDatabases(connection, swap);
    expect(await content(swap.live)).toBe(swap.fresh);
    await swapBack(swap);
    await swapBack(swap);
    expect(await content(swap.live)).toBe(swap.live);
    await run(`DROP DATABASE ${pg.escapeIdentifier(swap.live)}`);
    await run(`DROP DATABASE ${pg.escapeIdentifier(swap.fresh)}`);
  });

  it('F1: killed after any of its statements, the next call finishes, and no instant has a half of it', async () => {
    const swap = await pair('cut');
    const whole = await statementsOf(() => swapDatabases(connection, swap));
    expect(whole).toBeGreaterThan(8);
    await swapBack(swap);
    for (let after = 1; after <= whole; after++) {
      await cutOff(after, () => swapDatabases(connection, swap));
      expect([[swap.fresh, swap.live].sort(), [swap.live, swap.oldData].sort()]).toContainEqual(await names());
      await swapDatabases(connection, swap);
      expect(await content(swap.live)).toBe(swap.fresh);
      await cutOff(after, () => swapBack(swap));
      await swapBack(swap);
      expect(await content(swap.live)).toBe(swap.live);
    }
    for (const name of await names()) await run(`DROP DATABASE ${pg.escapeIdentifier(name)}`);
  });

  it('a live database that is gone is no error; a missing restored one is', async () => {
    const swap = await pair('gone');
    await run(`DROP DATABASE ${pg.escapeIdentifier(swap.live)}`);
    await swapDatabases(connection, swap);
    expect(await content(swap.live)).toBe(swap.fresh);
    await expect(swapDatabases(connection, swap)).rejects.toMatchObject({ code: 'not-found' });
    await run(`DROP DATABASE ${pg.escapeIdentifier(swap.live)}`);
  });

  it('a prepared transaction is named, and the live database stays open', async () => {
    const swap = await pair('prepared');
    await run("BEGIN; CREATE TABLE public.t (i int); PREPARE TRANSACTION 'one'", swap.live);
    await expect(swapDatabases(connection, swap)).rejects.toMatchObject({
      code: 'lock-held',
      hint: expect.stringContaining('ROLLBACK PREPARED'),
    });
    await run("ROLLBACK PREPARED 'one'", swap.live);
    await swapDatabases(connection, swap);
    const mark = await markOfOldData(swap.oldData, connection);
    const another = { where: swap.oldData, mark: await markOfOldData(swap.live, connection) };
    await expect(dropOldData(another, connection)).rejects.toMatchObject({ code: 'path-refused' });
    expect(await names()).toContain(swap.oldData);
    await dropOldData({ where: swap.oldData, mark }, connection);
    await dropOldData({ where: swap.oldData, mark }, connection);
    expect(await names()).toEqual([swap.live]);
    await expect(dropOldData({ where: swap.live, mark }, connection)).rejects.toMatchObject({ code: 'path-refused' });
    await run(`DROP DATABASE ${pg.escapeIdentifier(swap.live)}`);
  });
});

/** Runs the work and calls back after each of its statements was answered. */
async function watched(work: () => Promise<void>, afterEach: (client: pg.Client) => void): Promise<void> {
  const original = pg.Client.prototype.query as (...args: unknown[]) => Promise<unknown>;
  pg.Client.prototype.query = async function (this: pg.Client, ...args: unknown[]) {
    const answer = await original.apply(this, args);
    afterEach(this);
    return answer;
  } as typeof pg.Client.prototype.query;
  try {
    await work();
  } finally {
    pg.Client.prototype.query = original as typeof pg.Client.prototype.query;
  }
}

async function statementsOf(work: () => Promise<void>): Promise<number> {
  let count = 0;
  await watched(work, () => count++);
  return count;
}

/** Ends the session after its nth statement, as a kill of the worker would; its answer is lost. */
async function cutOff(after: number, work: () => Promise<void>): Promise<void> {
  let count = 0;
  const cut = watched(work, (client) => {
    if (++count < after) return;
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
    throw new Error('killed by the test');
  });
  await cut.catch((error: unknown) => expect(String(error)).toMatch(/killed by the test|Connection terminated/));
}

describe('invalid databases and prepared transactions', () => {
  const invalidate = (name: string): Promise<unknown> =>
    run(`UPDATE pg_database SET datconnlimit = -2 WHERE datname = ${pg.escapeLiteral(name)}`);

  it('W9, F51: what a cut DROP DATABASE has left is skipped and told where all databases are walked', async () => {
    await run('CREATE DATABASE "cut ""off"');
    await run('CREATE DATABASE sound');
    await run('CREATE TABLE public.one (i int)', 'sound');
    await invalidate('cut "off');
    const left = 'database "cut \\"off" is invalid';
    const { repaired, skipped } = await repairAllCollations(connection);
    expect(repaired).toEqual([]);
    expect(skipped).toEqual([expect.stringContaining(left)]);
    expect(skipped[0]).toContain('DROP DATABASE "cut ""off"');
    const check = { query: 'SELECT 1', min: 1, timeoutSeconds: 240, database: 'cut "off' };
    const asked = { connection, recorded: [], recordedIsExact: false, signal: new AbortController().signal };
    expect(await runSqlCheck(asked, check)).toEqual({
      status: 'failed',
      detail: expect.stringContaining(left) as unknown,
    });
    const counts = await countDatabases(connection, ['cut "off', 'sound'], new AbortController().signal);
    expect(counts).toEqual([{ database: 'sound', schema: 'public', table: 'one', rows: 0, bytes: 0 }]);
    await run('DROP DATABASE "cut ""off"');
    await run('DROP DATABASE sound');
  });

  it('W9: it is swapped out for a restored one like any other, and can be dropped then', async () => {
    const swap = await pair('invalid');
    await invalidate(swap.live);
    await swapDatabases(connection, swap);
    await swapDatabases(connection, swap);
    expect(await content(swap.live)).toBe(swap.fresh);
    const mark = await markOfOldData(swap.oldData, connection);
    await dropOldData({ where: swap.oldData, mark }, connection);
    expect(await names()).not.toContain(swap.oldData);
    await run(`DROP DATABASE ${pg.escapeIdentifier(swap.live)}`);
  });

  it('W9, F51: an index that a prepared transaction keeps from being built anew holds up nothing: it is told', async () => {
    await run('CREATE DATABASE held');
    await run(
      `CREATE COLLATION public.fr (provider = icu, locale = 'fr-FR'); CREATE TABLE public.names (name text COLLATE public.fr PRIMARY KEY);
       UPDATE pg_catalog.pg_collation SET collversion = '1.0' WHERE collname = 'fr'`,
      'held',
    );
    await run("BEGIN; INSERT INTO public.names VALUES ('x'); PREPARE TRANSACTION 'forgotten'", 'held');
    const { repaired, skipped } = await repairAllCollations(connection);
    expect(repaired).toEqual([]);
    expect(skipped).toEqual([expect.stringMatching(/"held": prepared transactions \(forgotten\).*REFRESH COLLATION/)]);
    await run("ROLLBACK PREPARED 'forgotten'", 'held');
    expect(await repairAllCollations(connection)).toEqual({
      repaired: ['held: public.names_pkey'],
      skipped: [],
    });
    await run('DROP DATABASE held');
  });

  it('W10: unlogged tables are marked; temporary, foreign and locked ones are counted apart and hold up nothing', async () => {
    await run('CREATE DATABASE kinds');
    await run(
      `CREATE UNLOGGED TABLE public.cache AS SELECT generate_series(1, 5) i; CREATE TABLE public.plain (i int);
       CREATE TABLE public.held (i int); CREATE FOREIGN DATA WRAPPER wrapper; CREATE SERVER away FOREIGN DATA WRAPPER wrapper;
       CREATE FOREIGN TABLE public.far (i int) SERVER away`,
      'kinds',
    );
    await run("BEGIN; LOCK TABLE public.held IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'holder'", 'kinds');
    await inDatabase('kinds', async (client) => {
      await client.query('CREATE TEMP TABLE own (i int)');
      expect(await countTables(client, 'kinds')).toEqual([
        { database: 'kinds', schema: 'public', table: 'cache', rows: 5, unlogged: true },
        { database: 'kinds', schema: 'public', table: 'plain', rows: 0 },
      ]);
      expect(await countApart(client)).toMatchObject({
        ...{ unlogged: 1, temporary: 1, foreign: 1 },
        locked: [{ schema: 'public', table: 'held' }],
      });
    });
    await run("ROLLBACK PREPARED 'holder'", 'kinds');
    // In recovery it is the startup process that holds the locks of transactions whose end it has not seen.
    const locking = new pg.Client({ host: cluster.host, port: cluster.port, user: 'postgres', database: 'kinds' });
    locking.on('error', () => undefined);
    await locking.connect();
    await locking.query('BEGIN; LOCK TABLE public.held IN ACCESS EXCLUSIVE MODE');
    await run('CHECKPOINT');
    const signal = join(cluster.dataDir, 'standby.signal');
    await cluster.stop('immediate');
    await writeFile(signal, '');
    await cluster.start();
    try {
      await inDatabase('kinds', async (client) => {
        expect(await countTables(client, 'kinds')).toEqual([
          { database: 'kinds', schema: 'public', table: 'cache', rows: 0, unlogged: true },
          { database: 'kinds', schema: 'public', table: 'plain', rows: 0 },
        ]);
        expect(await countApart(client)).toMatchObject({ locked: [{ schema: 'public', table: 'held' }] });
      });
    } finally {
      await cluster.stop();
      await rm(signal);
      await cluster.start();
    }
    await run('DROP DATABASE kinds');
  });
});

describe('database properties', () => {
  it('what pg_restore leaves out is read and given to another database: settings, lists, rights, owner, limit', async () => {
    await run('CREATE ROLE "the owner"; CREATE ROLE reader');
    await run(
      `CREATE DATABASE "so urce" OWNER "the owner" CONNECTION LIMIT 7; CREATE DATABASE target`.split(';')[0] ?? '',
    );
    await run('CREATE DATABASE target');
    await run(`ALTER DATABASE "so urce" SET search_path TO metier, "Odd, ""name""", public;
      ALTER DATABASE "so urce" SET "app.label" TO 'it''s \\a, b';
      ALTER DATABASE "so urce" SET "TimeZone" TO 'Europe/Paris';
      ALTER DATABASE "so urce" SET temp_tablespaces TO '';
      ALTER ROLE reader IN DATABASE "so urce" SET work_mem TO '64MB';
      REVOKE ALL ON DATABASE "so urce" FROM PUBLIC;
      GRANT CONNECT ON DATABASE "so urce" TO reader WITH GRANT OPTION`);
    const source = await inDatabase('postgres', (client) => databaseProperties(client, 'so urce'));
    expect(source).toMatchObject({
      owner: 'the owner',
      encoding: 'UTF8',
      connectionLimit: 7,
      localeProvider: 'libc',
      tablespace: 'pg_default',
    });
    expect(source.grants).toContainEqual({ grantee: 'reader', privilege: 'CONNECT', grantable: true });
    expect(await inDatabase('postgres', (client) => applyProperties(client, 'target', source))).toEqual([]);
    expect(await inDatabase('postgres', (client) => applyProperties(client, 'target', source))).toEqual([]);
    const target = await inDatabase('postgres', (client) => databaseProperties(client, 'target'));
    const sorted = (properties: typeof source): unknown => ({
      ...properties,
      settings: [...properties.settings].map((s) => JSON.stringify(s)).sort(),
      grants: [...(properties.grants ?? [])].map((g) => JSON.stringify(g)).sort(),
    });
    expect(sorted(target)).toEqual(sorted(source));
    const missing = {
      ...source,
      owner: 'gone',
      grants: [{ grantee: 'gone too', privilege: 'CONNECT', grantable: false }],
    } as const;
    expect(await inDatabase('postgres', (client) => applyProperties(client, 'target', missing))).toEqual([
      'owner gone was left out: the role is not on this server',
      'CONNECT for role gone too was left out: the role is not on this server',
    ]);
    await run('DROP DATABASE target');
    await run('DROP DATABASE "so urce"');
  });
});

describe('inventory', () => {
  it('counts every table exactly in one snapshot: leaves of partitions, odd names, no views or temporary tables (F19, F40)', async () => {
    await run('CREATE DATABASE counts');
    await inDatabase('counts', async (client) => {
      await client.query(`CREATE SCHEMA "a.b"; CREATE TABLE "a.b"."it's" AS SELECT generate_series(1, 3) i; CREATE VIEW "a.b".v AS SELECT 1;
        CREATE TABLE public.part (i int) PARTITION BY RANGE (i); CREATE TABLE public.p1 PARTITION OF public.part FOR VALUES FROM (0) TO (10);
        CREATE TABLE public.p2 PARTITION OF public.part DEFAULT; INSERT INTO public.part SELECT generate_series(1, 12);
        CREATE TABLE public.parent (i int); CREATE TABLE public.child () INHERITS (public.parent); INSERT INTO public.child VALUES (1);
        CREATE TEMP TABLE own (i int); CREATE EXTENSION IF NOT EXISTS plpgsql`);
      // More than the lock table of this cluster takes at once (10 x 20 locks, and some reserve).
      await client.query(
        `DO $$ BEGIN FOR n IN 1..1500 LOOP EXECUTE format('CREATE TABLE public.many_%s (i int)', n); IF n % 100 = 0 THEN COMMIT; END IF; END LOOP; END $$`,
      );
      const counts = await countTables(client, 'counts');
      expect(counts.filter(({ table }) => !table.startsWith('many_'))).toEqual([
        { database: 'counts', schema: 'a.b', table: "it's", rows: 3 },
        { database: 'counts', schema: 'public', table: 'child', rows: 1 },
        { database: 'counts', schema: 'public', table: 'p1', rows: 9 },
        { database: 'counts', schema: 'public', table: 'p2', rows: 3 },
        { database: 'counts', schema: 'public', table: 'parent', rows: 0 },
      ]);
      expect(counts).toHaveLength(1505);
      expect(client.getTransactionStatus()).toBe('I');
      // In a snapshot of the caller's, what came later does not count, and a table dropped since is left out.
      await client.query('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ');
      await client.query('SELECT 1 FROM pg_class LIMIT 1');
      await run(`INSERT INTO "a.b"."it's" VALUES (4); DROP TABLE public.many_7`, 'counts');
      const later = await countTables(client, 'counts');
      expect(later.find(({ table }) => table === "it's")?.rows).toBe(3);
      expect(later).toHaveLength(1504);
      expect(client.getTransactionStatus()).toBe('T');
      await client.query('ROLLBACK');
    });
  });

  it('F19: row security that would hide rows is an error, not a short count', async () => {
    await run(`CREATE ROLE limited LOGIN; CREATE TABLE public.secret (i int); INSERT INTO public.secret VALUES (1), (2);
      ALTER TABLE public.secret ENABLE ROW LEVEL SECURITY; GRANT SELECT ON public.secret TO limited`);
    await expect(
      withClient({ ...connection, user: 'limited' }, 'postgres', (client) => countTables(client, 'postgres')),
    ).rejects.toMatchObject({ code: 'privilege-missing' });
    await run('DROP TABLE public.secret');
  });

  it('the content hash sees every change of a value and no change of order, place or session settings', async () => {
    await run('CREATE DATABASE hashes');
    await inDatabase('hashes', async (client) => {
      await client.query(`CREATE TABLE public.a (a int, t timestamptz, f float8, b bytea, s text);
        INSERT INTO public.a SELECT i, '2026-11-21 02:15:00Z'::timestamptz + i * interval '1 s', i / 3.0, decode('00ff', 'hex'), CASE WHEN i % 5 > 0 THEN 'x' || i END FROM generate_series(1, 100) i;
        CREATE TABLE public.b (LIKE public.a); INSERT INTO public.b SELECT * FROM public.a ORDER BY a DESC;
        CREATE TABLE public.c (a int, t timestamptz, f float8, b bytea, s text) PARTITION BY HASH (a);
        CREATE TABLE public.c1 PARTITION OF public.c FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE public.c2 PARTITION OF public.c FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        INSERT INTO public.c SELECT * FROM public.a; CREATE TABLE public.empty (i int)`);
      const first = await tableContentHash(client, 'public', 'a');
      expect(first.rows).toBe(100);
      expect(await tableContentHash(client, 'public', 'b')).toEqual(first);
      expect(await tableContentHash(client, 'public', 'c')).toEqual(first);
      await client.query(
        `SET "TimeZone" TO 'Asia/Tokyo'; SET "DateStyle" TO german; SET extra_float_digits TO -10; SET bytea_output TO escape`,
      );
      expect(await tableContentHash(client, 'public', 'a')).toEqual(first);
      expect(await tableContentHash(client, 'public', 'empty')).toEqual({ rows: 0, hash: '0' });
      await client.query(`UPDATE public.b SET s = '' WHERE a = 5`);
      const changed = await tableContentHash(client, 'public', 'b');
      expect(changed.rows).toBe(100);
      expect(changed.hash).not.toBe(first.hash);
      await client.query('DELETE FROM public.c WHERE a = 1; INSERT INTO public.c SELECT * FROM public.a WHERE a = 2');
      expect((await tableContentHash(client, 'public', 'c')).hash).not.toBe(first.hash);
    });
  });

  it('large objects are hashed by oid and content, whatever their pages', async () => {
    await inDatabase('hashes', async (client) => {
      expect(await largeObjectsHash(client)).toEqual({ rows: 0, hash: '0' });
      await client.query(
        `SELECT lo_from_bytea(1000 + i, repeat('é', i)::bytea) FROM generate_series(1, 600) i; SELECT lo_create(5000)`,
      );
      const first = await largeObjectsHash(client);
      expect(first.rows).toBe(601);
      expect(await largeObjectsHash(client)).toEqual(first);
      await client.query(`SELECT lo_put(1600, 100, 'x')`);
      expect((await largeObjectsHash(client)).hash).not.toBe(first.hash);
    });
  });
});

describe('collation versions', () => {
  it('a difference is found, its indexes are built anew, then the version is recorded', async () => {
    await run('CREATE DATABASE collations');
    await inDatabase('collations', async (client) => {
      expect(await collationReport(client)).toEqual({ mismatches: [], indexes: [] });
      await client.query(
        `CREATE TABLE public.t (id int PRIMARY KEY, s text, c text COLLATE "C"); CREATE INDEX "by s" ON public.t (s); CREATE INDEX ON public.t (c)`,
      );
      // What a directory restored onto a host with another ICU looks like.
      await client.query(`CREATE COLLATION public.fr (provider = icu, locale = 'fr-FR'); CREATE TABLE public.u (s text COLLATE public.fr UNIQUE);
        UPDATE pg_catalog.pg_collation SET collversion = '1.0' WHERE collname = 'fr'`);
      const report = await collationReport(client);
      expect(report.mismatches).toEqual([expect.objectContaining({ collation: 'public.fr', recorded: '1.0' })]);
      expect(report.indexes).toEqual(['public.u_s_key']);
      const before = await client.query<{ f: string }>("SELECT pg_relation_filenode('public.u_s_key')::text AS f");
      await repairCollations(client, 'collations', report);
      const after = await client.query<{ f: string }>("SELECT pg_relation_filenode('public.u_s_key')::text AS f");
      expect(after.rows[0]?.f).not.toBe(before.rows[0]?.f);
      expect(await collationReport(client)).toEqual({ mismatches: [], indexes: [] });
    });
  });
});

describe('topology', () => {
  it('slots and subscriptions are found and named as what must be rebuilt', async () => {
    const topology = () => inDatabase('postgres', (client) => readTopology(client, ['reprise_mairie_base']));
    expect(topologyRefusal(await topology())).toBeNull();
    // That of our own receiver is made again by it.
    await run(`SELECT pg_create_physical_replication_slot('reprise_mairie_base')`);
    expect(topologyRefusal(await topology())).toBeNull();
    await run(
      `SELECT pg_create_physical_replication_slot('standby_1'); SELECT pg_create_logical_replication_slot('cdc', 'pgoutput')`,
    );
    await run(`CREATE SUBSCRIPTION feed CONNECTION 'host=nowhere.invalid' PUBLICATION p WITH (connect = false)`);
    const refusal = topologyRefusal(await topology());
    expect(refusal).toMatchObject({ code: 'topology-refused' });
    expect(refusal?.details['rebuild']).toEqual([
      'the standby or receiver behind slot standby_1',
      'the subscriber behind logical slot cdc',
      'subscription feed',
    ]);
  });
});

it('R2: a database with a logical slot or a subscription is not replaced by a dump of it; others of the server are', async () => {
  for (const name of ['published', 'subscribed', 'free']) await run(`CREATE DATABASE ${name}`);
  await run("SELECT pg_create_logical_replication_slot('to_debezium', 'pgoutput')", 'published');
  await run(
    `CREATE SUBSCRIPTION from_erp CONNECTION 'dbname=nowhere' PUBLICATION erp WITH (connect = false, slot_name = NONE)`,
    'subscribed',
  );
  const refusal = async (databases: readonly string[]) => {
    const topology = await readDatabaseTopology(connection, databases);
    return topology && topologyRefusal(topology);
  };
  expect(await refusal(['free'])).toBeNull();
  expect(await refusal(['published', 'free'])).toMatchObject({
    ...{ code: 'topology-refused', details: { rebuild: ['the subscriber behind logical slot to_debezium'] } },
    hint: expect.stringMatching(/rebuild.*\n {2}SELECT pg_drop_replication_slot\('to_debezium'\);/s),
  });
  expect(await refusal(['free', 'subscribed'])).toMatchObject({
    details: { rebuild: ['subscription from_erp of database subscribed'] },
  });
  // What it tells to type is what it takes; a swap that was planned before is refused, too.
  await run('CREATE DATABASE fresh');
  const swap = { live: 'subscribed', fresh: 'fresh', oldData: 'subscribed_aside_op' };
  await expect(swapDatabases(connection, swap)).rejects.toMatchObject({ code: 'topology-refused' });
  expect(await names()).toContain('fresh');
  // By a plan that leaves it behind it is, and only that.
  const other = { logicalSlots: [], subscriptions: ['another of database subscribed'] };
  await expect(swapDatabases(connection, { ...swap, detaches: other })).rejects.toMatchObject({
    details: { rebuild: ['subscription from_erp of database subscribed'] },
  });
  await run('ALTER SUBSCRIPTION from_erp SET (slot_name = erp)', 'subscribed');
  await run('ALTER SUBSCRIPTION from_erp ENABLE', 'subscribed');
  const detaches = { logicalSlots: [], subscriptions: ['from_erp of database subscribed (slot erp at its publisher)'] };
  await swapDatabases(connection, { ...swap, detaches });
  expect(await replicationOf(connection, 'subscribed_aside_op')).toMatchObject({ subscriptions: [{ slot: 'erp' }] });
  const enabled = await inDatabase('free', (client) =>
    client.query("SELECT subenabled AS on FROM pg_subscription WHERE subname = 'from_erp'"),
  );
  expect(enabled.rows).toEqual([{ on: false }]);
  await swapDatabases(connection, { live: 'subscribed', fresh: 'subscribed_aside_op', oldData: 'fresh' });
  const statements = /in database subscribed: (ALTER SUBSCRIPTION .*?DROP SUBSCRIPTION \w+;)/.exec(
    (await refusal(['subscribed']))?.hint ?? '',
  );
  for (const statement of (statements?.[1] ?? '').split(';')) await run(statement, 'subscribed');
  await run("SELECT pg_drop_replication_slot('to_debezium')", 'published');
  expect(await refusal(['free', 'published', 'subscribed'])).toBeNull();
  await run('DROP DATABASE fresh');
  for (const name of ['published', 'subscribed', 'free']) await run(`DROP DATABASE ${name}`);
});

it('R2: a kept database with a subscription and a slot is dropped with them; the publisher keeps its slot, and nothing is taken from it', async () => {
  const kept = 'town_aside_op';
  const rows = async <T>(sql: string, database = 'postgres'): Promise<readonly T[]> =>
    inDatabase(database, async (client) => (await client.query(sql)).rows as T[]);
  for (const name of ['erp', kept]) {
    await run(`CREATE DATABASE ${name}`);
    await run('CREATE TABLE public.orders (id int PRIMARY KEY)', name);
  }
  await run('CREATE PUBLICATION erp FOR TABLE public.orders', 'erp');
  // Made beforehand: within one server the subscription would wait for its own transaction.
  await run("SELECT pg_create_logical_replication_slot('erp_orders', 'pgoutput')", 'erp');
  await run(
    `CREATE SUBSCRIPTION "from erp" CONNECTION 'host=${cluster.host} port=${cluster.port} user=postgres dbname=erp' PUBLICATION erp
       WITH (create_slot = false, slot_name = erp_orders)`,
    kept,
  );
  await run('INSERT INTO public.orders VALUES (1)', 'erp');
  await until(async () => (await rows('SELECT id FROM public.orders', kept)).length === 1, 'the subscription works');
  await run("SELECT pg_create_logical_replication_slot('to_debezium', 'pgoutput')", kept);
  // As a swap leaves it.
  await run(`ALTER DATABASE ${kept} ALLOW_CONNECTIONS false`);
  await run(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${kept}'`);
  const slot =
    "SELECT confirmed_flush_lsn::text AS at, active FROM pg_replication_slots WHERE slot_name = 'erp_orders'";
  await until(async () => (await rows<{ active: boolean }>(slot))[0]?.active === false, 'its worker has ended');
  await run('INSERT INTO public.orders VALUES (2)', 'erp');
  const before = await rows(slot);

  const mark = await markOfOldData(kept, connection);
  await expect(dropOldData({ where: kept, mark }, connection)).rejects.toThrow(/logical replication/);
  const found = await replicationOf(connection, kept);
  expect(found).toEqual({ subscriptions: [{ name: 'from erp', slot: 'erp_orders' }], slots: ['to_debezium'] });
  expect(found && replicationInWords(found)).toEqual([
    expect.stringMatching(/^subscription from erp; its slot erp_orders stays at the publisher and holds WAL there/),
    expect.stringMatching(/^logical replication slot to_debezium: its subscriber .* has to be rebuilt$/),
  ]);
  const both = found ?? { subscriptions: [], slots: [] };
  // Who is no superuser is told what one types.
  await run('CREATE ROLE manager LOGIN');
  await expect(dropReplication({ ...connection, user: 'manager' }, kept, both)).rejects.toMatchObject({
    code: 'privilege-missing',
    hint: expect.stringMatching(/ALLOW_CONNECTIONS true; .*ALTER SUBSCRIPTION "from erp" SET \(slot_name = NONE\)/),
  });
  await dropReplication(connection, kept, both);
  await dropReplication(connection, kept, both);
  expect(await replicationOf(connection, kept)).toBeNull();
  await dropOldData({ where: kept, mark }, connection);
  expect(await names()).not.toContain(kept);
  expect(await rows(slot)).toEqual(before);
  await run("SELECT pg_drop_replication_slot('erp_orders')", 'erp');
  for (const what of ['DATABASE erp', 'ROLE manager']) await run(`DROP ${what}`);
});
