import { TemporalFailure } from '@temporalio/common';
import {
  ContinueAsNew,
  type WorkflowInboundCallsInterceptor,
  type WorkflowInterceptors,
  type WorkflowInternalsInterceptor,
  isCancellation,
} from '@temporalio/workflow';
import { refusal } from './operation/operation-status.js';
import { isUnreadable, readablePayloads, recordUnreadable } from './operation/unreadable-messages.js';

type Activation = Parameters<NonNullable<WorkflowInternalsInterceptor['activate']>>[0]['activation'];

/** What each workflow is run with: no message from outside, however malformed, fails a workflow task. */
export function interceptors(): WorkflowInterceptors {
  const task = new WorkflowTask();
  return { inbound: [messages(task)], internals: [activations(task)] };
}

/**
 * The workflow task under way, which may be carried out in several activations. An update in a later one than the
 * results of activities would be recorded after the commands that follow from them, and replayed before them: a
 * nondeterminism error for ever, met after a worker was killed. Such an update is refused; that leaves no event.
 */
class WorkflowTask {
  private historyLength = -1;
  private hasGoneOn = false;
  isLateForUpdates = false;

  activate({ historyLength, jobs }: Activation, batchIndex: number): void {
    if (historyLength !== this.historyLength) {
      this.historyLength = historyLength ?? -1;
      this.hasGoneOn = false;
    }
    // Batches of one activation were sorted by the SDK, in the order in which it replays them.
    if (batchIndex === 0) this.isLateForUpdates = this.hasGoneOn;
    // After a task whose updates were all refused the next one has the same history length: it is another task.
    this.hasGoneOn ||= (jobs ?? []).some(
      ({ doUpdate, queryWorkflow, notifyHasPatch }) => !doUpdate && !queryWorkflow && !notifyHasPatch,
    );
  }
}

function activations(task: WorkflowTask): WorkflowInternalsInterceptor {
  return {
    activate(input, next) {
      const { activation, batchIndex } = input;
      task.activate(activation, batchIndex);
      // An update that cannot be decoded is refused by the SDK itself.
      for (const { signalWorkflow, queryWorkflow, initializeWorkflow } of activation.jobs ?? []) {
        if (signalWorkflow?.input) signalWorkflow.input = readablePayloads(signalWorkflow.input);
        if (queryWorkflow?.arguments) queryWorkflow.arguments = readablePayloads(queryWorkflow.arguments);
        if (initializeWorkflow?.arguments)
          initializeWorkflow.arguments = readablePayloads(initializeWorkflow.arguments);
      }
      next(input);
    },
  };
}

function messages(task: WorkflowTask): WorkflowInboundCallsInterceptor {
  return {
    async execute(input, next) {
      const [first] = input.args;
      if (typeof first !== 'object' || first === null || isUnreadable(first))
        throw refusal(
          'usage',
          'the input of this workflow cannot be read',
          'start it with the command line of Reprise',
        );
      return next(input);
    },

    validateUpdate(input, next) {
      if (task.isLateForUpdates) throw refusal('busy', 'the workflow was going on just then', 'send it again');
      next(input);
    },

    async handleUpdate(input, next) {
      try {
        return await next(input);
      } catch (error) {
        if (isExpected(error)) throw error;
        throw refusal('usage', `the update ${input.name} cannot be carried out: ${words(error)}`, 'check its input');
      }
    },

    async handleSignal(input, next) {
      const { signalName, args } = input;
      const unreadable = args.find(isUnreadable);
      if (unreadable) {
        recordUnreadable(`the signal ${signalName} has no effect: it cannot be read (${unreadable.repriseUnreadable})`);
        return;
      }
      try {
        await next(input);
      } catch (error) {
        if (isExpected(error)) throw error;
        recordUnreadable(`the signal ${signalName} has no effect: ${words(error)}`);
      }
    },
  };
}

/** Anything else that a handler throws would fail the workflow task, again and again. */
function isExpected(error: unknown): boolean {
  return error instanceof TemporalFailure || error instanceof ContinueAsNew || isCancellation(error);
}

const words = (error: unknown): string => (error instanceof Error ? error.message : String(error));
