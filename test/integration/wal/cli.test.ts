import { readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { WalTransactionsAnswer } from '../../../src/domain/operation/wal-transactions.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { answer, refusal, told } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

type Answer = WalTransactionsAnswer & { readonly schemaVersion: 1; readonly cluster: string };

describe('M3: reprise wal transactions', () => {
  let site: Site;
  let table: readonly string[];
  /** Before the table was dropped. */
  let xid: string;

  beforeAll(async () => {
    site = await Site.create({ segmentMb: 16 });
    await site.startWorker();
    // Makes the archive.
    await site.backUp('physical');
    await site.query('CREATE TABLE metier.dropped (id int PRIMARY KEY)');
    await site.query('INSERT INTO metier.dropped SELECT generate_series(1, 5)');
    const { rows } = await site.query(
      `WITH gone AS (DELETE FROM metier.dropped WHERE id < 3) SELECT pg_current_xact_id()::text AS xid`,
    );
    xid = (rows[0] as { xid: string }).xid;
    await site.query('DROP TABLE metier.dropped');
    await site.query('CREATE TABLE metier."Visits" (id int PRIMARY KEY, note text)');
    await site.query('INSERT INTO metier."Visits" SELECT g, \'x\' FROM generate_series(1, 500) g');
    await site.closeSegment();
    await site.query('DELETE FROM metier."Visits" WHERE id <= 400');
    table = ['wal', 'transactions', 'mairie', '--from', '-2h', '--database', 'mairie', '--table', 'metier."Visits"'];
  });

  it('M3: lists what the archive and the server itself have, as a table of 80 columns and as JSON', async () => {
    const found = await answer<Answer>(site, ...table);
    expect(found).toMatchObject({
      ...{ schemaVersion: 1, cluster: 'mairie', policy: 'physical', complete: true, missing: [], more: 0 },
      transactions: [
        {
          ...{ inserted: 0, updated: 0, deleted: 400, actions: [] },
          tables: [{ database: 'mairie', schema: 'metier', table: 'Visits', deleted: 400 }],
        },
        { inserted: 500, updated: 0, deleted: 0 },
      ],
      names: { from: 'server', reason: null },
    });
    const { code, stdout } = await site.cliAt(80, ...table);
    expect(code).toBe(0);
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(stdout).toContain('metier."Visits"');
    expect(stdout).toContain(found.transactions[0]?.xid);
    expect((await answer<Answer>(site, ...table, '--min-rows', '450')).transactions).toHaveLength(1);
    // A read leaves nothing behind.
    expect((await site.leftovers()).files).toStrictEqual([]);
  });

  it('M3: a table that was dropped is named by a copy of an earlier time, which is gone afterwards', async () => {
    const asked = [
      'wal',
      'transactions',
      'mairie',
      '--from',
      '-2h',
      '--database',
      'mairie',
      '--table',
      'metier.dropped',
    ];
    expect((await refusal(site, ...asked)).hint).toContain('--names-at');
    const found = await answer<Answer>(site, ...asked, '--names-at', `xid:${xid}`);
    expect(found.names).toMatchObject({ from: 'instance', reason: null, at: `xid:${xid}` });
    expect(found.transactions.map(({ xid: one, inserted, deleted }) => [one === xid, inserted, deleted])).toStrictEqual(
      [
        [false, 0, 0],
        [true, 0, 2],
        [false, 5, 0],
      ],
    );
    expect(found.transactions[0]?.actions).toMatchObject([{ action: 'dropped', schema: 'metier', table: 'dropped' }]);
    expect(await site.leftovers()).toStrictEqual({ databases: [], files: [], processes: [] });
    expect(await refusal(site, ...asked, '--names-in', '20261121-083600-a1b2c3')).toMatchObject({ code: 'not-found' });
    const both = await refusal(site, ...asked, '--names-at', `xid:${xid}`, '--names-in', 'x');
    expect(both).toMatchObject({ exit: 2, code: 'usage' });
  });

  it('M3: what cannot be asked is refused with what to do', async () => {
    const asked = ['wal', 'transactions', 'mairie', '--from', '-2h'];
    expect(await refusal(site, ...asked, '--table', 'metier.x')).toMatchObject({ exit: 2, code: 'usage' });
    expect(await refusal(site, ...asked, '--database', 'mairie', '--table', 'x')).toMatchObject({ exit: 2 });
    expect(await refusal(site, ...asked, '--database', 'mairie', '--table', 'metier.gone')).toMatchObject({ exit: 6 });
    expect(await refusal(site, ...asked, '--database', 'other')).toMatchObject({ exit: 6, code: 'not-found' });
    expect(await refusal(site, ...asked, '--policy', 'dump')).toMatchObject({ exit: 9, code: 'capability-missing' });
    expect(await refusal(site, ...asked, '--to', '-3h')).toMatchObject({ exit: 2 });
  });

  it('M3: WAL that is missing is named, with exit code 3; without the server tables have numbers', async () => {
    const name = await site.archiveSegment();
    const archive = join(site.root, 'pgb', 'repo', 'archive');
    const archived = async (): Promise<string[]> =>
      (await readdir(archive, { recursive: true })).filter((name) => /[0-9A-F]{24}-[0-9a-f]{40}/.test(name)).toSorted();
    await site.loseInstance('all');
    const without = await told<Answer>(site, 'wal', 'transactions', 'mairie', '--from', '-2h');
    expect(without.document.names).toMatchObject({ from: 'nowhere', reason: 'the server does not answer' });
    expect(without.document.transactions.some(({ deleted }) => deleted === 400)).toBe(true);
    // Nobody knows what the server wrote last.
    expect(without).toMatchObject({
      exit: 3,
      error: { code: 'partly-done' },
      document: { missing: [{ kind: 'after' }] },
    });
    expect(await refusal(site, ...table)).toMatchObject({ exit: 5, code: 'database-unreachable' });
    const taken = (await archived()).find((path) => path.includes(name)) ?? '';
    await rename(join(archive, taken), join(site.root, 'taken'));
    const gap = await told<Answer>(site, 'wal', 'transactions', 'mairie', '--from', '-2h');
    expect(gap).toMatchObject({ exit: 3, document: { complete: false } });
    expect(gap.document.transactions.some(({ deleted }) => deleted === 400)).toBe(false);
  });
});
