import type pg from 'pg';
import type { RepairOrder } from '../../src/domain/operation/orders.js';
import type { RepairLab } from './repair-lab.js';
import { type Beside, emptySchemas, OWNER } from './undo-suite.js';

const SCHEMA = 'swapped';

/** Tables of which the bad transaction makes others: another one under its name, one with other partitions. No row of that is in the WAL. */
export class OtherTablesRound implements Beside {
  constructor(private readonly lab: RepairLab) {}

  async before(): Promise<void> {
    await emptySchemas(this.lab, [SCHEMA]);
    await this.lab.site.query(`SET ROLE ${OWNER}; SET search_path = ${SCHEMA};
      CREATE TABLE swap (id int PRIMARY KEY, v text); INSERT INTO swap SELECT n, 'good' FROM generate_series(1, 5) n;
      CREATE TABLE swap_new (id int PRIMARY KEY, v text); INSERT INTO swap_new SELECT n, 'bad' FROM generate_series(4, 8) n;
      CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
      CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10); CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
      CREATE TABLE parts_3 (id int NOT NULL, v text); INSERT INTO parts SELECT n, 'good' FROM generate_series(8, 15) n;
      INSERT INTO parts_3 VALUES (21, 'bad'), (22, 'bad')`);
  }

  async bad(client: pg.Client): Promise<void> {
    await client.query(`SET LOCAL search_path = ${SCHEMA}; ALTER TABLE swap RENAME TO swap_old; ALTER TABLE swap_new RENAME TO swap;
      UPDATE swap SET v = 'worse' WHERE id = 8; UPDATE parts SET v = 'bad' WHERE id = 8;
      ALTER TABLE parts DETACH PARTITION parts_2; ALTER TABLE parts ATTACH PARTITION parts_3 FOR VALUES FROM (20) TO (30)`);
  }

  /** Under its name of now it was not there then. */
  private async renamedSince(operationId: string, xid: string): Promise<readonly string[]> {
    await this.lab.site.query(`ALTER TABLE ${SCHEMA}.swap_old RENAME TO older`);
    const order: RepairOrder = {
      ...{ database: 'mairie', table: { schema: SCHEMA, table: 'older' }, strategy: 'undo' },
      source: { kind: 'transaction', xid, policy: 'physical' },
    };
    const said = await this.lab.collect(operationId, order).catch((error: unknown) => (error as Error).message);
    return said === 'there was no table swapped.older just before the transaction' ? [] : [`older: ${said}`];
  }

  async after(operationId: string, xid: string): Promise<readonly string[]> {
    const problems = [...(await this.renamedSince(operationId, xid))];
    for (const [table, wanted] of [
      ['swap', { insert: 3, update: 2, delete: 3, conflicts: 0 }],
      // Of the rows of the partition that is detached, no partition takes any.
      ['parts', { insert: 0, update: 1, delete: 2, conflicts: 6 }],
    ] as const) {
      const order: RepairOrder = {
        ...{ database: 'mairie', table: { schema: SCHEMA, table }, strategy: 'undo' },
        source: { kind: 'transaction', xid, policy: 'physical' },
      };
      await this.lab.collect(operationId, order);
      const { binding } = await this.lab.plan(`${operationId}-${table}`, order, operationId);
      const { insert, update, delete: removed, conflicts } = binding.changes;
      const found = { insert, update, delete: removed, conflicts };
      if (JSON.stringify(found) !== JSON.stringify(wanted)) problems.push(`${table}: ${JSON.stringify(found)}`);
    }
    return problems;
  }
}
