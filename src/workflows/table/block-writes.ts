import { CancellationScope, log } from '@temporalio/workflow';
import type { HostActivities, PlannedStep } from '../../activities/api.js';
import { undoHookOf } from '../../domain/plan/hooks.js';
import type { BlockingPlan } from '../../domain/table/hold.js';
import { underLock } from '../lock/with-cluster-lock.js';
import { heavyActivities, lightActivities } from '../operation/activity-proxies.js';
import type { ApprovedOperation } from '../operation/approved-operation.js';
import { sentence } from '../operation/operation-status.js';
import { RepeatedStep } from '../operation/run-step.js';
import { unattended } from '../operation/step-people.js';

/** What of an approved operation is needed here. */
type Blocking = Pick<ApprovedOperation<BlockingPlan, unknown>, 'attempt' | 'operation'>;
type Work = (host: HostActivities, step: PlannedStep) => Promise<void>;

/** Whether others are kept from writing while the plan is carried out. */
export const blocksWrites = ({ binding }: BlockingPlan): boolean => binding.freeze !== null || binding.hooks.length > 0;

/**
 * Stops what writes to the table as the plan says, does the work, and takes all of it back, the last first, however the work ended.
 * @throws what the work throws; else the first failure of what takes a step back, after all of them were tried
 */
export async function whileWritesAreBlocked<T>(
  approved: Blocking,
  plan: BlockingPlan,
  work: () => Promise<T | 'rejected'>,
): Promise<T | 'rejected'> {
  const writes = new BlockedWrites(approved, plan);
  let done: T | 'rejected';
  try {
    done = (await writes.block()) === 'rejected' ? 'rejected' : await work();
  } catch (error) {
    await writes.open().catch(() => undefined);
    throw error;
  }
  await writes.open();
  return done;
}

class BlockedWrites {
  private readonly undos: { readonly name: string; readonly work: Work }[] = [];

  constructor(
    private readonly approved: Blocking,
    private readonly plan: BlockingPlan,
  ) {}

  /** What takes a step back is registered before the step is begun. */
  async block(): Promise<'rejected' | void> {
    const { binding } = this.plan;
    for (const hook of binding.hooks) {
      const undo = undoHookOf(binding, hook);
      if (undo !== null)
        this.undos.push({ name: `${undo} (undo of ${hook})`, work: (host, step) => host.undoHook({ ...step, hook }) });
      if ((await this.run(hook, (host, step) => host.runHook({ ...step, hook }))) === 'rejected') return 'rejected';
    }
    if (binding.freeze === null) return;
    this.undos.push({ name: 'open the table for writes', work: (host, step) => host.unfreezeTable(step) });
    return this.run('block writes to the table', (host, step) => host.freezeTable(step));
  }

  open(): Promise<void> {
    return CancellationScope.nonCancellable(async () => {
      const failed: unknown[] = [];
      for (const { name, work } of this.undos.splice(0).reverse())
        try {
          await this.operation.status.phase(name, () =>
            new RepeatedStep(this.operation, name, [], unattended).run(() => this.locked(name, work)),
          );
        } catch (error) {
          failed.push(error);
          log.error(`"${name}" failed`, { because: sentence(error) });
        }
      if (failed.length > 0) throw failed[0];
    });
  }

  private run(name: string, work: Work): Promise<'rejected' | void> {
    return this.operation.status.phase(name, () => this.approved.attempt(name, () => this.locked(name, work)));
  }

  private locked(name: string, work: Work): Promise<void> {
    const { host } = this.operation;
    // What has no slot does not wait behind a backup either.
    const activities = this.operation.slot.grant === null ? lightActivities : heavyActivities;
    return underLock(this.operation, (step) => work(activities(host, name), { ...step, plan: this.plan.digest }));
  }

  private get operation() {
    return this.approved.operation;
  }
}
