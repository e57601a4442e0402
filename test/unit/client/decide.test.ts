import { describe, expect, it } from '@jest/globals';
import { approve, reject, signal, waitingPlan } from '../../../src/client/decide.js';
import type { TemporalSession } from '../../../src/client/connect.js';
import { queryNames } from '../../../src/domain/operation/names.js';

const person = { by: 'dba', reason: 'seen' };
const failed = (type: string, message: string): Error =>
  Object.assign(new Error('the update failed'), {
    name: 'WorkflowUpdateFailedError',
    cause: Object.assign(new Error(message), { name: 'ApplicationFailure', type }),
  });

/** A server whose workflow answers updates in turn; counts what it is asked. */
function sessionThat(
  answers: readonly (unknown | Error)[],
  away: readonly string[] = [],
): {
  session: TemporalSession;
  asked: { updates: number; pollers: number };
} {
  const asked = { updates: 0, pollers: 0 };
  const handle = {
    describe: async () => ({
      status: { name: 'RUNNING' },
      raw: { pendingActivities: away.map((name) => ({ activityOptions: { taskQueue: { name } } })) },
    }),
    query: async () => (asked.updates === 0 ? { digest: 'd' } : null),
    executeUpdate: async () => {
      const answer = answers[asked.updates++];
      if (answer instanceof Error) throw answer;
      return answer;
    },
  };
  const session = {
    settings: { namespace: 'default' },
    client: { workflow: { getHandle: () => handle } },
    connection: {
      withDeadline: (_deadline: number, run: () => unknown) => run(),
      workflowService: {
        describeTaskQueue: async ({ taskQueue }: { taskQueue: { name: string } }) => {
          asked.pollers++;
          if (away.includes(taskQueue.name)) return { pollers: [] };
          return { pollers: [{ identity: 'w', lastAccessTime: { seconds: Math.floor(Date.now() / 1000), nanos: 0 } }] };
        },
      },
    },
  };
  return { session: session as unknown as TemporalSession, asked };
}

describe('L14: a decision that met a workflow going on', () => {
  it('is sent again', async () => {
    const { session, asked } = sessionThat([failed('busy', 'going on'), { accepted: true, missing: 0 }]);
    expect(await approve(session, 'recover/c/op', { plan: 'd', ...person })).toEqual({ accepted: true, missing: 0 });
    expect(asked.updates).toBe(2);
  });

  it('is not sent again where it was refused', async () => {
    const { session, asked } = sessionThat([failed('approval-refused', 'no'), { rejected: true }]);
    await expect(reject(session, 'recover/c/op', person)).rejects.toThrow();
    expect(asked.updates).toBe(1);
  });
});

describe('L12: a decision that waits for a host without a worker', () => {
  it.each(['reprise-db1', 'reprise-db1-media'])(
    '%s: is said within seconds, with what to type',
    async (queue) => {
      const { session } = sessionThat([new Promise(() => undefined)], [queue]);
      await expect(reject(session, 'recover/c/op', person)).rejects.toMatchObject({
        code: 'host-without-worker',
        message: expect.stringContaining('the decision was sent and is kept'),
        hint: expect.stringContaining('reprise worker --host db1`'),
      });
    },
    20_000,
  );
});

it('O16: a decision on what has ended is told how and when it ended, and not that there is no such work', async () => {
  const gone = Object.assign(new Error('workflow execution already completed'), {
    name: 'WorkflowNotFoundError',
    workflowId: 'recover/c/op',
  });
  const { session } = sessionThat([gone]);
  const handle = session.client.workflow.getHandle('recover/c/op') as unknown as Record<string, unknown>;
  const ended = {
    runId: 'r',
    status: { name: 'COMPLETED' },
    startTime: new Date('2026-11-21T02:00:00Z'),
    closeTime: new Date('2026-11-21T02:15:00.123Z'),
    typedSearchAttributes: { getAll: () => [{ key: { name: 'RepriseState' }, value: 'rejected' }] },
    raw: { pendingActivities: [] },
  };
  handle['describe'] = async () => ended;
  handle['query'] = async () => Promise.reject(Object.assign(new Error('x'), { name: 'QueryNotRegisteredError' }));
  handle['signal'] = async () => Promise.reject(gone);
  Object.assign(session.settings, { webUi: 'http://ui' });
  Object.assign(session.client, { options: { loadedDataConverter: { payloadConverter: {} } } });
  const told = {
    code: 'conflict',
    message: 'recover/c/op ended at 2026-11-21T02:15:00Z (rejected): it takes no decision any more',
    hint: expect.stringContaining('reprise status recover/c/op') as unknown,
  };
  await expect(reject(session, 'recover/c/op', person)).rejects.toMatchObject(told);
  await expect(signal(session, 'recover/c/op', 'continue', person)).rejects.toMatchObject(told);
  handle['query'] = async (name: string) =>
    name === queryNames.plan
      ? null
      : Promise.reject(Object.assign(new Error('x'), { name: 'QueryNotRegisteredError' }));
  await expect(waitingPlan(session, 'recover/c/op')).rejects.toMatchObject(told);
  handle['describe'] = async () => Promise.reject(gone);
  await expect(signal(session, 'recover/c/op', 'continue', person)).rejects.toBe(gone);
});
