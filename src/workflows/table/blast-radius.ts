import type { RepairRequest } from '../../activities/api.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { markdownCode, markdownText } from '../../domain/text/markdown.js';
import type { BlastRadiusInput, BlastRadiusOutput } from '../api.js';
import { endWithoutInstance, moveTemporaryInstance, withTemporaryInstance } from '../explore/temporary-instance.js';
import { readActivities } from '../operation/activity-proxies.js';
import { type Operation, openOperation } from '../operation/open-operation.js';
import { runStep } from '../operation/run-step.js';

/** Names of the temporary instances: just before the transaction's commit, and just after it where both are needed at once. */
const [GOOD, BAD] = ['good', 'bad'] as const;

/**
 * What one transaction did, what came after it, and what each way back would lose: by the WAL, and by the rows as they were just before
 * and just after it. Changes nothing.
 */
export function blastRadius(input: BlastRadiusInput): Promise<BlastRadiusOutput> {
  return openOperation('table-blast-radius', input, async (operation) => {
    try {
      return await new Look(operation, input).run();
    } finally {
      await endWithoutInstance(operation);
    }
  });
}

class Look {
  constructor(
    private readonly operation: Operation,
    private readonly input: BlastRadiusInput,
  ) {}

  async run(): Promise<BlastRadiusOutput> {
    const { host, status } = this.operation;
    const { order } = this.input;
    const { database, table, xid } = order;
    const found = await this.step('find the transaction in the WAL', (name) =>
      readActivities(host, name).findTransaction(this.repair),
    );
    const before: RecoveryTarget = { kind: 'before-xid', xid };
    const seen = await this.withInstance(GOOD, before, async (backups) => {
      const followed = await this.step('follow its rows through the WAL', (name) =>
        readActivities(host, name).followRows({ ...this.operation.step, order, instance: GOOD }),
      );
      return { backups, followed, exact: found.exact && (await this.readRows()) };
    });
    if (!seen.exact)
      await this.withInstance(GOOD, before, () =>
        this.withInstance(BAD, this.after, () => this.collect({ good: GOOD, bad: BAD })),
      );
    const weighed = await this.step('compare with the table as it is', (name) =>
      readActivities(host, name).weighDamage({ ...this.operation.step, order }),
    );
    const { transaction, later } = seen.followed;
    const { undo, references, file, fileUntil } = weighed;
    const conflicts = undo.changes === null ? 'unknown' : String(undo.changes.conflicts);
    status.show(
      'completed',
      null,
      `**${later.rows} of its rows were touched later, ${conflicts} conflicts** if it is undone; ${later.database.transactions} later transactions in the database. The rows are on host ${markdownText(host)}: ${markdownCode(file)}`,
    );
    return {
      ...{ database, table, xid, committedAt: found.committedAt, transaction, exact: seen.exact, later },
      ...{ undo, references, notes: [...seen.followed.notes, ...weighed.notes] },
      ...{ backups: seen.backups, host, file, fileUntil },
    };
  }

  /** In one instance, which is moved over its commit; false where its rows cannot be told one by one. */
  private async readRows(): Promise<boolean> {
    if (!(await this.collect({ good: GOOD }))) return false;
    await moveTemporaryInstance(this.operation, GOOD, this.after);
    return this.collect({ bad: GOOD });
  }

  /** The rows before it and after it, from these instances. */
  private async collect(instances: { readonly good?: string; readonly bad?: string }): Promise<boolean> {
    const from = (['good', 'bad'] as const).flatMap((state) => {
      const instance = instances[state];
      return instance === undefined ? [] : [{ state, instance }];
    });
    const { exact } = await this.step('read the rows', (name) =>
      readActivities(this.operation.host, name).collectRows({ ...this.repair, from }),
    );
    return exact;
  }

  private withInstance<T>(
    instance: string,
    target: RecoveryTarget,
    body: (backups: readonly string[]) => Promise<T>,
  ): Promise<T> {
    const { requester, order } = this.input;
    const { policy, database } = order;
    return withTemporaryInstance(
      this.operation,
      { instance, requester, order: { target, policy, databases: [database] } },
      ({ restore }) => body(restore.backups.map(({ id }) => id)),
    );
  }

  private step<T>(name: string, run: (name: string) => Promise<T>): Promise<T> {
    return this.operation.status.phase(name, () => runStep(this.operation, name, () => run(name)));
  }

  private get after(): RecoveryTarget {
    return { kind: 'xid', xid: this.input.order.xid };
  }

  /** What a repair that undoes it would read. */
  private get repair(): RepairRequest {
    const { requester, order } = this.input;
    const { database, table, xid, policy } = order;
    return {
      ...this.operation.step,
      requester,
      order: { database, table, source: { kind: 'transaction', xid, policy }, strategy: 'undo' },
    };
  }
}
