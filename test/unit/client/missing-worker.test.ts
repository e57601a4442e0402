import { describe, expect, it } from '@jest/globals';
import type { TemporalSession } from '../../../src/client/connect.js';
import { statusOf } from '../../../src/client/status.js';

const seconds = (ago: number) => ({ seconds: String(Math.floor(Date.now() / 1000) - ago) });
const answer = {
  ...{ kind: 'table-repair', cluster: 'mairie', state: 'running', waitingFor: null, plan: null },
  ...{ phase: 'plan', phases: [] },
};

interface Server {
  /** What the query answers. */
  readonly query: () => Promise<unknown>;
  /** Since when a step waits in the queue of the host. */
  readonly waits?: number;
  /** The host's worker is listed. */
  readonly listed?: boolean;
}

/** A server with a control worker, and one operation. */
function session({ query, waits, listed = true }: Server): TemporalSession {
  const step = {
    activityOptions: { taskQueue: { name: 'reprise-db1' } },
    ...(waits === undefined ? { lastStartedTime: seconds(1) } : { scheduledTime: seconds(waits) }),
  };
  const description = {
    ...{ workflowId: 'w', runId: 'r', status: { name: 'RUNNING' }, startTime: new Date(), memo: {} },
    typedSearchAttributes: { getAll: () => [] },
    raw: { pendingActivities: [step] },
  };
  const describeTaskQueue = ({ taskQueue }: { taskQueue: { name: string } }) =>
    Promise.resolve({ pollers: taskQueue.name === 'reprise' || listed ? [{ lastAccessTime: seconds(1) }] : [] });
  return {
    client: {
      workflow: { getHandle: () => ({ describe: () => Promise.resolve(description), query }) },
      options: { loadedDataConverter: { payloadConverter: {} } },
    },
    connection: {
      workflowService: { describeTaskQueue },
      withDeadline: (_: unknown, run: () => unknown) => run(),
    },
    settings: { namespace: 'default', webUi: 'http://ui' },
  } as unknown as TemporalSession;
}

const seen = async (server: Server): Promise<{ state: string; waitingFor: string | null }> => {
  const { state, waitingFor } = await statusOf(session(server), 'w', { jobs: false });
  return { state, waitingFor };
};
const answers = () => Promise.resolve(answer);

describe('O19: the worker that an operation waits for', () => {
  it('O19: none is named while steps run, or have just been given out', async () => {
    expect(await seen({ query: answers })).toEqual({ state: 'running', waitingFor: null });
    expect(await seen({ query: answers, waits: 1 })).toEqual({ state: 'running', waitingFor: null });
  });

  it('O19: a queue that nobody polls is told at once, one whose worker may have died after some seconds', async () => {
    const gone = await seen({ query: answers, waits: 1, listed: false });
    expect(gone).toMatchObject({ state: 'waiting-worker', waitingFor: expect.stringContaining('--host db1') });
    const late = await seen({ query: answers, waits: 60 });
    expect(late).toMatchObject({ state: 'running', waitingFor: expect.stringContaining('none has within 10 s') });
  });

  it('O19: a control worker that does not answer is told too, and what an operation says itself comes first', async () => {
    const late = await seen({ query: () => Promise.reject(Object.assign(new Error('late'), { code: 4 })) });
    expect(late).toMatchObject({ state: 'running', waitingFor: expect.stringContaining('none came within 5 s') });
    const unpolled = { code: 9, details: 'no poller seen for task queue recently, worker may be down' };
    const none = await seen({ query: () => Promise.reject(Object.assign(new Error('failed'), { cause: unpolled })) });
    expect(none).toEqual(late);
    await expect(seen({ query: () => Promise.reject(Object.assign(new Error('no'), { code: 9 })) })).rejects.toThrow(
      'no',
    );
    const own = { ...answer, state: 'waiting-approval', waitingFor: 'approval of plan x' };
    expect(await seen({ query: () => Promise.resolve(own), waits: 60, listed: false })).toEqual({
      ...{ state: 'waiting-approval', waitingFor: 'approval of plan x' },
    });
  });
});
