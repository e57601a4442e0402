import { beforeAll, describe, expect, it } from '@jest/globals';
import type { TableHistoryLine } from '../../../src/domain/table/history.js';
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

beforeAll(async () => {
  site = await Site.create();
  await site.startWorker();
  await site.backUp('physical');
  await site.commit(5);
  await site.backUp('physical');
  for (const id of [11, 13, 15]) await transaction(`DELETE FROM metier.demandes_rdv WHERE id = ${id}`);
  await transaction("UPDATE metier.demandes_rdv SET motif = 'moved' WHERE id = 17");
  bad = await transaction('DELETE FROM metier.demandes_rdv WHERE id % 4 = 0');
  await site.commit(3);
  await transaction('DELETE FROM metier.demandes_rdv WHERE id = 19');
  await site.backUp('physical');
  await site.commit(3);
}, 300_000);

describe('T5: reprise table locate', () => {
  it('T5: a row that must exist leads to the transaction that deleted it, by few restores and one replay', async () => {
    const found = await answer<Found>(site, 'table', 'locate', ...named, '--key', 'id=4');
    expect(found).toMatchObject({
      ...{ state: 'transaction', notes: [], replays: 1 },
      transaction: { xid: bad, updated: 0, inserted: 0, actions: [] },
      good: { what: 'commit', holds: true },
      bad: { what: 'commit', id: bad },
      next: `reprise table repair mairie mairie metier.demandes_rdv --xid ${bad}`,
    });
    // Three backups: two of them are looked into, and one is restored again for the replay.
    expect(found.restores).toBeLessThanOrEqual(3);
    expect(await site.leftovers()).toEqual({ databases: [], files: [], processes: [] });
  });

  it('T5: counts that backups recorded spare restores, and the text fits the terminal', async () => {
    const found = await answer<Found>(site, 'table', 'locate', ...named, '--min-rows', '2900');
    expect(found).toMatchObject({ state: 'transaction', transaction: { xid: bad }, restores: 1, replays: 1 });
    const { code, stdout } = await site.cliAt(80, 'table', 'locate', ...named, '--min-rows', '1');
    expect(code).toBe(0);
    expect(stdout).toContain('it holds in production now');
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  it('T5: without a condition, with two, or of no column, it is refused with what to do', async () => {
    expect(await refusal(site, 'table', 'locate', ...named)).toMatchObject({ exit: 2, code: 'usage' });
    expect(await refusal(site, 'table', 'locate', ...named, '--min-rows', '1', '--key', 'id=1')).toMatchObject({
      exit: 2,
    });
    expect(await refusal(site, 'table', 'locate', ...named, '--key', 'nothing=1')).toMatchObject({ exit: 2 });
  });
});

describe('T3: reprise table history', () => {
  it('T3: shows what each backup recorded, newest last, within 80 columns', async () => {
    const { history } = await answer<{ history: readonly TableHistoryLine[] }>(site, 'table', 'history', ...named);
    expect(history).toHaveLength(3);
    expect(history.map(({ change }) => (change ?? 0) < -500)).toEqual([false, false, true]);
    const { code, stdout } = await site.cliAt(80, 'table', 'history', ...named);
    expect(code).toBe(0);
    expect(stdout).toContain(String(history[2]?.rows));
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });
});
