import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { cp } from 'node:fs/promises';
import type { HostActivities } from '../../src/activities/api.js';
import type { HostDependencies } from '../../src/activities/dependencies.js';
import { createHostActivities } from '../../src/activities/index.js';
import { APPLIED } from '../../src/activities/table/repair-session.js';
import { runInspection } from '../../src/client/inspect.js';
import { loadConfig } from '../../src/config/load.js';
import type { InstanceOrder, RepairOrder } from '../../src/domain/operation/orders.js';
import type { AppliedChanges, RepairPlan, RowChange, RowConflict } from '../../src/domain/table/repair.js';
import { withClient } from '../../src/postgres/connection/with-client.js';
import { applyChanges } from '../../src/postgres/repair/apply-changes.js';
import { type ChangeSetEntry, withChangeSet } from '../../src/postgres/repair/change-set-file.js';
import { closeRepairLogin, openRepairLogin } from '../../src/postgres/repair/repair-login.js';
import { readTableFacts } from '../../src/postgres/repair/table-facts.js';
import { openHostState } from '../../src/records/host-state.js';
import { keepBegunChanges, openRepairFiles } from '../../src/records/repair-files.js';
import { hostDependencies } from '../../src/worker/dependencies.js';
import type { Site } from './site.js';

const POLICY = 'physical';

/** Steps of repairs and of temporary instances, called as a workflow calls them, without one: many repairs share their instances. */
export class RepairLab {
  private readonly steps: HostActivities;

  private constructor(
    readonly site: Site,
    readonly deps: HostDependencies,
  ) {
    this.steps = createHostActivities(deps);
  }

  static async of(site: Site): Promise<RepairLab> {
    return new RepairLab(site, hostDependencies(await loadConfig({ file: site.places.configFile }), 'db1'));
  }

  get connection() {
    return { ...this.site.server, maintenanceDatabase: 'postgres' };
  }

  async run<T>(name: keyof HostActivities, operationId: string, input: object): Promise<T> {
    const workflowId = `table-repair/mairie/${operationId}`;
    const environment = new MockActivityEnvironment(
      { workflowExecution: { workflowId, runId: `run-of-${operationId}` } },
      { logger: new DefaultLogger('ERROR') },
    );
    const activity = this.steps[name] as unknown as (given: object) => Promise<T>;
    return environment.run(activity, { cluster: 'mairie', operationId, workflowId, requester: 'test', ...input });
  }

  /** Runs with temporary instances at these targets, by their names. */
  async withInstances<T>(
    operationId: string,
    instances: Readonly<Record<string, InstanceOrder['target']>>,
    body: () => Promise<T>,
    policy = POLICY,
  ): Promise<T> {
    const names = Object.keys(instances);
    try {
      for (const [instance, target] of Object.entries(instances)) {
        await this.run('planInstance', operationId, { instance, order: { target, policy, databases: ['mairie'] } });
        await this.run('openInstance', operationId, { instance });
      }
      return await body();
    } finally {
      for (const instance of names)
        await this.run('closeInstance', operationId, { instance, ends: instance === names.at(-1) });
    }
  }

  /** Reads the damaged rows of one table as the workflow does: by their places, else by a comparison of both states. */
  async collect(operationId: string, order: RepairOrder): Promise<'by place' | 'compared'> {
    const from = (states: readonly string[]) => states.map((state) => ({ state, instance: state }));
    const collected = async (states: readonly string[]): Promise<boolean> =>
      (await this.run<{ exact: boolean }>('collectRows', operationId, { order, from: from(states) })).exact;
    if (order.source.kind === 'state') return (await collected(['good'])) ? 'compared' : 'by place';
    if ((await collected(['good'])) && (await collected(['bad']))) return 'by place';
    await collected(['good', 'bad']);
    return 'compared';
  }

  /** @param from the operation that has collected the rows, where that is another one */
  async plan(operationId: string, order: RepairOrder, from = operationId): Promise<RepairPlan> {
    if (from !== operationId) {
      const [source, own] = [await this.files(from), await this.files(operationId)];
      await cp(source.directory, own.directory, { recursive: true });
    }
    return this.run<RepairPlan>('planRepair', operationId, { order });
  }

  private files(operationId: string) {
    return openRepairFiles(this.site.places.stateDir, operationId);
  }

  /** Makes the changes of a plan with the rights of a repair, and notes it as done, so that it can be taken back. */
  async carryOut(operationId: string, { digest, binding, observed }: RepairPlan): Promise<AppliedChanges> {
    const { database, table, batchRows } = binding.order;
    const done = await withClient(this.connection, database, async (client) => {
      const facts = await readTableFacts(client, table);
      const login = await openRepairLogin(client, this.connection, { operationId, table }, facts);
      const total: { -readonly [K in keyof AppliedChanges]: AppliedChanges[K] } = {
        insert: 0,
        update: 0,
        delete: 0,
        left: [],
      };
      try {
        await withClient(
          login.connection,
          database,
          (session) =>
            withChangeSet(observed.file, binding.changes, async ({ header, entries }) => {
              const changes: RowChange[] = [];
              for await (const entry of entries()) if (entry.op !== 'conflict') changes.push(entry);
              const size = batchRows ?? Math.max(1, changes.length);
              for (let from = 0; from < changes.length; from += size) {
                const one = await applyChanges(session, header, facts, changes.slice(from, from + size), {
                  ...{ fireTriggers: false, onChanged: batchRows === undefined ? 'stop' : 'leave', from },
                  beforeCommit: () => Promise.resolve(),
                });
                total.insert += one.insert;
                total.update += one.update;
                total.delete += one.delete;
                total.left = [...total.left, ...one.left];
              }
            }),
          login.options,
        );
      } finally {
        await closeRepairLogin(client, operationId);
      }
      return total;
    });
    await keepBegunChanges(await this.files(operationId), digest);
    await openHostState(this.site.places.stateDir).recordDone(operationId, APPLIED, { ...done, plan: digest }, digest);
    return done;
  }

  /** What a plan lists for people. */
  async conflicts({ binding, observed }: RepairPlan): Promise<readonly RowConflict[]> {
    const found: RowConflict[] = [];
    await withChangeSet(observed.file, binding.changes, async ({ entries }) => {
      for await (const entry of entries()) if (isConflict(entry)) found.push(entry);
    });
    return found;
  }

  /** Where the WAL is, after all that is committed by now. */
  async now(): Promise<string> {
    const { rows } = await this.site.query(`SELECT pg_logical_emit_message(true, 'test', 'x')::text AS lsn`);
    return (rows[0] as { lsn: string }).lsn;
  }

  /** The archive has all that is committed by now. */
  async archived(): Promise<void> {
    const { site } = this;
    const { rows } = await site.query(
      `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS now, pg_logical_emit_message(true, 'test', 'x')`,
    );
    const { now } = rows[0] as { now: string };
    await site.closeSegment();
    await site.waitFor(async () => {
      const { windows } = await runInspection<'wal'>(site.session, { kind: 'wal', cluster: 'mairie' });
      return windows.some(({ newest }) => (newest ?? '') >= now);
    }, 'the archive has all commits');
  }
}

const isConflict = (entry: ChangeSetEntry): entry is RowConflict & { readonly op: 'conflict' } =>
  entry.op === 'conflict';
