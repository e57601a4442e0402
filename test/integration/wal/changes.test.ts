import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import {
  notInRows,
  readChanges,
  type RowChange,
  tableChangesOf,
  type TransactionChanges,
  writeChanges,
} from '../../../src/postgres/wal/transactions/transaction-changes.js';
import { listTransactions } from '../../../src/postgres/wal/transactions/list-transactions.js';
import type { RelationFile } from '../../../src/postgres/wal/transactions/record-text.js';
import { readRelationNames } from '../../../src/postgres/wal/transactions/relation-names.js';
import { RowFollower } from '../../../src/postgres/wal/transactions/row-follower.js';
import { placeOfCtid, type RowPlace } from '../../../src/postgres/wal/transactions/row-place.js';
import { lsnNumber } from '../../../src/postgres/wal/transactions/scan-records.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery } from '../../helpers/postgres.js';
import { tempDir } from '../../helpers/temp.js';
import { type ArchivingCluster, startArchivingCluster } from '../../helpers/wal-archive.js';

failOnLeakedProcesses();

const ctid = ({ block, offset }: RowPlace): string => `(${block},${offset})`;

/** One transaction, with what its own statements say of its rows. */
interface Story {
  readonly xid: string;
  readonly old: readonly string[];
  readonly made: readonly string[];
}

describe.each([15, 18])('M3: the rows of one transaction, from WAL of PostgreSQL %d', (version) => {
  let server: ArchivingCluster;
  let table: RelationFile;
  let changes: (xid: string) => Promise<{ rows: readonly RowChange[]; result: TransactionChanges }>;

  const fileOf = async (name: string): Promise<RelationFile> => {
    const { rows } = await runQuery(
      server.cluster,
      'postgres',
      `SELECT pg_relation_filenode('${name}')::bigint::int AS file,
              (SELECT oid::bigint::int FROM pg_database WHERE datname = 'postgres') AS database`,
    );
    return { tablespace: 1663, ...(rows[0] as { file: number; database: number }) };
  };

  /** Runs statements in one transaction; those with RETURNING ctid say where rows were, or are. */
  const story = async (statements: readonly (readonly ['old' | 'made' | 'run', string])[]): Promise<Story> => {
    const { host, port, user } = server.cluster;
    const client = new pg.Client({ host, port, user, database: 'postgres' });
    await client.connect();
    try {
      const found = { old: [] as string[], made: [] as string[] };
      await client.query('BEGIN');
      const { rows } = await client.query<{ xid: string }>('SELECT pg_current_xact_id()::text AS xid');
      for (const [kind, sql] of statements) {
        const answer = await client.query<{ ctid: string }>(sql);
        if (kind !== 'run') found[kind].push(...answer.rows.map((row) => row.ctid));
      }
      await client.query('COMMIT');
      return { xid: rows[0]?.xid ?? '', ...found };
    } finally {
      await client.end();
    }
  };

  beforeAll(async () => {
    server = await startArchivingCluster({ version, settings: { max_prepared_transactions: 2 } });
    await runQuery(
      server.cluster,
      'postgres',
      `CREATE TABLE visits (id int PRIMARY KEY, note text) WITH (fillfactor = 70);
       INSERT INTO visits SELECT g, 'note ' || g FROM generate_series(1, 2000) g;
       CREATE TABLE other (id int);
       CREATE TABLE parted (id int, part int) PARTITION BY LIST (part);
       CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
       CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2);
       INSERT INTO parted VALUES (1, 1), (2, 1);
       CHECKPOINT`,
    );
    table = await fileOf('visits');
    changes = async (xid) => {
      const rows: RowChange[] = [];
      const result = await tableChangesOf(server.reader, await server.course(), xid, (change) => rows.push(change));
      return { rows, result };
    };
  });

  it('M3: every row version that it ended and made, with savepoints, and nothing of others', async () => {
    const one = await story([
      ['old', 'DELETE FROM visits WHERE id BETWEEN 1 AND 300 RETURNING ctid'],
      ['run', 'SAVEPOINT a'],
      ['made', "INSERT INTO visits SELECT g, 'new' FROM generate_series(3000, 3099) g RETURNING ctid"],
      ['run', 'SAVEPOINT b'],
      ['run', 'DELETE FROM visits WHERE id BETWEEN 400 AND 500'],
      ['run', 'ROLLBACK TO b'],
      ['run', 'INSERT INTO other VALUES (1)'],
    ]);
    const hot = await story([
      ['old', 'SELECT ctid FROM visits WHERE id BETWEEN 600 AND 700 ORDER BY id'],
      ['made', "UPDATE visits SET note = 'changed' WHERE id BETWEEN 600 AND 700 RETURNING ctid"],
    ]);
    const moved = await story([
      ['old', 'SELECT ctid FROM visits WHERE id BETWEEN 800 AND 900 ORDER BY id'],
      ['made', 'UPDATE visits SET id = id + 100000 WHERE id BETWEEN 800 AND 900 RETURNING ctid'],
    ]);
    await server.archived();

    const { rows, result } = await changes(one.xid);
    const own = rows.filter(({ file }) => file.file === table.file);
    expect(own.flatMap(({ old }) => (old === null ? [] : [ctid(old)]))).toStrictEqual(one.old);
    expect(own.flatMap((change) => (change.new === null ? [] : [ctid(change.new)]))).toStrictEqual(one.made);
    expect(result).toMatchObject({ whole: true, begun: [], ended: [], emptied: [], droppedDatabases: [] });
    expect(result.subxacts.length).toBeGreaterThanOrEqual(2);
    expect(result.files.find(({ file }) => file.file === table.file)).toMatchObject({
      ...{ inserted: 100, updated: 0, deleted: 300 },
    });
    expect(notInRows(result, { before: table, after: table })).toBeNull();

    for (const update of [hot, moved]) {
      const found = (await changes(update.xid)).rows.filter(({ file }) => file.file === table.file);
      expect(found.every(({ kind }) => kind === 'update')).toBe(true);
      expect(found.map(({ old }) => old && ctid(old)).toSorted()).toStrictEqual(update.old.toSorted());
      expect(found.map((change) => change.new && ctid(change.new))).toStrictEqual(update.made);
    }
  });

  it('M3: rows that COPY writes many at a time, where the page was empty, was not, and is in the record as an image', async () => {
    await runQuery(server.cluster, 'postgres', 'CREATE TABLE copied (id int, note text)');
    const copied = (after: string): Promise<Story> =>
      story([
        ['run', `COPY copied FROM PROGRAM 'seq 1 700 | sed "s/$/\tnote/"'`],
        ['run', after],
        ['made', `SELECT ctid FROM copied WHERE xmin = pg_current_xact_id()::xid ORDER BY ctid`],
      ]);
    const stories = [await copied('SELECT 1')];
    await runQuery(server.cluster, 'postgres', 'CHECKPOINT');
    // The first change of a page after a checkpoint has its image.
    stories.push(await copied('SELECT 1'), await copied('SELECT 1'));
    await server.archived();
    for (const { xid, made } of stories) {
      const { rows } = await changes(xid);
      expect(made).toHaveLength(700);
      expect(rows.map((change) => change.new && ctid(change.new)).toSorted()).toStrictEqual(made.toSorted());
    }
  });

  it('M3: a prepared transaction, rows moved to another partition, and INSERT ... ON CONFLICT', async () => {
    const { rows: begun } = await runQuery(
      server.cluster,
      'postgres',
      `BEGIN; DELETE FROM visits WHERE id = 1000; PREPARE TRANSACTION E'it''s\\nnamed'; SELECT transaction::text AS xid FROM pg_prepared_xacts`,
    ).then((answers) => (answers as unknown as pg.QueryResult<{ xid: string }>[]).at(-1) ?? { rows: [] });
    await runQuery(server.cluster, 'postgres', "COMMIT PREPARED E'it''s\\nnamed'");
    const moved = await story([
      ['run', 'UPDATE parted SET part = 2 WHERE id = 1'],
      ['run', 'INSERT INTO visits VALUES (1001, NULL) ON CONFLICT (id) DO UPDATE SET note = NULL'],
    ]);
    await server.archived();
    const prepared = await changes(begun[0]?.xid ?? '');
    expect(prepared.result).toMatchObject({ whole: true, commit: { prepared: true } });
    expect(prepared.rows.map(({ kind }) => kind)).toStrictEqual(['delete']);
    expect((await changes(moved.xid)).rows.map(({ kind }) => kind)).toStrictEqual(['moved', 'insert', 'update']);
  });

  it('M3: a table that got another file, or ended, is said not to be in the rows', async () => {
    await runQuery(server.cluster, 'postgres', 'CREATE TABLE emptied (id int); INSERT INTO emptied VALUES (1)');
    const before = await fileOf('emptied');
    const truncated = await story([
      ['run', 'TRUNCATE emptied'],
      ['run', 'INSERT INTO emptied VALUES (2)'],
    ]);
    const after = await fileOf('emptied');
    const dropped = await story([['run', 'DROP TABLE emptied']]);
    await server.archived();
    const { result } = await changes(truncated.xid);
    expect(notInRows(result, { before, after })).toBe('file-replaced');
    expect(notInRows(result, { before: table, after: table })).toBeNull();
    expect(notInRows((await changes(dropped.xid)).result, { before: after, after: null })).toBe('file-replaced');
  });

  it('M3: of a part, of what was rolled back and of what is not there it says so; a file holds the same', async () => {
    const part = await story([
      ['old', 'DELETE FROM visits WHERE id = 1100 RETURNING ctid'],
      ['run', 'SAVEPOINT a'],
      ['run', 'DELETE FROM visits WHERE id = 1101'],
    ]);
    const { rows } = await runQuery(
      server.cluster,
      'postgres',
      'BEGIN; DELETE FROM visits WHERE id = 1102; SELECT pg_current_xact_id()::text AS xid; ROLLBACK',
    ).then((answers) => (answers as unknown as pg.QueryResult<{ xid: string }>[])[2] ?? { rows: [] });
    await server.archived();
    const { result } = await changes(part.xid);
    await expect(changes(String(result.subxacts[0]))).rejects.toMatchObject({ code: 'conflict' });
    await expect(changes(rows[0]?.xid ?? '')).rejects.toMatchObject({ code: 'conflict' });
    await expect(changes(String(Number(rows[0]?.xid) + 1000))).rejects.toMatchObject({ code: 'not-found' });
    const path = join(await tempDir('changes'), 'changes');
    const written = await writeChanges(server.reader, await server.course(), part.xid, path);
    expect(written).toStrictEqual(result);
    const read: RowChange[] = [];
    for await (const change of readChanges(path, table)) read.push(change);
    expect(read).toStrictEqual((await changes(part.xid)).rows);
    await expect(writeChanges(server.reader, await server.course(), part.xid, path)).rejects.toThrow(/EEXIST/);
  });

  it('T5: a row is followed from version to version to the commit that took it away', async () => {
    const { host, port, user } = server.cluster;
    await runQuery(
      server.cluster,
      'postgres',
      `CREATE TABLE kept (id int, part int, note text) PARTITION BY LIST (part);
       CREATE TABLE kept_1 PARTITION OF kept FOR VALUES IN (1) WITH (fillfactor = 50);
       CREATE TABLE kept_2 PARTITION OF kept FOR VALUES IN (2);
       CREATE INDEX ON kept (id);
       INSERT INTO kept SELECT g, 1, 'note' FROM generate_series(1, 200) g;
       DELETE FROM kept WHERE id < 100`,
    );
    await runQuery(server.cluster, 'postgres', 'VACUUM kept');
    // The place of a row that is gone is taken again, and its own change is under way when it is looked for.
    await runQuery(server.cluster, 'postgres', "INSERT INTO kept VALUES (4, 1, 'note')");
    const open = new pg.Client({ host, port, user, database: 'postgres' });
    await open.connect();
    const seen: { xid: string; isHot: boolean; left: number }[] = [];
    let xids: readonly string[];
    try {
      await open.query("BEGIN; SAVEPOINT a; UPDATE kept SET note = 'open' WHERE id = 4; RELEASE a");
      const { rows: began } = await open.query<{ xid: string }>('SELECT pg_current_xact_id()::text AS xid');
      const { rows: found } = await runQuery(
        server.cluster,
        'postgres',
        'SELECT ctid::text, pg_current_wal_insert_lsn()::text AS lsn FROM kept WHERE id IN (4, 150) ORDER BY id',
      );
      const places = (found as { ctid: string; lsn: string }[]).map(({ ctid: at }) => placeOfCtid(at));
      const file = await fileOf('kept_1');
      await open.query('COMMIT');
      const run = (...statements: string[]) => story(statements.map((sql) => ['run', sql] as const));
      await runQuery(server.cluster, 'postgres', 'BEGIN; DELETE FROM kept WHERE id = 4; ROLLBACK');
      await run('DELETE FROM kept WHERE id = 151', "INSERT INTO kept VALUES (5, 1, 'another')");
      const parts = await run(
        'SAVEPOINT a',
        'DELETE FROM kept WHERE id = 4',
        'ROLLBACK TO a',
        "UPDATE kept SET note = 'once' WHERE id = 4",
        'SAVEPOINT b',
        "UPDATE kept SET note = 'twice' WHERE id = 4",
      );
      const renamed = await run('UPDATE kept SET id = 44 WHERE id = 4');
      const moved = await run('UPDATE kept SET part = 2 WHERE id = 44');
      const truncated = await run('TRUNCATE kept_1');
      const deleted = await run('DELETE FROM kept WHERE id = 44');
      await server.archived();
      xids = [began[0]?.xid ?? '', ...[parts, renamed, moved, truncated, deleted].map(({ xid }) => xid)];
      const names = await readRelationNames({ host, port, user, maintenanceDatabase: 'postgres' }, 'postgres');
      const follower = new RowFollower({
        names,
        tables: new Set(names.tablesNamed('postgres', { schema: 'public', table: 'kept' })),
        from: lsnNumber((found[0] as { lsn: string }).lsn),
        wereSeen: true,
        committed: ({ end, isHot }) => seen.push({ xid: String(end.xid), isHot, left: follower.left }),
        cut: ({ xid }, rows) => seen.push({ xid: String(xid), isHot: false, left: rows }),
      });
      follower.follow(file, places);
      const now = Date.now() * 1000;
      await listTransactions(
        server.reader,
        await server.course(),
        names,
        { from: now - 600e6, to: now + 60e6, minRows: 1, limit: 1 },
        true,
        {
          ...follower.watcher,
          committed: () => undefined,
        },
      );
    } finally {
      await open.end();
    }
    const [began, parts, renamed, moved, truncated, deleted] = xids;
    expect(seen).toEqual([
      ...[began, parts].map((xid) => ({ xid, isHot: true, left: 2 })),
      ...[renamed, moved].map((xid) => ({ xid, isHot: false, left: 2 })),
      { xid: truncated, isHot: false, left: 1 },
      { xid: deleted, isHot: false, left: 0 },
    ]);
  });
});
