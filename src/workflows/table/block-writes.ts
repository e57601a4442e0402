import { CancellationScope, log } from '@temporalio/workflow';
import type { HostActivities, PlannedStep } from '../../activities/api.js';
import { undoHookOf } from '../../domain/plan/hooks.js';
import { countLine } from '../../domain/table/counts.js';
import type { BlockingPlan } from '../../domain/table/hold.js';
import type { TableCount } from '../../domain/table/repair.js';
import { markdownText } from '../../domain/text/markdown.js';
import { underLock } from '../lock/with-cluster-lock.js';
import { heavyActivities, hostActivitiesFor, lightActivities } from '../operation/activity-proxies.js';
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
  details: string,
  work: () => Promise<T | 'rejected'>,
): Promise<T | 'rejected'> {
  const writes = new BlockedWrites(approved, plan, details);
  const done = await writes.during(work);
  if (done !== 'rejected') await writes.open();
  return done;
}

/** The writes of others to a table, as the plan of an operation blocks them. `details`: what the operation shows (Markdown). */
export class BlockedWrites {
  private readonly undos: { readonly name: string; readonly work: Work }[] = [];

  constructor(
    private readonly approved: Blocking,
    private readonly plan: BlockingPlan,
    private readonly details: string,
  ) {}

  /** Whether something is still to be taken back. */
  get areBlocked(): boolean {
    return this.undos.length > 0;
  }

  /** Blocks them and does the work. They stay blocked for what follows; where the work fails or is rejected, all is taken back at once. */
  async during<T>(work: () => Promise<T | 'rejected'>): Promise<T | 'rejected'> {
    let done: T | 'rejected';
    try {
      done = (await this.block()) === 'rejected' ? 'rejected' : await work();
    } catch (error) {
      await this.takeBack().catch(() => undefined);
      throw error;
    }
    if (done === 'rejected') await this.takeBack();
    return done;
  }

  /**
   * Opens the table, then takes the hooks back, the last first; after each step the rows are counted and shown. `counted` hears of each
   * count.
   * @throws the first failure of a step, after all of them were tried
   */
  open(counted: (count: TableCount) => Promise<void> = () => Promise.resolve()): Promise<void> {
    const counts: TableCount[] = [];
    return this.takeBack(async (name) => {
      const count = await this.count(name);
      if (count === null) return;
      counts.push(count);
      const lines = counts.map((one) => `- ${markdownText(countLine(one))}`).join('\n');
      this.operation.status.show('running', null, `${this.details}\n\n**Rows since the table is opened:**\n\n${lines}`);
      await counted(count);
    });
  }

  /** Takes back what was done so far, the last first. `after` follows each step that was taken back. */
  takeBack(after: (name: string) => Promise<void> = () => Promise.resolve()): Promise<void> {
    return CancellationScope.nonCancellable(async () => {
      const failed: unknown[] = [];
      for (const { name, work } of this.undos.splice(0).reverse())
        try {
          await this.operation.status.phase(name, () =>
            new RepeatedStep(this.operation, name, [], unattended).run(() => this.locked(name, work)),
          );
          await after(name);
        } catch (error) {
          failed.push(error);
          log.error(`"${name}" failed`, { because: sentence(error) });
        }
      if (failed.length > 0) throw failed[0];
    });
  }

  /** What takes a step back is registered before the step is begun. */
  private async block(): Promise<'rejected' | void> {
    const { binding } = this.plan;
    for (const hook of binding.hooks) {
      const undo = undoHookOf(binding, hook);
      if (undo !== null)
        this.undos.push({ name: `${undo} (undo of ${hook})`, work: (host, step) => host.undoHook({ ...step, hook }) });
      if ((await this.run(hook, (host, step) => host.runHook({ ...step, hook }))) === 'rejected') return 'rejected';
    }
    if (binding.freeze === null) return;
    this.undos.push({ name: 'open the table for writes', work: (host, step) => host.unfreezeTable(step) });
    const block = 'block writes to the table';
    if ((await this.run(block, (host, step) => host.freezeTable(step))) === 'rejected') return 'rejected';
    await this.count(block);
  }

  /** Null where they could not be counted in time: nothing waits for a figure. */
  private async count(after: string): Promise<TableCount | null> {
    const { host, step } = this.operation;
    const name = `count the rows after "${after}"`;
    try {
      return await hostActivitiesFor(host, name, '10m').recordTableCount({ ...step, plan: this.plan.digest, after });
    } catch (error) {
      log.warn(`could not ${name}`, { because: sentence(error) });
      return null;
    }
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
