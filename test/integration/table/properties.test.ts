import { beforeAll, describe, expect, it } from '@jest/globals';
import type { RepairOrder } from '../../../src/domain/operation/orders.js';
import { withClient } from '../../../src/postgres/connection/with-client.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { RepairLab } from '../../helpers/repair-lab.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

let lab: RepairLab;

beforeAll(async () => {
  const site = await Site.create();
  lab = await RepairLab.of(site);
  await site.query('ALTER SYSTEM SET max_prepared_transactions = 5');
  await site.loseInstance('killed');
  await site.startServer();
  await site.startWorker();
  await site.backUp('physical');
}, 300_000);

describe('M1: a table that a transaction under way has locked where a temporary instance stands', () => {
  const table = { schema: 'metier', table: 'held' };
  const target = async () => {
    const { rows } = await lab.site.query(`SELECT pg_logical_emit_message(true, 'test', 'x')::text AS lsn`);
    return { kind: 'lsn' as const, lsn: (rows[0] as { lsn: string }).lsn };
  };

  it('M1: is read as it was committed, compared, searched and put back; the instance goes on to a later target after that', async () => {
    const { site } = lab;
    await site.query(
      `CREATE TABLE metier.held (n int PRIMARY KEY) PARTITION BY RANGE (n);
       CREATE TABLE metier.held_1 PARTITION OF metier.held FOR VALUES FROM (0) TO (10);
       INSERT INTO metier.held SELECT n FROM generate_series(1, 5) n`,
    );
    await withClient(lab.connection, 'mairie', async (first) => {
      await first.query(
        `BEGIN; TRUNCATE metier.held_1; INSERT INTO metier.held_1 VALUES (9); PREPARE TRANSACTION 'it''s'`,
      );
      const held = await target();
      await first.query(`COMMIT PREPARED 'it''s'`);
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
        await lab.run('moveInstance', 'held', { instance: 'good', target: after });
        expect(await lab.run('compareTable', 'held', comparison)).toMatchObject({ missing: 0, extra: 0, same: 1 });
      });
    });
  });
});
