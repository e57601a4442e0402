import { describe, expect, it } from '@jest/globals';
import {
  ScheduleNotFoundError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
} from '@temporalio/client';
import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  ChildWorkflowFailure,
  RetryState,
} from '@temporalio/common';
import { toRepriseError } from '../../../src/client/errors.js';
import { RepriseError } from '../../../src/domain/errors.js';

const application = (type: string, message: string, hint?: string): ApplicationFailure =>
  ApplicationFailure.create({ type, message, details: [{ hint }] });
const workflowFailed = (cause: Error): WorkflowFailedError =>
  new WorkflowFailedError('Workflow execution failed', cause, RetryState.NON_RETRYABLE_FAILURE);
const activityFailed = (cause: Error): ActivityFailure =>
  new ActivityFailure('Activity task failed', 'runBackup', '1', RetryState.NON_RETRYABLE_FAILURE, undefined, cause);

describe('failures as entries of the error table', () => {
  it('an activity of a workflow: its code, sentence and hint', () => {
    const error = toRepriseError(
      workflowFailed(activityFailed(application('wal-gap', 'segment 3 is missing', 'take a full backup'))),
    );
    expect(error).toMatchObject({ code: 'wal-gap', message: 'segment 3 is missing', hint: 'take a full backup' });
  });

  it('a child workflow: the innermost coded failure speaks', () => {
    const child = new ChildWorkflowFailure(
      'default',
      { workflowId: 'recover/mairie/1', runId: 'r' },
      'recover',
      RetryState.NON_RETRYABLE_FAILURE,
      activityFailed(application('disk-full', 'no room')),
    );
    const outer = ApplicationFailure.create({ type: 'tool-failed', message: 'the recovery failed', cause: child });
    expect(toRepriseError(workflowFailed(outer))).toMatchObject({ code: 'disk-full', message: 'no room' });
  });

  it('a hint within the message is taken out of it', () => {
    const error = toRepriseError(
      new WorkflowUpdateFailedError(
        'Update failed',
        ApplicationFailure.create({ type: 'plan-stale', message: 'another plan waits\nHINT: approve 3f9c' }),
      ),
    );
    expect(error).toMatchObject({ code: 'plan-stale', message: 'another plan waits', hint: 'approve 3f9c' });
  });

  it.each([
    ['cancelled work', workflowFailed(new CancelledFailure('cancelled')), 'job-cancelled'],
    [
      'work that runs already',
      new WorkflowExecutionAlreadyStartedError('already', 'backup/mairie/x', 'backup'),
      'conflict',
    ],
    ['work that is not there', new WorkflowNotFoundError('missing', 'backup/mairie/x', undefined), 'not-found'],
    ['a schedule that is not there', new ScheduleNotFoundError('missing', 'reprise/mairie/x'), 'not-found'],
    [
      'a server that does not answer',
      Object.assign(new Error('14 UNAVAILABLE'), { code: 14, details: 'No connection established', metadata: {} }),
      'temporal-unreachable',
    ],
    [
      'a build that no worker runs any more',
      Object.assign(new Error('Failed to query Workflow'), {
        cause: Object.assign(new Error('9 FAILED_PRECONDITION'), {
          ...{ code: 9, details: 'no poller seen for task queue recently, worker may be down', metadata: {} },
        }),
      }),
      'host-without-worker',
    ],
    ['an unknown type of failure', workflowFailed(application('TypeError', 'x is undefined')), 'internal'],
    ['our own error', new RepriseError('lock-held', 'held'), 'lock-held'],
    ['what is no error', 'thrown text', 'internal'],
  ])('%s', (_what, failure, code) => {
    const error = toRepriseError(failure);
    expect(error.code).toBe(code);
    expect(error.message).not.toBe('');
  });
});
