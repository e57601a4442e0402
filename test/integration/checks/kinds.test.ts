import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { ClusterContext } from '../../../src/activities/cluster-context.js';
import { sampleMedia } from '../../../src/activities/media/sample.js';
import type { CheckContext, CheckOutcome, RestoredService } from '../../../src/checks/check.js';
import { checkOf, checksOfEveryDrill } from '../../../src/checks/registry.js';
import type { TableCount } from '../../../src/domain/backup/backup.js';
import type { ConnectionConfig } from '../../../src/domain/config.js';
import { readTables } from '../../../src/postgres/content/read-tables.js';
import { jobUser } from '../../../src/process/exec/users.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import { startVersity } from '../../helpers/s3-servers.js';
import type { ScratchCluster } from '../../helpers/scratch-cluster.js';
import { MediaBucket } from '../media/bucket.js';

/** A cluster that is damaged in one way after the other: each test damages a database, or files, of its own. */
let cluster: ScratchCluster;
let connection: ConnectionConfig;
const signal = new AbortController().signal;

beforeAll(async () => {
  cluster = await startScratchCluster({ initdb: ['--data-checksums'], unrelated: true });
  connection = { host: cluster.host, port: cluster.port, user: 'postgres', maintenanceDatabase: 'postgres' };
  await makeDatabase('whole');
});

const run = (database: string, sql: string): Promise<unknown> => runQuery(cluster, database, sql);

async function makeDatabase(name: string): Promise<void> {
  await run('postgres', `CREATE DATABASE ${name}`);
  await run(
    name,
    `CREATE TABLE acts (id bigserial PRIMARY KEY, at timestamptz DEFAULT '2026-01-01', what text, half int GENERATED ALWAYS AS (1) STORED);
     CREATE INDEX ON acts (lower(what)); INSERT INTO acts (what) SELECT 'act ' || n FROM generate_series(1, 3000) n;
     CREATE TABLE parts (n int) PARTITION BY RANGE (n); CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
     CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20); INSERT INTO parts VALUES (1), (11), (12);
     CREATE UNLOGGED TABLE scrap AS SELECT 1 AS n; CREATE TABLE none (); SELECT lo_from_bytea(4711, 'a large object')`,
  );
}

const recordedOf = async (database: string): Promise<readonly TableCount[]> =>
  (await readTables(connection, [database], signal)).tables;

/** Runs one kind as a drill does after the restore of a dump of the database. */
async function check(
  type: string,
  database: string,
  more: Omit<Partial<CheckContext>, 'restored'> & { readonly restored?: Partial<RestoredService> } = {},
  options: object = {},
): Promise<CheckOutcome> {
  const kind = checkOf(type);
  const { restored, ...others } = more;
  return kind.run(
    {
      connection,
      recorded: [],
      recordedIsExact: true,
      signal,
      ...others,
      restored: {
        ...{ method: 'databases', databases: [database], dataDir: cluster.dataDir, pgBin: cluster.binDir },
        ...{ user: await jobUser(cluster.dataDir), target: { kind: 'latest' }, reached: null, backups: [] },
        tables: () => readTables(connection, [database], signal),
        ...restored,
      } as RestoredService,
    },
    kind.read(kind.options.parse(options)),
  );
}

/** Pages come back with a physical backup alone. */
const methodFor = (type: string) => (type === 'page-checksums' ? ('data-directory' as const) : ('databases' as const));

describe('checks of what was restored', () => {
  it('K4: every drill runs those that need no configuration, and a whole database passes them', async () => {
    expect(checksOfEveryDrill().map(({ type }) => type)).toEqual([
      ...[
        'target-reached',
        'canary',
        'row-counts',
        'content-hash',
        'sequences',
        'objects',
        'amcheck',
        'page-checksums',
        'dump-again',
      ],
    ]);
    const recorded = await recordedOf('whole');
    expect(recorded.map(({ table, rows }) => [table, rows])).toEqual([
      ...[
        ['acts', 3000],
        ['none', 0],
        ['parts_1', 1],
        ['parts_2', 2],
        ['scrap', 1],
        ['pg_largeobject', 1],
      ],
    ]);
    for (const type of ['row-counts', 'content-hash', 'sequences', 'page-checksums', 'amcheck'])
      expect({
        type,
        ...(await check(type, 'whole', { recorded, restored: { method: methodFor(type) } })),
      }).toMatchObject({ type, status: 'passed' });
    expect(await check('row-counts', 'whole')).toMatchObject({ status: 'skipped' });
    expect(await check('dump-again', 'whole')).toMatchObject({ status: 'skipped' });
    // amcheck was installed for the check alone.
    const { rows } = await runQuery(cluster, 'whole', "SELECT FROM pg_extension WHERE extname = 'amcheck'");
    expect(rows).toEqual([]);
  });

  it('F22: rows that are missing, moved between partitions or other than recorded are told apart', async () => {
    await makeDatabase('changed');
    const recorded = await recordedOf('changed');
    await run('changed', `ALTER TABLE parts DETACH PARTITION parts_2; UPDATE acts SET what = 'changed' WHERE id = 5`);
    await run('changed', `SELECT lo_unlink(4711)`);
    await run('changed', `CREATE TABLE parts_3 PARTITION OF parts FOR VALUES FROM (10) TO (30)`);
    await run('changed', `INSERT INTO parts SELECT n FROM parts_2; TRUNCATE parts_2`);
    const counts = await check('row-counts', 'changed', { recorded });
    expect(counts).toMatchObject({ status: 'failed', hint: expect.stringContaining('lost or added rows') });
    expect(counts.detail).toContain('changed: public.parts_2 has 0 rows, 2 were recorded');
    expect(counts.detail).toContain('changed: pg_catalog.pg_largeobject is not there (1 rows were recorded)');
    expect(counts.detail).not.toContain('acts');
    const hashes = await check('content-hash', 'changed', { recorded });
    expect(hashes).toMatchObject({ status: 'failed' });
    expect(hashes.detail).toContain('changed: public.acts');
  });

  it('F22: of a physical backup a table may hold more, and not less than half; what applications empty is left out by name', async () => {
    await makeDatabase('later');
    const recorded = await recordedOf('later');
    await run('later', `INSERT INTO acts (what) SELECT 'more'; TRUNCATE parts`);
    const physical = { recorded, recordedIsExact: false, restored: { method: 'data-directory' as const } };
    expect(await check('row-counts', 'later', physical)).toMatchObject({
      status: 'failed',
      detail: expect.stringContaining('public.parts has 0 rows, 3 were recorded'),
    });
    expect(await check('row-counts', 'later', physical, { except: ['public.par*s'] })).toMatchObject({
      status: 'passed',
    });
    await run('later', 'DELETE FROM acts WHERE id > 1400');
    expect(await check('row-counts', 'later', physical, { except: ['public.par*s'] })).toMatchObject({
      status: 'failed',
      detail: expect.stringContaining('acts has 1400 rows'),
    });
  });

  it('F22: a sequence behind its column is found', async () => {
    await makeDatabase('behind');
    await run('behind', `SELECT setval('acts_id_seq', 2999)`);
    expect(await check('sequences', 'behind')).toEqual(
      expect.objectContaining({
        status: 'failed',
        detail: 'sequences are behind the values in their columns: behind: public.acts.id',
      }),
    );
  });

  it('F22: an index without an entry of a row, and a page that was changed, are found', async () => {
    await makeDatabase('stale');
    // As after a restore with another collation: rows that the index knows nothing of.
    await run(
      'stale',
      `UPDATE pg_index SET indisready = false WHERE indexrelid = 'acts_pkey'::regclass; INSERT INTO acts (id, what) VALUES (9000, 'x');
       UPDATE pg_index SET indisready = true WHERE indexrelid = 'acts_pkey'::regclass`,
    );
    expect(await check('amcheck', 'stale')).toMatchObject({
      status: 'failed',
      detail: expect.stringMatching(/index public\.acts_pkey: heap tuple .* lacks matching index tuple/),
      hint: expect.stringContaining('REINDEX'),
    });
    const { rows } = await runQuery(cluster, 'stale', "SELECT pg_relation_filepath('parts_2') AS path");
    await runQuery(cluster, 'stale', 'CHECKPOINT');
    await cluster.stop();
    const file = await open(join(cluster.dataDir, (rows[0] as { path: string }).path), 'r+');
    await file.write('changed', 4000);
    await file.close();
    await cluster.start();
    expect(await check('page-checksums', 'stale', { restored: { method: 'data-directory' } })).toMatchObject({
      status: 'failed',
      detail: expect.stringContaining('1 pages with a wrong checksum, the first is page 0'),
    });
    expect(await check('row-counts', 'stale')).toMatchObject({
      status: 'failed',
      detail: expect.stringContaining('stale: public.parts_2 cannot be read (SQLSTATE XX001)'),
    });
    expect(await check('amcheck', 'stale')).toMatchObject({ status: 'failed' });
  });

  it('F18 F24: the target, the cluster and the encoding are compared with what the server says', async () => {
    const systemIdentifier = '1';
    const label = 'whole_full_20260101_000000';
    const server = { versionNum: 150000, systemIdentifier, encoding: 'SQL_ASCII' };
    const backups = [{ label, database: 'whole', server, startedAt: '2026-01-01T00:00:00Z', finishedAt: null }];
    expect(await check('target-reached', 'whole', { restored: { backups } })).toMatchObject({
      status: 'failed',
      detail: 'database whole has the encoding UTF8, and was dumped from SQL_ASCII',
    });
    const physical = { method: 'data-directory' as const, target: { kind: 'lsn' as const, lsn: 'FF/0' } };
    const stopped = { start: '0000000100000000000000FE', stop: '0000000100000000000000FF' };
    const found = await check('target-reached', 'whole', {
      restored: { ...physical, backups: [{ ...backups[0]!, wal: stopped }] },
    });
    expect(found).toMatchObject({ status: 'failed' });
    for (const part of ['it is cluster', 'before the end of whole_full', 'before the target'])
      expect(found.detail).toContain(part);
    expect(await check('target-reached', 'whole', { restored: { method: 'data-directory' } })).toMatchObject({
      status: 'passed',
    });
  });

  it('K4: objects that restored rows name are read from their bucket: one that is gone and one that was changed there are found', async () => {
    const server = await startVersity();
    const bucket = new MediaBucket(server, await server.bucket('photos'));
    const keys = ['a.txt', 'b.txt', 'c.txt'];
    await bucket.put(keys);
    await run('postgres', 'CREATE DATABASE named');
    await run('named', `CREATE TABLE photos AS SELECT unnest('{${keys.join(',')}}'::text[]) AS key`);
    const objectsQuery = { database: 'mairie', query: 'SELECT key FROM public.photos' };
    const photos = { name: 'photos', cluster: 'mairie', repository: 'photos', folder: '', objectsQuery };
    const clusterContext = {
      cluster: { name: 'mairie' },
      user: null,
      deps: {
        config: { media: { photos }, repositories: { photos: { name: 'photos' } } },
        openStorage: () => bucket.place().storage,
      },
    } as unknown as ClusterContext;
    const rows = { connection, nameOf: () => 'named' };
    const sample = (media: string, objects: number) => sampleMedia(clusterContext, rows, media, { objects, signal });
    const look = () => check('media-sample', 'named', { sampleMedia: sample }, { media: 'photos', objects: 10 });
    expect(await look()).toEqual({ status: 'passed', detail: '3 objects of photos were read, 0 images decoded' });
    await bucket.delete(['b.txt']);
    // As long as before: the server still gives the checksum of what was uploaded.
    await writeFile(join(server.dataDir ?? '', 'photos', 'c.txt'), 'content of x.txt');
    const { status, detail, hint } = await look();
    expect({ status, hint }).toEqual({ status: 'failed', hint: 'read all of them: reprise media verify photos' });
    for (const part of ['2 have problems', 'b.txt cannot be read', 'c.txt is not what its checksum says'])
      expect(detail).toContain(part);
  });

  it('K4: a command is judged by exit code, text and number, finds the restored server, and what it prints is not repeated', async () => {
    const shell = (script: string, more: object = {}) =>
      check('command', 'whole', {}, { argv: ['/bin/sh', '-c', script], ...more });
    expect(await shell('echo secret row; exit 3')).toEqual({
      status: 'failed',
      detail: 'sh exited with 3, expected 0',
    });
    expect(await shell('exit 3', { exit_code: 3 })).toMatchObject({ status: 'passed' });
    expect(await shell(`echo $PGPORT`, { min: cluster.port, max: cluster.port })).toMatchObject({ status: 'passed' });
    expect(await shell('echo 12', { max: 10 })).toEqual({ status: 'failed', detail: '12, expected at most 10' });
    expect(await shell('echo ready', { contains: 'ready' })).toMatchObject({ status: 'passed' });
    expect(await shell('echo ready', { contains: 'other' })).toMatchObject({ status: 'failed' });
    expect(await shell('sleep 60', { timeout: '1s' })).toMatchObject({
      status: 'failed',
      detail: 'sh did not end within 1 s',
    });
  });
});
