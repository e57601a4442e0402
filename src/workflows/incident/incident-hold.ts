import { ParentClosePolicy, getExternalWorkflowHandle, log, startChild } from '@temporalio/workflow';
import { holdWorkflowId, signalNames, workflowTypes } from '../../domain/operation/names.js';
import { priorityOf } from '../../domain/operation/priorities.js';
import { holdRunbook } from '../../domain/plan/runbooks.js';
import type { TableHold } from '../../domain/table/incident-text.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { visible } from '../../domain/text/text.js';
import type { TableCorruptionInput } from '../api.js';
import { holdTable } from '../table/hold-table.js';
import { IncidentChild } from './incident-child.js';

/**
 * The block of writes of an incident: a child with a plan and an approval of its own, which people may leave aside. It lasts until the
 * incident releases it.
 */
export class IncidentHold {
  private released = false;
  /** The table takes no writes, as it says. */
  isBlocking = false;

  private constructor(
    readonly workflowId: string,
    /** Null where it was started before, as after a Reset. */
    private readonly child: IncidentChild<typeof holdTable> | null,
  ) {}

  static async start(input: TableCorruptionInput, incident: string): Promise<IncidentHold> {
    const { cluster, requester } = input;
    const { database, table } = input.order;
    const operationId = `${input.operationId}-hold`;
    const workflowId = holdWorkflowId(cluster, operationId);
    const named = formatTableName(table);
    const child = await IncidentChild.start(() =>
      startChild(holdTable, {
        workflowId,
        // What is blocked is opened by the release only, or by hand where the incident is terminated.
        parentClosePolicy: ParentClosePolicy.ABANDON,
        priority: priorityOf(workflowTypes.holdTable),
        staticSummary: visible(`freeze ${named} of ${cluster}`),
        staticDetails: holdRunbook(cluster, named).details,
        args: [{ cluster, requester, operationId, order: { database, table }, incident }],
      }),
    );
    return new IncidentHold(workflowId, child);
  }

  /** Has it open the table; where it still waits for its approval, it ends. */
  async release(by: string, reason: string): Promise<void> {
    if (this.released || this.hasEnded) return;
    this.released = true;
    await getExternalWorkflowHandle(this.workflowId)
      .signal(signalNames.release, { by, reason })
      .catch(() => log.info('the table is released already'));
  }

  /** Does this when it has ended, where that is known. */
  onEnd(then: () => void): void {
    void this.child?.ending.then(then);
  }

  /** For the page of the incident. */
  get view(): TableHold {
    const { workflowId, isBlocking, end } = this;
    return { workflowId, isBlocking, end };
  }

  /** Its end can be waited for. */
  get isKnown(): boolean {
    return this.child !== null;
  }

  get hasEnded(): boolean {
    return this.child !== null && this.child.ended !== null;
  }

  /** How it ended, in words; null where that is not known, or it has not. */
  get end(): string | null {
    const { ended = null } = this.child ?? {};
    if (ended === null) return null;
    const { output, why } = ended;
    if (output === null) return `${this.workflowId} failed: ${why}`;
    if (output.outcome === null)
      return `${this.workflowId} blocked nothing: ${output.rejectedBecause ?? 'it ended early'}`;
    const { frozenAt, releasedAt } = output.outcome;
    return `${this.workflowId} kept writes blocked from ${frozenAt} to ${releasedAt}`;
  }
}
