import type { ConnectionConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import type { RepairOrder } from '../../domain/operation/orders.js';
import {
  type AppliedChanges,
  type ChangeCounts,
  changedRows,
  isRepairPlan,
  type RowChange,
} from '../../domain/table/repair.js';
import { withMaintenance } from '../../postgres/connection/with-client.js';
import { applyChanges, changedSince, endTransaction, transactionEnd } from '../../postgres/repair/apply-changes.js';
import { type ReadChangeSet, withChangeSet } from '../../postgres/repair/change-set-file.js';
import { namingHolders } from '../../postgres/repair/lock-holders.js';
import type { TableFacts } from '../../postgres/repair/table-facts.js';
import { writeXidsDown } from '../../postgres/repair/written-xid.js';
import { crashPoint } from '../../process/jobs/crash-points.js';
import { openHostState } from '../../records/host-state.js';
import { keepBegunChanges, noteBatch, readBatch, type RepairFiles } from '../../records/repair-files.js';
import type { ActivityRun } from '../activity-wrapper.js';
import type { PlannedStep, RepairRequest } from '../api.js';
import { authorizePlan } from '../approval/authorize.js';
import type { ClusterContext } from '../cluster-context.js';
import type pg from 'pg';
import { otherBlocking } from './blocking.js';
import {
  asRepair,
  opened,
  changesOnly,
  requireSameCluster,
  APPLIED,
  appliedBy,
  countsOf,
  STARTED,
} from './repair-session.js';

/** Every row is still as the plan saw it, or another plan is made. */
export async function recheck(
  clusterContext: ClusterContext,
  request: RepairRequest & { readonly plan: string },
): Promise<{ digest: string; changed: readonly string[] }> {
  const state = openHostState(clusterContext.host.stateDir);
  // Rows that the repair itself has changed are not as the plan saw them.
  if (await state.hasBegun(request.plan)) return { digest: request.plan, changed: [] };
  const { binding, facts, files } = await opened(clusterContext, request.plan, request.operationId);
  const other = await otherBlocking(clusterContext, binding);
  if (other !== null) return { digest: '', changed: [other] };
  const changed = await withChangeSet(files.changes, binding.changes, (changes) =>
    asRepair(clusterContext, binding.order, request.operationId, facts, (client) =>
      changedSince(client, changes.header, facts, changesOnly(changes)),
    ),
  );
  if (changed.length === 0) return { digest: request.plan, changed: [] };
  return { digest: '', changed: [`${changed.length} rows changed since the plan was made`] };
}

/** Makes the changes of an approved plan, in one transaction or in batches; repeated, it goes on where it was. */
export async function apply(
  clusterContext: ClusterContext,
  step: PlannedStep,
  run: ActivityRun,
): Promise<ChangeCounts> {
  const { host, cluster } = clusterContext;
  const { connection } = cluster;
  const state = openHostState(host.stateDir);
  const done = await appliedBy(state, step.operationId, step.plan);
  if (done !== null) return countsOf(done);
  const { binding } = await authorizePlan(clusterContext, step, isRepairPlan);
  await state.recordDone(step.operationId, STARTED, new Date().toISOString(), step.plan);
  const { facts, files } = await opened(clusterContext, step.plan, step.operationId);
  await requireSameCluster(clusterContext, binding);
  await keepBegunChanges(files, step.plan);
  await state.markBegun(step.plan);
  const applied = await withChangeSet(files.changes, binding.changes, (changes) =>
    asRepair(clusterContext, binding.order, step.operationId, facts, async (client, watcher) => {
      const total: { -readonly [K in keyof AppliedChanges]: AppliedChanges[K] } = {
        insert: 0,
        update: 0,
        delete: 0,
        left: [],
      };
      let [batch, from] = [0, 0];
      for await (const rows of batchesOf(changesOnly(changes), binding.order.batchRows)) {
        run.signal.throwIfAborted();
        const report = (phase: string): void =>
          run.report({ phase, done: from, total: changedRows(binding.changes), unit: 'steps' });
        report('change the rows');
        const one = await namingHolders(
          watcher,
          client,
          (holders) => report(`wait for the locks of ${holders}`),
          () =>
            oneBatch(
              client,
              { connection, changes, facts, files, step, batch: batch++, from, order: binding.order },
              rows.entries,
            ),
        );
        crashPoint('repair:committed', String(batch - 1));
        total.insert += one.insert;
        total.update += one.update;
        total.delete += one.delete;
        total.left = [...total.left, ...one.left];
        from += rows.count();
      }
      return total;
    }),
  );
  await state.recordDone(step.operationId, APPLIED, { ...applied, plan: step.plan }, step.plan);
  crashPoint('repair:recorded');
  await state.recordDone(step.operationId, APPLIED, { ...applied, plan: step.plan });
  return countsOf(applied);
}

/** Rows of one transaction, and how many they were once they were read. Those that need each other are in one, however many they are. */
async function* batchesOf(
  changes: AsyncGenerator<RowChange>,
  size = Number.POSITIVE_INFINITY,
): AsyncGenerator<{ readonly entries: AsyncIterable<RowChange>; readonly count: () => number }> {
  let next = await changes.next();
  while (next.done !== true) {
    let count = 0;
    const entries = (async function* () {
      crashPoint('repair:copying');
      while (next.done !== true && (count < size || next.value.together === true)) {
        count++;
        yield next.value;
        next = await changes.next();
      }
    })();
    yield { entries, count: () => count };
    // One that was committed before is passed over.
    for await (const _ of entries);
  }
}

interface Batch {
  readonly connection: ConnectionConfig;
  readonly changes: ReadChangeSet;
  readonly facts: TableFacts;
  readonly files: RepairFiles;
  readonly step: PlannedStep;
  readonly batch: number;
  readonly from: number;
  readonly order: RepairOrder;
}

async function oneBatch(
  client: pg.Client,
  { connection, changes, facts, files, step, batch, from, order }: Batch,
  rows: AsyncIterable<RowChange>,
): Promise<AppliedChanges> {
  const noted = await readBatch(files, step.plan, batch);
  if (noted !== null && (await hasCommitted(client, noted.xid))) return noted.done;
  return applyChanges(client, changes.header, facts, rows, {
    fireTriggers: order.fireTriggers === true,
    onChanged: order.batchRows === undefined ? 'stop' : 'leave',
    from,
    beforeCommit: async (xid, done) => {
      await withMaintenance(connection, writeXidsDown);
      await noteBatch(files, step.plan, batch, { xid, done });
      crashPoint('repair:noted', String(batch));
    },
  });
}

/** @throws RepriseError `busy` while it runs; `internal` where the server has forgotten it */
async function hasCommitted(client: pg.Client, xid: string): Promise<boolean> {
  switch (await transactionEnd(client, xid)) {
    case 'committed':
      return true;
    case 'aborted':
      return false;
    case 'in progress':
      await endTransaction(client, xid);
      throw new RepriseError('busy', `transaction ${xid} of an earlier attempt still runs: it was told to end`);
    case 'unknown':
      throw new RepriseError(
        'internal',
        `the server does not know any more whether transaction ${xid} was committed`,
        'compare the table with the change set of the plan by hand, before anything is changed again',
      );
  }
}
