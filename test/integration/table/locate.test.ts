import { beforeAll, describe, expect, it } from '@jest/globals';
import type { TableHistoryLine } from '../../../src/domain/table/history.js';
import { askInvariant } from '../../../src/activities/table/invariants.js';
import { startLocate } from '../../../src/client/start.js';
import type { LocateOrder } from '../../../src/domain/operation/orders.js';
import type { TableCondition } from '../../../src/domain/table/locate.js';
import type { LocateOutput } from '../../../src/workflows/api.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { answer, refusal } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

type Found = LocateOutput & { readonly workflowId: string; readonly cluster: string };

let site: Site;
let bad: string;
const named = ['mairie', 'mairie', 'metier.demandes_rdv'];

/** Runs it in one transaction and tells which. */
const transaction = async (sql: string): Promise<string> => {
  const { rows } = await site.query(
    `WITH done AS (${sql} RETURNING 1) SELECT pg_current_xact_id()::text AS xid FROM done LIMIT 1`,
  );
  return (rows[0] as { xid: string }).xid;
};

/** Without a process of the command line. */
const searched = async (condition: TableCondition, order: Partial<LocateOrder> = {}): Promise<LocateOutput> => {
  const table = { schema: 'metier', table: 'demandes_rdv' };
  const asked = { database: 'mairie', table, condition, ...order };
  return site.result(await startLocate(site.session, { cluster: 'mairie', requester: 'test', order: asked }));
};
const key = (id: number): TableCondition => ({ kind: 'key', column: 'id', value: String(id) });

const ENOUGH = 'SELECT count(*) >= 2900 FROM metier.demandes_rdv';
const clusterYaml = `    tables:
      metier.demandes_rdv: { database: mairie, invariants: { enough: { query: "${ENOUGH}" } } }
      metier.imports: { database: mairie, suspect: { min_rows: 50 } }\n`;

beforeAll(async () => {
  site = await Site.create({ clusterYaml, proof: 'none' });
  await site.startWorker();
  await site.backUp('physical');
  // The row that is searched for becomes another version, also in part of a transaction.
  await site.query(
    `UPDATE metier.demandes_rdv SET motif = 'moved' WHERE id IN (4, 17);
     BEGIN; DELETE FROM metier.demandes_rdv WHERE id = 4; ROLLBACK;
     BEGIN; SAVEPOINT a; UPDATE metier.demandes_rdv SET motif = 'again' WHERE id = 4; RELEASE a; COMMIT`,
  );
  for (const id of [101, 103]) await site.query(`DELETE FROM metier.demandes_rdv WHERE id = ${id}`);
  bad = await transaction('DELETE FROM metier.demandes_rdv WHERE id % 4 = 0');
  await site.backUp('physical');
});

describe('T5: reprise table locate', () => {
  it('T5: a row that must exist leads to the transaction that deleted it, by few restores, one replay and two moves', async () => {
    const found = await answer<Found>(site, 'table', 'locate', ...named, '--key', 'id=4');
    expect(found).toMatchObject({
      ...{ state: 'transaction', notes: [], replays: 1 },
      transaction: { xid: bad, updated: 0, inserted: 0, actions: [] },
      good: { what: 'commit', holds: true },
      bad: { what: 'commit', id: bad },
      next: `reprise table repair mairie mairie metier.demandes_rdv --xid ${bad}`,
    });
    // Both backups are looked into; that of the older one goes on with the replay.
    expect(found.restores).toBeLessThanOrEqual(2);
    expect(found.probes.filter(({ what }) => what === 'commit').map(({ holds }) => holds)).toEqual([true, false]);
    expect(await site.leftovers()).toEqual({ databases: [], files: [], processes: [] });
  });

  it('T5: a query of the configuration leads there too, counts that backups recorded spare restores, and the text fits the terminal', async () => {
    const found = await searched({ kind: 'invariant', name: 'enough' });
    expect(found).toMatchObject({ state: 'transaction', transaction: { xid: bad }, restores: 1, replays: 1 });
    const { code, stdout } = await site.cliAt(80, 'table', 'locate', ...named, '--min-rows', '1');
    expect(code).toBe(0);
    expect(stdout).toContain('it holds in production now');
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  it('T5: a query of the configuration runs read-only, as no superuser, one statement, and gives one boolean', async () => {
    const { host, port, user } = site.server;
    const connection = { host, port, user, maintenanceDatabase: 'postgres' };
    await site.query(
      `CREATE ROLE checks LOGIN; GRANT USAGE ON SCHEMA metier TO checks; GRANT SELECT ON metier.demandes_rdv TO checks;
       CREATE FUNCTION metier.who() RETURNS boolean LANGUAGE sql AS $$ SELECT current_user = 'checks' AND current_setting('transaction_read_only') = 'on' $$`,
    );
    const ask = (query: string, checksRole?: string, timeoutSeconds = 240) =>
      askInvariant(connection, checksRole === undefined ? {} : { checksRole }, 'mairie', {
        ...{ name: 'one', query, timeoutSeconds },
      });
    expect(await ask(ENOUGH)).toMatchObject({ holds: false });
    expect(await ask('SELECT metier.who()', 'checks')).toEqual({ holds: true, figure: 'the query gives true' });
    // A copy from before the role was made has none: then a login is made, or nothing of others is called.
    expect(await ask('SELECT metier.who()', 'never_made')).toMatchObject({ holds: false });
    for (const wrong of ['SELECT 1', 'SELECT true, true', 'SELECT NULL::boolean', 'SELECT true WHERE false'])
      await expect(ask(wrong, 'checks')).rejects.toMatchObject({ code: 'config-invalid' });
    await expect(ask('SELECT true; SELECT true', 'checks')).rejects.toMatchObject({ code: 'query-failed' });
    await expect(ask('SELECT pg_sleep(600) IS NULL', 'checks', 2)).rejects.toMatchObject({ code: 'query-timeout' });
    await expect(ask('DELETE FROM metier.demandes_rdv RETURNING true', 'checks')).rejects.toMatchObject({
      code: expect.stringMatching(/query-failed|privilege-missing/),
    });
    await site.query('DROP FUNCTION metier.who(); DROP OWNED BY checks; DROP ROLE checks');
  });

  it('T5: without a condition, with two, or of no column, it is refused with what to do', async () => {
    expect(await refusal(site, 'table', 'locate', ...named)).toMatchObject({ exit: 2, code: 'usage' });
    expect(await refusal(site, 'table', 'locate', ...named, '--min-rows', '1', '--key', 'id=1')).toMatchObject({
      exit: 2,
    });
    expect(await refusal(site, 'table', 'locate', ...named, '--invariant', 'other')).toMatchObject({
      ...{ exit: 6, code: 'not-found', hint: 'it has enough' },
    });
    const refused = (condition: TableCondition, order: Partial<LocateOrder> = {}): Promise<unknown> =>
      searched(condition, order).catch((error: unknown) => ((error as Error).cause as Error).cause);
    expect(await refused({ kind: 'key', column: 'nothing', value: '1' })).toMatchObject({ type: 'usage' });
    expect(await refused(key(4), { timeline: 9 })).toMatchObject({ type: 'not-found' });
    const table = { schema: 'metier', table: 'never_made' };
    expect(await refused({ kind: 'min-rows', rows: 1 }, { table })).toMatchObject({
      ...{ type: 'not-found', message: expect.stringContaining('neither production nor one of 2 backups has it') },
    });
  });
});

describe('T3: reprise table history', () => {
  it('T3: shows what each backup recorded, newest last, within 80 columns', async () => {
    const { history } = await answer<{ history: readonly TableHistoryLine[] }>(site, 'table', 'history', ...named);
    expect(history).toHaveLength(2);
    expect(history.map(({ change }) => (change ?? 0) < -500)).toEqual([false, true]);
    expect(history.every(({ bytes }) => (bytes ?? 0) > 50_000)).toBe(true);
    const { code, stdout } = await site.cliAt(80, 'table', 'history', ...named);
    expect(code).toBe(0);
    expect(stdout).toContain(String(history[1]?.rows));
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  it('T3: an abnormal change is told after the backup, with the figures, and only once', async () => {
    await site.query('CREATE TABLE metier.imports AS SELECT generate_series(1, 300) AS id');
    for (let count = 0; count < 3; count++) expect(await site.backUp('dump')).not.toHaveProperty('suspicions');
    await site.query('DELETE FROM metier.imports WHERE id > 10');
    const { suspicions, backups } = await site.backUp('dump');
    const table = { schema: 'metier', table: 'imports' };
    expect(suspicions).toMatchObject([{ database: 'mairie', table, change: -290, backupId: backups[0]?.id }]);
    expect(suspicions?.[0]?.text).toMatch(
      /^10 rows; 300 in the backup before \(-97 %\), 300 usually \(-97 %\); .* on disk, .* in the backup before$/,
    );
    const { history } = await answer<{ history: readonly TableHistoryLine[] }>(
      site,
      'table',
      'history',
      ...['mairie', 'mairie', 'metier.imports'],
    );
    expect(history.map(({ suspicion }) => suspicion !== null)).toEqual([false, false, false, true]);
    expect(await site.backUp('dump')).not.toHaveProperty('suspicions');
  });
});

describe('T5: a cluster that was recovered to an earlier instant', () => {
  it('T5: each of its two histories is searched by itself, backups of the other one are named, and what the left one lost is not repaired by number', async () => {
    const [, last] = (await site.backups()).filter(({ policy }) => policy === 'physical');
    const recovery = await site.recover('physical', { kind: 'before-xid', xid: bad });
    await site.approve(recovery);
    await site.recovered(recovery);
    const other = await transaction('DELETE FROM metier.demandes_rdv WHERE id % 5 = 0');
    await site.backUp('physical');
    // By counts, which backups have recorded: each is restored once.
    const enough: TableCondition = { kind: 'min-rows', rows: 2900 };
    const found = await searched(enough);
    expect(found).toMatchObject({ state: 'transaction', transaction: { xid: other }, restores: 1, replays: 1 });
    expect(found.notes).toContainEqual(
      expect.stringMatching(new RegExp(`^timeline 2 is searched: .*${last?.id}.* --timeline 1$`)),
    );
    const left = await searched(enough, { timeline: 1 });
    expect(left).toMatchObject({
      ...{ state: 'transaction', transaction: { xid: bad }, restores: 1, replays: 1 },
      next: `reprise explore start mairie --to before-xid:${bad} --timeline 1`,
    });
    expect(left.probes.map(({ what }) => what)).not.toContain('production');
    expect(left.notes.join()).toContain("timeline 1 is not production's");
    expect(await site.leftovers()).toEqual({ databases: [], files: [], processes: [] });
  });
});
