import { CancellationScope } from '@temporalio/workflow';
import type { RepairRequest } from '../../activities/api.js';
import { repairClaim } from '../../domain/operation/locks.js';
import { changedRows, type RepairOutcome, type RepairPlan } from '../../domain/table/repair.js';
import {
  approveRepairCommand,
  repairApprovalDetails,
  repairDetails,
  repairedDetails,
  repairWaiting,
} from '../../domain/table/repair-text.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import type { RepairInput, RepairOutput } from '../api.js';
import { moveTemporaryInstance, withTemporaryInstance } from '../explore/temporary-instance.js';
import { underLock } from '../lock/with-cluster-lock.js';
import { confirmIncident, tellRepaired } from '../operation/confirm-incident.js';
import { heavyActivities, hostActivitiesFor, readActivities } from '../operation/activity-proxies.js';
import {
  ApprovedOperation,
  type ApprovedSteps,
  type PlanWords,
  rejectedOutput,
} from '../operation/approved-operation.js';
import { Operation } from '../operation/open-operation.js';
import { failureOf, refusal, runOperation, sentence } from '../operation/operation-status.js';
import { runStep } from '../operation/run-step.js';
import { BlockedWrites, blocksWrites } from './block-writes.js';
import { ReturnToService } from './return-to-service.js';

/** Names of the temporary instances of a repair. */
const [GOOD, BAD] = ['good', 'bad'] as const;

/**
 * Puts rows of one table right: finds the damaged rows in temporary instances, compares them with the table as it is, waits for the
 * approval of the very changes, makes them, and reports.
 */
export async function repairTable(input: RepairInput): Promise<RepairOutput> {
  const operation = new Operation('table-repair', input);
  const approved = new ApprovedOperation<RepairPlan, RepairOutcome>(operation);
  operation.action = 'table-repair';
  const { status } = operation;
  return runOperation(status, async () => {
    const steps = new RepairSteps(input, approved);
    const ending = await approved.run(steps);
    if (ending.state === 'rejected')
      return { ...rejectedOutput(status, ending), ...(steps.left == null ? {} : { left: steps.left }) };
    const { plan, outcome } = ending;
    status.show(
      'completed',
      null,
      outcome === null
        ? `${repairDetails(plan)}\n\n**${input.planOnly === true ? 'Only the plan was asked for.' : 'Nothing to do.'}**`
        : repairedDetails(plan, outcome),
    );
    return { state: 'completed', plan, outcome };
  });
}

class RepairSteps implements ApprovedSteps<RepairPlan, RepairOutcome> {
  readonly slot = 'heavy';
  /** Somebody changed a row between plan and repair: nothing was changed, and the next plan names that row. */
  readonly replanAfter = ['plan-stale'];
  readonly words: PlanWords<RepairPlan> = {
    what: 'table repair',
    details: repairDetails,
    approvalDetails: repairApprovalDetails,
    waiting: repairWaiting,
    command: approveRepairCommand,
    notice: (plan, waitingFor) => ({
      ...{ kind: 'paused', event: 'waiting-approval', waitingFor, action: plan.binding.action },
    }),
    policy: null,
  };
  /** What was damaged is found once: only the table itself goes on changing. */
  private found = false;
  private writes: BlockedWrites | null = null;
  /** What it has changed, where it did not come to its end. */
  left: string | null | undefined;
  private readonly service: ReturnToService;

  constructor(
    private readonly input: RepairInput,
    private readonly approved: ApprovedOperation<RepairPlan, RepairOutcome>,
  ) {
    this.service = new ReturnToService(approved, async () => {
      if (input.incident !== undefined) await tellRepaired(input.incident.workflowId);
    });
  }

  async open(): Promise<void> {
    await this.operation.lookUp();
    await this.approved.waitForHost();
  }

  async plan(): Promise<RepairPlan> {
    if (!this.found || this.input.order.source.kind === 'state') await this.findDamage();
    this.found = true;
    return readActivities(this.operation.host, 'compare with the table as it is').planRepair(this.request);
  }

  planAgain({ digest }: RepairPlan): Promise<{ digest: string; changed: readonly string[] }> {
    return readActivities(this.operation.host, 'compare again').recheckRepair({ ...this.request, plan: digest });
  }

  isEmpty({ binding }: RepairPlan): boolean {
    return this.input.planOnly === true || changedRows(binding.changes) === 0;
  }

  /** From the approval on the repair goes on without its incident. */
  async prepare(plan: RepairPlan): Promise<void> {
    const { incident } = this.input;
    if (incident !== undefined) await confirmIncident(incident.workflowId, plan);
  }

  claim() {
    return repairClaim;
  }

  async execute(plan: RepairPlan): Promise<RepairOutcome | 'rejected'> {
    this.writes = new BlockedWrites(this.approved, plan, repairDetails(plan));
    return this.writes.during(async () => {
      if (blocksWrites(plan)) {
        // Rows that somebody changed before the writes were blocked.
        const now = await this.step('check that nobody has written meanwhile', () => this.planAgain(plan));
        if (now === 'rejected') return now;
        if (now.digest !== plan.digest) throw refusal('plan-stale', now.changed.join(', '));
      }
      return this.repair(plan);
    });
  }

  /** The report so far is written by then; this completes it, whatever people said and however it ended. */
  async conclude(plan: RepairPlan, outcome: RepairOutcome): Promise<RepairOutcome> {
    const { writes } = this;
    try {
      if (writes !== null) await this.service.run(plan, outcome, writes);
    } catch (error) {
      const { host } = this.operation;
      const report = hostActivitiesFor(host, 'complete the report', '10m');
      await CancellationScope.nonCancellable(() => report.finishRepair(this.planned(plan))).catch(() => undefined);
      throw error;
    }
    const name = 'complete the report';
    const done = await this.step(name, () => this.activities(name).finishRepair(this.planned(plan)));
    return done === 'rejected' ? outcome : done;
  }

  private async repair(plan: RepairPlan): Promise<RepairOutcome | 'rejected'> {
    const { digest } = plan;
    const change = 'change the rows';
    const changed = await this.step(change, () =>
      underLock(this.operation, (step) => this.activities(change).applyRepair({ ...step, plan: digest })).catch(
        otherRows,
      ),
    );
    if (changed === 'rejected') return changed;
    const check = 'check the result';
    return this.step(check, () =>
      underLock(this.operation, (step) => this.activities(check).checkRepair({ ...this.planned(plan), ...step })),
    );
  }

  private planned({ digest }: RepairPlan) {
    const { incident } = this.input;
    return { ...this.operation.step, ...(incident === undefined ? {} : { incident }), plan: digest };
  }

  async release(): Promise<void> {
    const { host, status, step } = this.operation;
    await this.service.close();
    this.left = await hostActivitiesFor(host, 'close the plan', '1d').closeRepair(step);
    status.left = this.left ?? '';
  }

  /** The damaged rows, as they were before and after: kept on the host. */
  private async findDamage(): Promise<void> {
    const { source } = this.input.order;
    switch (source.kind) {
      case 'repair':
        return;
      case 'state':
        return this.withInstance(GOOD, source.at, () => this.collect([GOOD]).then(() => undefined));
      case 'between':
        return this.compareInstances(source.good, source.bad);
      case 'transaction':
        return this.findRowsOf(source.xid);
    }
  }

  /** One instance, just before the transaction's end and just after it: the two states differ by exactly that transaction. */
  private async findRowsOf(xid: string): Promise<void> {
    const search = 'find the transaction in the WAL';
    const { exact } = await this.read(search, () =>
      readActivities(this.operation.host, search).findTransaction(this.request),
    );
    const [before, after] = [{ kind: 'before-xid', xid } as const, { kind: 'xid', xid } as const];
    const isExact =
      exact &&
      (await this.withInstance(GOOD, before, async () => {
        if (!(await this.collect([GOOD]))) return false;
        await moveTemporaryInstance(this.operation, GOOD, after);
        return this.collect([BAD], GOOD);
      }));
    if (!isExact) await this.compareInstances(before, after);
  }

  private compareInstances(good: RecoveryTarget, bad: RecoveryTarget): Promise<void> {
    return this.withInstance(GOOD, good, () =>
      this.withInstance(BAD, bad, async () => void (await this.collect([GOOD, BAD]))),
    );
  }

  private withInstance<T>(instance: string, target: RecoveryTarget, body: () => Promise<T>): Promise<T> {
    const { requester, order } = this.input;
    const { policy } = order.source.kind === 'repair' ? {} : order.source;
    return withTemporaryInstance(
      this.operation,
      { instance, requester, order: { target, policy, databases: [order.database], only: [order.table] } },
      body,
    );
  }

  private async collect(states: readonly ('good' | 'bad')[], instance?: string): Promise<boolean> {
    const name = 'read the damaged rows';
    const from = states.map((state) => ({ state, instance: instance ?? state }));
    const { exact } = await this.read(name, () =>
      readActivities(this.operation.host, name).collectRows({ ...this.request, from }),
    );
    return exact;
  }

  private read<T>(name: string, run: () => Promise<T>): Promise<T> {
    return this.operation.status.phase(name, () => runStep(this.operation, name, run));
  }

  private step<T>(name: string, run: () => Promise<T>): Promise<T | 'rejected'> {
    return this.operation.status.phase(name, () => this.approved.attempt(name, run));
  }

  private get operation(): Operation {
    return this.approved.operation;
  }

  private get request(): RepairRequest {
    const { order, requester } = this.input;
    return { ...this.operation.step, order, requester };
  }

  private activities(summary: string) {
    return heavyActivities(this.operation.host, summary);
  }
}

/** Somebody was faster, or other rows stand against a change: people decide again, on a plan that lists these rows. */
function otherRows(error: unknown): never {
  if (failureOf(error).code === 'conflict') throw refusal('plan-stale', sentence(error));
  throw error;
}
