import { beforeAll, describe, expect, it } from '@jest/globals';
import type { RepairOrder } from '../../../src/domain/operation/orders.js';
import { withClient } from '../../../src/postgres/connection/with-client.js';
import { namingHolders } from '../../../src/postgres/repair/lock-holders.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { RepairLab } from '../../helpers/repair-lab.js';
import { OtherTablesRound } from '../../helpers/other-tables-suite.js';
import { ReplaceRound } from '../../helpers/replace-suite.js';
import { Site } from '../../helpers/site.js';
import { prepareRandomTables, undoRound } from '../../helpers/undo-suite.js';
import { until } from '../../helpers/until.js';
import { WritersRound } from '../../helpers/writers-suite.js';
import { seedOr } from '../../chaos/random.js';

failOnLeakedProcesses();

let lab: RepairLab;

beforeAll(async () => {
  const site = await Site.create();
  lab = await RepairLab.of(site);
  await prepareRandomTables(lab);
  await site.startWorker();
  await site.backUp('physical');
});

describe('M1: a table that a transaction under way has locked where a temporary instance stands', () => {
  const table = { schema: 'metier', table: 'held' };
  const target = async () => ({ kind: 'lsn' as const, lsn: await lab.now() });

  it('M1, M4: is read as it was committed, compared, searched and put back, a key in another text too; the instance goes on to a later target after that', async () => {
    const { site } = lab;
    await site.query(
      `CREATE TABLE metier.held (n int PRIMARY KEY) PARTITION BY RANGE (n);
       CREATE TABLE metier.held_1 PARTITION OF metier.held FOR VALUES FROM (0) TO (10);
       INSERT INTO metier.held SELECT n FROM generate_series(1, 5) n;
       CREATE TABLE metier.rated (k numeric PRIMARY KEY); INSERT INTO metier.rated VALUES (1.0), (2)`,
    );
    await site.query(
      `BEGIN; TRUNCATE metier.held_1; INSERT INTO metier.held_1 VALUES (9); PREPARE TRANSACTION 'it''s'`,
    );
    const held = await target();
    // Who waits for it is told so: it has no session.
    const told: string[] = [];
    const waiting = withClient(lab.connection, 'mairie', (reader) =>
      withClient(lab.connection, 'postgres', (watcher) =>
        namingHolders(
          watcher,
          reader,
          (holders) => void told.push(holders),
          () => reader.query('SELECT FROM metier.held_1'),
        ),
      ),
    );
    await until(() => Promise.resolve(told.length > 0), 'it is told who holds the table');
    await site.query(`COMMIT PREPARED 'it''s'`);
    await waiting;
    expect(told[0]).toMatch(/^prepared transaction "it's" of "\w+" since .*Z, which ends by COMMIT PREPARED/);
    const after = await target();
    await lab.archived();
    const order = {
      database: 'mairie',
      table,
      source: { kind: 'state', at: held, policy: 'physical' },
      strategy: 'replace',
    };
    await lab.withInstances('held', { good: held }, async () => {
      const probe = {
        order: { database: 'mairie', table, condition: { kind: 'min-rows', rows: 5 } },
        instance: 'good',
      };
      expect(await lab.run('probeTable', 'held', probe)).toMatchObject({ holds: true });
      const comparison = { instance: 'good', order: { database: 'mairie', table, good: held, samples: 10 } };
      expect(await lab.run('compareTable', 'held', comparison)).toMatchObject({ missing: 5, extra: 1 });
      expect(await lab.collect('held', order as RepairOrder)).toBe('compared');
      const plan = await lab.plan('held', order as RepairOrder);
      expect(plan.binding.changes).toMatchObject({ insert: 5, delete: 1 });
      // The same key, written otherwise: one row, which is neither lost nor there twice.
      await site.query('UPDATE metier.rated SET k = 1.00 WHERE k = 1');
      const rated = { ...order, table: { schema: 'metier', table: 'rated' } } as RepairOrder;
      // Neither is it too many, also where only the one that is there now is in the scope.
      for (const scope of [undefined, [{ column: 'k', in: ['1.00'] }]]) {
        const extra = { ...rated, strategy: 'delete-extra', ...(scope && { scope }) } as RepairOrder;
        await lab.collect('held', extra);
        const none = await lab.plan(`held-extra-${String(scope === undefined)}`, extra, 'held');
        expect(none.binding.changes).toMatchObject({ insert: 0, update: 0, delete: 0, conflicts: 0 });
      }
      await lab.collect('held', rated);
      const put = await lab.plan('held-rated', rated, 'held');
      expect(put.binding.changes).toMatchObject({ insert: 0, update: 1, delete: 0, conflicts: 0 });
      await lab.carryOut('held-rated', put);
      expect((await site.query('SELECT k::text FROM metier.rated ORDER BY k')).rows).toEqual([
        { k: '1.0' },
        { k: '2' },
      ]);
      await lab.run('moveInstance', 'held', { instance: 'good', target: after });
      expect(await lab.run('compareTable', 'held', comparison)).toMatchObject({ missing: 0, extra: 0, same: 1 });
    });
  });
});

describe('Repairs of random tables, by a seed', () => {
  const seed = seedOr(1);

  it('M4, T6: one transaction is undone as if it had never been, but for what nobody can decide, also where it made another table of one; other damage is put back by each strategy; nothing is lost of what people write meanwhile; all is taken back', async () => {
    const writers = new WritersRound(lab, seed);
    try {
      expect(
        await undoRound(lab, seed, 8, [new ReplaceRound(lab, seed + 1, 6), writers, new OtherTablesRound(lab)]),
      ).toEqual([]);
    } finally {
      await writers.end();
    }
  });

  it('T6: any damage is put back from a dump, and taken back', async () => {
    expect(await new ReplaceRound(lab, seed + 2, 3).fromDump()).toEqual([]);
  });
});
