import type pg from 'pg';
import type { AppliedChanges, ChangeSetHeader, RowChange } from '../../src/domain/table/repair.js';
import type { TableName } from '../../src/domain/table/table-name.js';
import { withClient } from '../../src/postgres/connection/with-client.js';
import { type ApplyOptions, applyChanges } from '../../src/postgres/repair/apply-changes.js';
import { planConflicts, type PlanConflicts } from '../../src/postgres/repair/plan-conflicts.js';
import { closeRepairLogin, openRepairLogin } from '../../src/postgres/repair/repair-login.js';
import { readTableFacts, type TableFacts } from '../../src/postgres/repair/table-facts.js';
import type { TestDatabase } from './postgres.js';

/** Repairs of tables of a database, without the operation around them. */
export interface RepairBench {
  /** As the operation does it: with a login of its own. */
  asRepair<T>(table: TableName, use: (client: pg.Client, facts: TableFacts) => Promise<T>): Promise<T>;
  plan(header: ChangeSetHeader, changes: readonly RowChange[], fireTriggers?: boolean): Promise<PlanConflicts>;
  apply(
    header: ChangeSetHeader,
    changes: readonly RowChange[],
    options?: Partial<ApplyOptions>,
  ): Promise<AppliedChanges>;
}

export function repairBench(database: TestDatabase): RepairBench {
  const { host, port, user } = database;
  const server = { host, port, user, maintenanceDatabase: 'postgres' };
  const operationId = database.name;
  const asRepair: RepairBench['asRepair'] = (table, use) =>
    withClient(server, database.name, async (superuser) => {
      const facts = await readTableFacts(superuser, table);
      const login = await openRepairLogin(superuser, server, { operationId, table }, facts);
      try {
        return await withClient(login.connection, database.name, (client) => use(client, facts), login.options);
      } finally {
        await closeRepairLogin(superuser, operationId);
      }
    });
  const stop: ApplyOptions = {
    ...{ fireTriggers: false, onChanged: 'stop', from: 0 },
    beforeCommit: () => Promise.resolve(),
  };
  return {
    asRepair,
    plan: (header, changes, fireTriggers = false) =>
      asRepair(header.table, (client, facts) => planConflicts(client, header, facts, changes, { fireTriggers })),
    apply: (header, changes, options = {}) =>
      asRepair(header.table, (client, facts) => applyChanges(client, header, facts, changes, { ...stop, ...options })),
  };
}
