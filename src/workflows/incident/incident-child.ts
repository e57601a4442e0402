import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import type { Workflow, WorkflowResultType } from '@temporalio/common';
import {
  CancellationScope,
  type ChildWorkflowHandle,
  getExternalWorkflowHandle,
  log,
  patched,
} from '@temporalio/workflow';
import { sentence } from '../operation/operation-status.js';
import type { IncidentDecision } from './incident-frame.js';

/** What an incident waits for until the plan of its child is approved. */
export const waitsForDecision = (workflowId: string): string =>
  `the decision on ${workflowId}: \`reprise approve ${workflowId} --by NAME --reason "..."\`, or \`reprise reject ${workflowId} --reason "..."\`; how far it is: \`reprise status ${workflowId}\``;

/** What it waits for afterwards. `what`: a recovery, a repair. */
export const waitsForEnd = (what: string, workflowId: string): string =>
  `the ${what}; how far it is, and what it waits for: \`reprise status ${workflowId}\``;

/** To dismiss or to close the incident ends no child that was approved. */
export const tooLate = ({ kind, by }: IncidentDecision, what: string, workflowId: string): string =>
  `${by}: ${kind} has no effect: the ${what} was approved and runs; \`reprise reject ${workflowId} --reason "..."\` ends it between its steps`;

/** How a child of an incident ended. */
export interface EndedChild<Output> {
  readonly output: Output | null;
  readonly why: string;
}

/**
 * A child workflow of an incident. It is cancelled with the incident as long as nobody has approved its plan; an approved one goes on,
 * whatever becomes of the incident.
 */
export class IncidentChild<T extends Workflow> {
  /** People approved its plan: it goes on without the incident. */
  approved = false;
  ended: EndedChild<WorkflowResultType<T>> | null = null;
  /** Is over when the child has ended. */
  readonly ending: Promise<void>;

  private constructor(
    readonly handle: ChildWorkflowHandle<T>,
    private readonly scope: CancellationScope,
  ) {
    this.ending = handle.result().then(
      (output) => void (this.ended = { output, why: '' }),
      (error: unknown) => void (this.ended = { output: null, why: sentence(error) }),
    );
  }

  /** Null where it was started before, as after a Reset: it goes on by itself. */
  static start<T extends Workflow>(run: () => Promise<ChildWorkflowHandle<T>>): Promise<IncidentChild<T> | null> {
    // The incident's own cancellation does not reach the scope.
    return CancellationScope.nonCancellable(() => {
      const scope = new CancellationScope();
      return scope.run(async () => {
        try {
          return new IncidentChild(await run(), scope);
        } catch (error) {
          if (error instanceof WorkflowExecutionAlreadyStartedError) return null;
          throw error;
        }
      });
    });
  }

  /**
   * Has it cancelled as the incident ends, unless it was approved, and waits until the server has asked it to: what a workflow asks for
   * in the very task that ends it, the server does not do.
   */
  async letGo(): Promise<void> {
    if (this.approved || this.ended !== null) return;
    if (!patched('child-is-cancelled-before-the-incident-ends')) {
      this.scope.cancel();
      return;
    }
    const { workflowId } = this.handle;
    await CancellationScope.nonCancellable(() => getExternalWorkflowHandle(workflowId).cancel()).catch(() =>
      log.info('it has ended already', { workflowId }),
    );
  }

  /** Cancels it, unless it was approved, and waits for its end. */
  async cancel(): Promise<void> {
    if (!this.approved) this.scope.cancel();
    await this.ending;
  }
}
