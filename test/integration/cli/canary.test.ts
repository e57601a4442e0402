import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { startRepair, startTableComparison } from '../../../src/client/start.js';
import type { Backup } from '../../../src/domain/backup/backup.js';
import { HOSTILE_DATABASE, contentOf } from '../../contract/engine-fixture.js';
import type { KeptItem } from '../../../src/domain/backup/records.js';
import { CanaryWatch, filesBelow, textOf } from '../../helpers/canary.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { runQuery } from '../../helpers/postgres.js';
import {
  answer,
  approved,
  editConfig,
  planned,
  reaches,
  refusal,
  snapshot,
  statusOf,
  told,
} from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

const PASSWORD = 'canary-pw-5fd1b8c0';
const ONE_LINE = HOSTILE_DATABASE.replaceAll('\n', ' ');
/** Made by the server itself, so that no statement holds it. */
const ROW = "md5('canary')";

let site: Site;
let watch: CanaryWatch;
let value: string;

beforeAll(async () => {
  site = await Site.create({ proof: 'restore' });
  await site.query("ALTER SYSTEM SET log_statement = 'none'", 'postgres');
  await site.query('SELECT pg_reload_conf()', 'postgres');
  await runQuery(
    site.server,
    'postgres',
    `CREATE DATABASE ${pg.escapeIdentifier(HOSTILE_DATABASE)} TEMPLATE mairie OWNER "rdv ""owner"""`,
  );
  await runQuery(
    site.server,
    'postgres',
    `ALTER DATABASE ${pg.escapeIdentifier(HOSTILE_DATABASE)} SET work_mem = '6MB'`,
  );
  await runQuery(site.server, 'postgres', `CREATE ROLE reprise SUPERUSER LOGIN PASSWORD '${PASSWORD}'`);
  for (const database of ['mairie', HOSTILE_DATABASE])
    await site.query(`UPDATE metier.demandes_rdv SET motif = ${ROW} WHERE id = 7`, database);
  value = String((await site.query(`SELECT ${ROW} AS value`)).rows[0]?.value);

  const { dataDir, socketDir, port, root } = site.places;
  const passfile = join(root, 'pgpass');
  await writeFile(passfile, `*:*:*:reprise:${PASSWORD}\n`, { mode: 0o600 });
  await giveToPostgres(passfile);
  // pgBackRest and this test come as the superuser; Reprise has to show its password.
  await writeFile(
    join(dataDir, 'pg_hba.conf'),
    'local all reprise scram-sha-256\nhost all reprise 127.0.0.1/32 scram-sha-256\nlocal all postgres trust\nhost all postgres 127.0.0.1/32 trust\nlocal all all scram-sha-256\n',
  );
  await site.query('SELECT pg_reload_conf()', 'postgres');
  await editConfig(site, (text) =>
    text
      .replace(
        /connection: .*/,
        `connection: { host: ${socketDir}, port: ${port}, user: reprise, passfile: ${passfile} }`,
      )
      .replace('databases: [mairie]', `databases: ${JSON.stringify(['mairie', HOSTILE_DATABASE])}`)
      // An error of the server about a value quotes it.
      .replace(
        '    checks:\n',
        '    checks:\n      leaky: { type: sql, database: mairie, query: "SELECT motif::int FROM metier.demandes_rdv WHERE id = 7", min: 1 }\n',
      ),
  );
  await site.startWorker();
  watch = new CanaryWatch([PASSWORD, value], site.session.client);
  watch.overhear(site);
});
afterAll(() => watch.stop());

/** Renames a database on the server and in the config. */
async function rename(from: string, to: string): Promise<void> {
  await site.query(`ALTER DATABASE ${pg.escapeIdentifier(from)} RENAME TO ${pg.escapeIdentifier(to)}`, 'postgres');
  await editConfig(site, (text) => text.replace(JSON.stringify(from), JSON.stringify(to)));
  await site.workers.at(-1)?.stop();
  await site.startWorker();
}

const content = () => contentOf(site.server);

describe('F35, F36: a database with a hostile name goes the whole way', () => {
  let expected: unknown;
  let dumps: readonly Backup[];

  it('dumped and proven by a restore', async () => {
    const made = await answer<{ backups: Backup[] }>(site, 'backup', 'run', 'mairie', '--policy', 'dump');
    dumps = made.backups;
    expect(dumps.map(({ database }) => database).toSorted()).toEqual([HOSTILE_DATABASE, 'mairie'].toSorted());
    for (const { proven } of dumps) expect(proven?.level).toBe('restored');
    // pgBackRest itself cannot: told before it begins.
    expect(await refusal(site, 'backup', 'run', 'mairie', '--policy', 'physical')).toMatchObject({
      exit: 9,
      code: 'capability-missing',
      message: expect.stringContaining('newline'),
    });
    // Names of files and ids are plain.
    for (const { id } of dumps) expect(id).toMatch(/^[A-Za-z0-9:._%-]+$/);
    for (const path of Object.keys(await snapshot(site.places.backupsDir))) expect(path).toMatch(/^[A-Za-z0-9/._%-]+$/);
    for (const { id } of dumps)
      expect(await answer(site, 'backup', 'show', id)).toMatchObject({ backup: { id, contents: expect.any(Array) } });
  });

  it('recovered from its dump, with its settings, beside another one that stays as it is', async () => {
    expected = await content();
    await site.query('DELETE FROM metier.demandes_rdv WHERE id > 100', HOSTILE_DATABASE);
    const started = await planned(site, '--policy', 'dump', '--database', HOSTILE_DATABASE);
    expect(started.plan.binding.backups).toMatchObject([{ database: HOSTILE_DATABASE }]);
    await approved(site, started);
    await reaches(site, started.workflowId, 'completed');
    expect(strip(await content())).toEqual(strip(expected));
    // Checks of databases that stayed as they were say nothing about this recovery.
    expect(await site.session.client.workflow.getHandle(started.workflowId).result()).toMatchObject({
      outcome: {
        checks: [
          { name: 'leaky', status: 'skipped' },
          { name: 'rows', status: 'skipped' },
        ],
      },
    });
    await answer(site, 'incident', 'report', started.workflowId);
  });

  it('and, without the newline, with the whole cluster: backed up, proven by a restore, recovered beside', async () => {
    const { kept } = await answer<{ kept: KeptItem[] }>(site, 'kept', 'list');
    expect(kept).toMatchObject([{ what: `old database ${HOSTILE_DATABASE}` }]);
    await answer(site, 'kept', 'drop', kept[0]?.id ?? '', '--yes');
    await rename(HOSTILE_DATABASE, ONE_LINE);
    const { backups } = await answer<{ backups: Backup[] }>(site, 'backup', 'run', 'mairie', '--policy', 'physical');
    expect(backups[0]?.proven?.level).toBe('restored');
    const started = await planned(site, '--policy', 'physical', '--into', 'beside', '--to', 'end-of-backup');
    await approved(site, started);
    // A check that fails leaves the decision to a person.
    await reaches(site, started.workflowId, 'paused');
    expect((await statusOf(site, started.workflowId)).waitingFor).toContain('leaky');
    await answer(site, 'promote', started.workflowId, '--by', 'dba', '--reason', 'test');
    await reaches(site, started.workflowId, 'completed');
    const found = await contentOf({ ...site.server, port: site.places.port + 1 }, (name) =>
      name === HOSTILE_DATABASE ? ONE_LINE : name,
    );
    expect(strip(found)).toEqual(strip(expected));
    await rename(ONE_LINE, HOSTILE_DATABASE);
  });
});

it('F21: a dump that cannot be restored whole fails its proof; the row that the server complains of is told to nobody', async () => {
  // Holds only while the other table has rows: not yet, when pg_restore copies this one.
  await site.query(`
    CREATE TABLE zzz_later (x int); INSERT INTO zzz_later VALUES (1);
    CREATE FUNCTION others() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM public.zzz_later';
    CREATE TABLE aaa_first (secret text CHECK (others() > 0)); INSERT INTO aaa_first VALUES (${ROW})`);
  const { exit, document, error } = await told(site, 'backup', 'run', 'mairie', '--policy', 'dump');
  expect([exit, error?.code]).toEqual([3, 'partly-done']);
  expect(document).toMatchObject({ failed: [{ code: 'backup-corrupt' }] });
  expect((await site.backups()).map(({ status }) => status)).toContain('quarantined');
});

it('F35: a table with a hostile name, without a key, and one with rows that nobody may see: compared, and put right from the dump of a database with a hostile name', async () => {
  const table = { schema: 'public', table: 'We "ird; table\nCOPY fake (x) FROM stdin;' };
  const weird = pg.escapeIdentifier(table.table);
  const dump = (await site.backups()).findLast(
    ({ database, status }) => database === HOSTILE_DATABASE && status === 'complete',
  );
  const before = (await content())[HOSTILE_DATABASE];
  await site.query(`DELETE FROM metier.demandes_rdv WHERE id IN (7, 8)`, HOSTILE_DATABASE);
  await site.query(`DELETE FROM ${weird} WHERE true; INSERT INTO ${weird} VALUES ('wrong')`, HOSTILE_DATABASE);
  const good = { kind: 'backup' as const, id: dump?.id ?? '' };
  // At a terminal of this host whoever compares sees the rows: not by way of Temporal.
  const compared = await startTableComparison(site.session, {
    ...{ cluster: 'mairie', requester: 'test' },
    order: { database: HOSTILE_DATABASE, table: { schema: 'metier', table: 'demandes_rdv' }, good, samples: 3 },
  });
  expect(await site.result(compared)).toMatchObject({ missing: 2, changed: 0, extra: 0 });
  for (const name of [{ schema: 'metier', table: 'demandes_rdv' }, table]) {
    const source = { kind: 'state' as const, at: good, policy: 'dump' };
    const order = { database: HOSTILE_DATABASE, table: name, source, strategy: 'replace' as const };
    const work = await startRepair(site.session, { cluster: 'mairie', requester: 'test', order });
    await site.approve(work);
    expect(await site.result(work)).toMatchObject({
      state: 'completed',
      outcome: { checks: expect.arrayContaining([{ name: 'rows are as approved', status: 'ok' }]) as unknown },
    });
    await answer(site, 'status', work.workflowId);
  }
  expect(strip({ it: (await content())[HOSTILE_DATABASE] })).toEqual(strip({ it: before }));
});

describe('F39: secrets and row values', () => {
  it('what else is asked and told: doctor, config, status, kept, incidents', async () => {
    for (const argv of [
      ['doctor'],
      ['check'],
      ['backup', 'adopt', 'mairie', '--dry-run'],
      ['config', 'show', '--origin'],
      ['config', 'check'],
      ['status'],
      ['kept', 'list'],
      ['backup', 'list'],
      ['incident', 'list'],
      ['cluster', 'list'],
      ['schedule', 'apply'],
    ])
      await told(site, ...argv);
    await site.cli('check', '--nagios');
    // A password that is wrong is told as that.
    const passfile = join(site.root, 'pgpass');
    await writeFile(passfile, `*:*:*:reprise:${PASSWORD}-wrong\n`);
    const failed = await told(site, 'backup', 'run', 'mairie', '--policy', 'dump');
    expect([failed.exit, failed.error?.code]).toEqual([5, 'database-unreachable']);
    await writeFile(passfile, `*:*:*:reprise:${PASSWORD}\n`);
  });

  it('are nowhere but in the password file and the data: neither argv, environments, heartbeats, histories, logs, records, reports nor job files', async () => {
    await watch.stop();
    expect(watch.looks).toBeGreaterThan(20);
    for await (const { workflowId, runId } of site.session.client.workflow.list()) {
      const history = await site.session.client.workflow.getHandle(workflowId, runId).fetchHistory();
      watch.search(`history of ${workflowId}`, textOf(history));
      const description = await site.session.client.workflow.getHandle(workflowId, runId).describe();
      watch.search(`description of ${workflowId}`, textOf(description.raw));
    }
    const data = /^(pgpass|pgdata\/|beside\/|pgb\/repo\/|[^/]*\.(aside|salvage|tablespaces)-)|\.dump$/;
    // Rows of a comparison and of a repair are for their owner alone.
    const rows = /^state\/(repairs|compared)\//;
    // What PostgreSQL and its tools themselves say of a row stays in their own owner-only files.
    const saysPostgres = /^(pgdata|beside)\.log$|^state\/jobs\/.*\/stderr$/;
    for (const [path, text] of await filesBelow(site.root, data)) {
      const name = path.slice(site.root.length + 1);
      const mayQuote = saysPostgres.test(name) || rows.test(name);
      watch.search(name, mayQuote ? text.replaceAll(value, '') : text);
      if (mayQuote) expect([name, (await stat(path)).mode & 0o077]).toEqual([name, 0]);
    }
    expect([...watch.sightings]).toEqual([]);
  });
});

/** The content without what a copy has on its own: sequences run on after a crash. */
function strip(all: unknown): unknown {
  return Object.fromEntries(
    Object.entries(all as Record<string, Record<string, string>>).map(([database, parts]) => [
      database,
      { ...parts, sequences: '' },
    ]),
  );
}
