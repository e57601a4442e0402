import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import type { WalTransaction } from '../../../src/domain/operation/wal-transactions.js';
import type { TableName } from '../../../src/domain/table/table-name.js';
import { microsecondsOf } from '../../../src/postgres/wal/transactions/instants.js';
import { type Listed, listTransactions } from '../../../src/postgres/wal/transactions/list-transactions.js';
import { readRelationNames, RelationNames } from '../../../src/postgres/wal/transactions/relation-names.js';
import { tableChangesOf } from '../../../src/postgres/wal/transactions/transaction-changes.js';
import { openCourse } from '../../../src/postgres/wal/transactions/wal-course.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery } from '../../helpers/postgres.js';
import { tempDir } from '../../helpers/temp.js';
import { until } from '../../helpers/until.js';
import { type ArchivingCluster, directoryArchive, startArchivingCluster } from '../../helpers/wal-archive.js';

failOnLeakedProcesses();

const HOSTILE = 'a "quoted"\n; DROP TABLE x; -- é';

/** Statements that each commit by themselves, and those of a session. */
async function session(server: ArchivingCluster, database: string, statements: readonly string[]): Promise<void> {
  const { host, port, user } = server.cluster;
  const client = new pg.Client({ host, port, user, database });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

async function now(server: ArchivingCluster): Promise<number> {
  const { rows } = await runQuery(
    server.cluster,
    'postgres',
    `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at`,
  );
  return microsecondsOf((rows[0] as { at: string }).at);
}

const connectionOf = ({ cluster: { host, port, user } }: ArchivingCluster) =>
  ({ host, port, user, maintenanceDatabase: 'postgres' }) as never;

interface Asked {
  readonly from: number;
  readonly to: number;
  readonly database?: string;
  readonly table?: TableName;
  readonly names?: RelationNames;
  readonly minRows?: number;
  readonly limit?: number;
}

async function listed(server: ArchivingCluster, asked: Asked): Promise<Listed> {
  const { from, to, database, table, minRows = 1, limit = 100 } = asked;
  const names = asked.names ?? (await readRelationNames(connectionOf(server)));
  const order = {
    ...{ from, to, minRows, limit, database: database === undefined ? undefined : names.databaseOid(database) },
    tables: table === undefined ? undefined : new Set(names.tablesNamed(database ?? '', table)),
  };
  return listTransactions(server.reader, await server.course(), names, order, false);
}

/** What a transaction did, in short. */
const shortly = ({ tables, actions, atLeast }: WalTransaction): string =>
  [
    ...actions.map(({ action, table, number }) => `${action} ${table ?? (number > 0 ? 'number' : '')}`),
    ...tables.map(({ database, table, inserted, updated, deleted, partitionOf }) =>
      [
        `${database}.${table} +${inserted} ~${updated} -${deleted}`,
        ...(partitionOf ? [`of ${partitionOf.table}`] : []),
      ].join(' '),
    ),
    ...(atLeast ? ['at least'] : []),
  ].join(', ');

describe.each([15, 18])('M3: transactions from WAL of PostgreSQL %d', (version) => {
  let server: ArchivingCluster;
  let from: number;
  let to: number;
  let end: number;
  /** Before anything was dropped. */
  let early: RelationNames;

  beforeAll(async () => {
    server = await startArchivingCluster({ version, settings: { max_prepared_transactions: 2 } });
    await session(server, 'postgres', ['CREATE DATABASE shop', `CREATE DATABASE "${HOSTILE.replaceAll('"', '""')}"`]);
    await session(server, 'shop', [
      'CREATE TABLE orders (id int PRIMARY KEY, note text)',
      "INSERT INTO orders SELECT g, 'x' FROM generate_series(1, 1000) g",
      'CREATE TABLE big (id int, note text); ALTER TABLE big ALTER note SET STORAGE EXTERNAL',
      'CREATE TABLE parted (id int, part int) PARTITION BY LIST (part)',
      'CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1)',
      'CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2)',
      'CREATE TABLE emptied (id serial PRIMARY KEY, note text)',
      'INSERT INTO emptied SELECT FROM generate_series(1, 10)',
      'CREATE TABLE gone (id int PRIMARY KEY, note text)',
      'CREATE UNLOGGED TABLE unlogged (id int)',
      'CREATE TABLE dropped_too (id int PRIMARY KEY, note text)',
      'INSERT INTO dropped_too SELECT g FROM generate_series(1, 7) g',
    ]);
    await session(server, HOSTILE, [`CREATE TABLE "${HOSTILE.replaceAll('"', '""')}" (id int)`]);
    await runQuery(server.cluster, 'postgres', 'CHECKPOINT');
    early = await readRelationNames(connectionOf(server));
    from = await now(server);
    await session(server, 'shop', [
      'DELETE FROM orders WHERE id <= 300',
      "UPDATE orders SET note = 'y' WHERE id BETWEEN 301 AND 350",
      'BEGIN; DELETE FROM orders WHERE id > 500; ROLLBACK',
      'BEGIN',
      'INSERT INTO orders VALUES (2000)',
      'SAVEPOINT a',
      'DELETE FROM orders WHERE id BETWEEN 351 AND 400',
      'ROLLBACK TO a',
      'SAVEPOINT b',
      'UPDATE orders SET id = id + 5000 WHERE id BETWEEN 401 AND 420',
      'COMMIT',
      "INSERT INTO big VALUES (1, repeat('0123456789', 3000))",
      "COPY big FROM PROGRAM 'seq 1 600 | sed ''s/$/\t-/'''",
      'INSERT INTO parted SELECT g, 1 FROM generate_series(1, 20) g',
      'UPDATE parted SET part = 2 WHERE id <= 5',
      'TRUNCATE emptied RESTART IDENTITY',
      'DROP TABLE gone',
      'ALTER TABLE orders ALTER id TYPE bigint',
      'INSERT INTO unlogged VALUES (1)',
      'REINDEX TABLE orders',
      'BEGIN',
      'DELETE FROM orders WHERE id = 2000',
      `PREPARE TRANSACTION 'later'`,
      `COMMIT PREPARED 'later'`,
      'VACUUM',
    ]);
    await session(server, HOSTILE, [`INSERT INTO "${HOSTILE.replaceAll('"', '""')}" VALUES (1), (2)`]);
    to = await now(server);
    await session(server, 'shop', [
      'DELETE FROM orders WHERE id = 500',
      'DELETE FROM dropped_too WHERE id < 3',
      'BEGIN; TRUNCATE emptied; DROP TABLE dropped_too; COMMIT',
      'VACUUM FULL big',
    ]);
    end = await now(server);
    await server.archived();
  });

  it('M3: what each did to which table, the most damage first', async () => {
    const found = await listed(server, { from, to });
    const [gone, emptied] = found.transactions;
    expect([gone, emptied].map((one) => one && shortly(one)).toSorted()).toStrictEqual([
      'dropped number',
      'truncated emptied',
    ]);
    expect(found.transactions.slice(2).map(shortly)).toStrictEqual([
      'shop.orders +0 ~0 -300',
      'shop.orders +0 ~50 -0',
      'shop.orders +1 ~20 -0',
      'shop.parted_1 +0 ~0 -5 of parted, shop.parted_2 +5 ~0 -0 of parted',
      'shop.orders +0 ~0 -1',
      'shop.big +600 ~0 -0',
      'shop.parted_1 +20 ~0 -0 of parted',
      `${HOSTILE}.${HOSTILE} +2 ~0 -0`,
      'shop.big +1 ~0 -0',
      // The rows that it copied are no new ones.
      'rewritten orders',
    ]);
    expect(found.transactions.filter(({ prepared }) => prepared === true).map(shortly)).toStrictEqual([
      'shop.orders +0 ~0 -1',
    ]);
    expect(found.missing).toStrictEqual([]);
    expect(found.more).toBe(0);
    for (const { committedAt } of found.transactions) {
      expect(microsecondsOf(committedAt)).toBeGreaterThanOrEqual(from);
      expect(microsecondsOf(committedAt)).toBeLessThanOrEqual(to);
    }
  });

  it('M3: names of an earlier time tell what was dropped, beside what was truncated and rewritten in the same span', async () => {
    const names = RelationNames.merged(await readRelationNames(connectionOf(server)), early);
    const first = await listed(server, { from, to, names });
    expect(first.transactions.slice(0, 2).map(shortly).toSorted()).toStrictEqual(['dropped gone', 'truncated emptied']);
    expect(first.transactions.map(shortly)).toContain('rewritten orders');
    const later = await listed(server, { from: to, to: end, names });
    expect(later.transactions.map(shortly)).toStrictEqual([
      'dropped dropped_too, truncated emptied',
      'shop.dropped_too +0 ~0 -2',
      'shop.orders +0 ~0 -1',
      'rewritten big',
    ]);
    const one = { schema: 'public', table: 'dropped_too' };
    const gone = await listed(server, { from: to, to: end, names, database: 'shop', table: one });
    expect(gone.transactions.map(shortly)).toStrictEqual(['dropped dropped_too', 'shop.dropped_too +0 ~0 -2']);
    const orders = await listed(server, { from, to, names, database: 'shop', table: { ...one, table: 'orders' } });
    expect(orders.transactions.map(({ deleted }) => deleted)).toContain(300);
  });

  it('M3: of one database, of one table with its partitions, of so many rows, and without names', async () => {
    const hostile = await listed(server, { from, to, database: HOSTILE });
    expect(hostile.transactions.map(shortly)).toStrictEqual([`${HOSTILE}.${HOSTILE} +2 ~0 -0`]);
    const parted = await listed(server, { from, to, database: 'shop', table: { schema: 'public', table: 'parted' } });
    expect(parted.transactions.map(({ inserted, deleted }) => [inserted, deleted])).toStrictEqual([
      [5, 5],
      [20, 0],
    ]);
    const orders = await listed(server, { from, to, database: 'shop', table: { schema: 'public', table: 'orders' } });
    // The rows before the rewrite were in another file.
    expect(orders.transactions.map(({ deleted }) => deleted)).toContain(300);
    const many = await listed(server, { from, to, minRows: 100, limit: 3 });
    expect(many.transactions).toHaveLength(3);
    expect(many.more).toBe(1);
    const unnamed = await listed(server, { from, to, names: new RelationNames() });
    expect(unnamed.transactions.find(({ deleted }) => deleted === 300)?.tables).toMatchObject([
      { database: null, schema: null, table: null, deleted: 300 },
    ]);
  });
});

describe('M3: where the WAL of a span begins, ends and is not whole', () => {
  let server: ArchivingCluster;
  const at: number[] = [];

  beforeAll(async () => {
    server = await startArchivingCluster({ settings: { wal_compression: 'lz4' } });
    await session(server, 'postgres', ['CREATE TABLE visits (id int, note text)']);
    const { host, port, user } = server.cluster;
    const open = new pg.Client({ host, port, user, database: 'postgres' });
    await open.connect();
    await open.query("BEGIN; INSERT INTO visits SELECT g, 'long' FROM generate_series(1, 77) g");
    await server.archived();
    for (let step = 0; step < 5; step++) {
      await runQuery(server.cluster, 'postgres', 'CHECKPOINT');
      at.push(await now(server));
      const rows = 10 * (step + 1);
      await session(server, 'postgres', [`INSERT INTO visits SELECT g, 'x' FROM generate_series(1, ${rows}) g`]);
      // Two segments each, so that one can be taken away.
      await session(server, 'postgres', [
        `INSERT INTO visits SELECT g, repeat('x', 1000) FROM generate_series(1, 1500) g`,
      ]);
      if (step === 3) await open.query('DELETE FROM visits WHERE id = 7');
      if (step === 3) await open.query('COMMIT');
      await server.archived();
    }
    await open.end();
    at.push(await now(server));
  });

  const rowsOf = ({ transactions }: Listed): number[] =>
    transactions.map(({ inserted }) => inserted).filter((rows) => rows !== 1500);

  it('M3: a transaction that began before the span is counted whole, and one that ends later is not in it', async () => {
    const found = await listed(server, { from: at[3] ?? 0, to: at[4] ?? 0 });
    expect(rowsOf(found)).toStrictEqual([77, 40]);
    expect(found.transactions.some(({ atLeast }) => atLeast)).toBe(false);
    const before = await listed(server, { from: at[1] ?? 0, to: at[2] ?? 0 });
    expect(rowsOf(before)).toStrictEqual([20]);
    expect(before.missing).toStrictEqual([]);
  });

  it('M3: what is not archived yet, and what is before the archive, is missing; with nothing of the span it is refused', async () => {
    const found = await listed(server, { from: at[4] ?? 0, to: (at[5] ?? 0) + 60e6 });
    expect(found.missing).toMatchObject([{ kind: 'after' }]);
    expect(rowsOf(found)).toStrictEqual([50]);
    await expect(listed(server, { from: (at[5] ?? 0) + 60e6, to: (at[5] ?? 0) + 90e6 })).rejects.toMatchObject({
      code: 'wal-gap',
    });
  });

  it('M3: a segment that is missing, and one that is damaged, is a gap with its positions; the rest is listed', async () => {
    const directory = await tempDir('gap');
    for (const name of await readdir(server.directory))
      await copyFile(join(server.directory, name), join(directory, name));
    const scratch = await tempDir('scan');
    const names = await readRelationNames(connectionOf(server));
    const ask = async (): Promise<Listed> => {
      const course = await openCourse({ archive: await directoryArchive(directory), dataDir: null, scratch }, null);
      const order = { from: at[0] ?? 0, to: at[5] ?? 0, minRows: 1, limit: 100 };
      return listTransactions(server.reader, course, names, order, true);
    };
    expect(rowsOf(await ask())).toStrictEqual([77, 50, 40, 30, 20, 10]);
    const segments = (await readdir(directory)).filter((name) => /^[0-9A-F]{24}$/.test(name)).toSorted();
    // The second segment of the third step: what is only in it is lost, and what went on in it is not known to be whole.
    const steps = await Promise.all(
      segments.map(async (name) => (await readFile(join(directory, name))).includes('xxxxxxxxxx')),
    );
    const middle = segments[Math.floor((steps.indexOf(true) + steps.lastIndexOf(true)) / 2)] ?? '';
    const saved = await readFile(join(directory, middle));
    await rm(join(directory, middle));
    const gap = await ask();
    expect(gap.missing).toMatchObject([{ kind: 'gap' }]);
    expect(rowsOf(gap).length).toBeGreaterThanOrEqual(4);
    expect(gap.transactions.find(({ inserted, deleted }) => inserted === 77 || deleted === 1)?.atLeast).toBe(true);

    const damaged = Buffer.from(saved);
    damaged.fill(0xab, 300_000, 400_000);
    await writeFile(join(directory, middle), damaged);
    const broken = await ask();
    expect(broken.missing).toMatchObject([{ kind: 'damaged' }]);
    expect((await readdir(scratch)).length).toBe(0);
  });

  it('M3: what the server gave up while its WAL was read, as it was archived, is read from the archive', async () => {
    const dataDir = await tempDir('data');
    const own = join(dataDir, 'pg_wal');
    await mkdir(own);
    const archive = await directoryArchive(server.directory);
    for (const name of archive.segments) await copyFile(join(server.directory, name), join(own, name));
    const scratch = await tempDir('scan');
    const begun = { ...archive, segments: archive.segments.slice(0, 1) };
    const places = { archive: begun, dataDir, scratch };
    const read = await openCourse({ ...places, listAgain: () => Promise.resolve(archive) }, null);
    const alone = await openCourse(places, null);
    // All are removed but one, whose file has become that of later WAL.
    const [kept = '', other = ''] = archive.segments.slice(2);
    await copyFile(join(own, other), join(own, kept));
    for (const name of archive.segments) if (name !== kept) await rm(join(own, name));
    const names = await readRelationNames(connectionOf(server));
    const order = { from: at[0] ?? 0, to: at[5] ?? 0, minRows: 1, limit: 100 };
    const ask = (course: typeof read): Promise<Listed> => listTransactions(server.reader, course, names, order, true);
    expect(rowsOf(await ask(read))).toStrictEqual([77, 50, 40, 30, 20, 10]);
    const xid = (await ask(read)).transactions[0]?.xid ?? '';
    expect((await tableChangesOf(server.reader, read, xid, () => undefined)).whole).toBe(true);
    await expect(tableChangesOf(server.reader, alone, xid, () => undefined)).rejects.toMatchObject({
      code: 'wal-gap',
      message: expect.stringContaining('cannot be read') as unknown,
    });
  });

  it('M3: read one resource manager at a time, as from PostgreSQL 14, it is the same', async () => {
    const names = await readRelationNames(connectionOf(server));
    const order = { from: at[1] ?? 0, to: at[5] ?? 0, minRows: 1, limit: 100 };
    const course = await server.course();
    const old = { ...course, source: { ...course.source, major: 14 } };
    const read = (one: typeof course): Promise<Listed> => listTransactions(server.reader, one, names, order, true);
    const found = await read(old);
    expect(rowsOf(found)).toStrictEqual([77, 50, 40, 30, 20]);
    expect({ ...found, toLsn: '' }).toStrictEqual({ ...(await read(course)), toLsn: '' });
  });

  it('M3: a timeline that a promotion has begun is followed, and the one that was left can be named', async () => {
    const { cluster } = server;
    await cluster.stop();
    // It ends its recovery at once and goes on on a timeline of its own.
    await writeFile(join(cluster.dataDir, 'recovery.signal'), '');
    await cluster.configure({ restore_command: `cp '${server.directory}/%f' '%p'`, recovery_target: '' });
    await cluster.start();
    const inRecovery = async (): Promise<boolean> => {
      const { rows } = await runQuery(cluster, 'postgres', 'SELECT pg_is_in_recovery() AS recovery');
      return (rows[0] as { recovery: boolean }).recovery;
    };
    await until(async () => !(await inRecovery()), 'the server is promoted');
    const from = await now(server);
    await session(server, 'postgres', [`INSERT INTO visits SELECT g, 'x' FROM generate_series(1, 60) g`]);
    const to = await now(server);
    await server.archived();
    const course = await server.course();
    expect(course.timeline.id).toBe(2);
    expect(rowsOf(await listed(server, { from, to }))).toStrictEqual([60]);
    // Across the switch.
    expect(rowsOf(await listed(server, { from: at[3] ?? 0, to }))).toStrictEqual([77, 60, 50, 40]);
    const names = await readRelationNames(connectionOf(server));
    const order = { from: at[3] ?? 0, to: at[5] ?? 0, minRows: 1, limit: 100 };
    const left = await listTransactions(server.reader, await server.course(1), names, order, true);
    expect(rowsOf(left)).toStrictEqual([77, 50, 40]);
    await expect(server.course(3)).rejects.toMatchObject({ code: 'not-found' });
  });
});
