import { beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { watchWorkflowId, workflowTypes } from '../../src/domain/operation/names.js';
import { onCleanup } from '../helpers/cleanup.js';
import { startTemporalServer } from '../helpers/temporal-server.js';
import { type Case, Lab, untilCancelled } from './lab.js';
import { Locks } from './locks.js';

/** Events after which this server asks for a new run: few, so that a test need not wait for thousands. */
const EVENTS = 60;
const since = '2026-11-21T02:15:00.000Z';

let lab: Lab;
beforeAll(async () => {
  const server = await startTemporalServer({ dynamicConfig: { 'limit.historyCount.suggestContinueAsNew': EVENTS } });
  onCleanup(() => server.stop());
  lab = await Lab.on(server.address);
});

describe('F40: histories stay small', () => {
  it('the lock keeps its holders and its tokens', async () => {
    const locks = new Locks(lab, 'lasting');
    const held = await locks.acquire({ operationId: 'r', kind: 'drill' });
    const { runId } = await locks.handle.describe();
    let last = 0;
    let turns = 0;
    for (; (await locks.handle.describe()).runId === runId; turns++) {
      const token = await locks.token(`b${turns}`);
      expect(token).toBeGreaterThan(last);
      last = token;
      await locks.release(`b${turns}`);
      if (turns > EVENTS) throw new Error('no new run was begun');
    }
    expect(turns).toBeGreaterThan(1);
    expect(await locks.holders()).toMatchObject([{ operationId: 'r', kind: 'drill' }]);
    expect(await locks.acquire({ operationId: 'r', kind: 'drill' })).toEqual(held);
    expect(await locks.token('b')).toBeGreaterThan(last);
  });

  it('the watch keeps what it knows: the cluster is down, and which incident is open', async () => {
    const runs = new Set<string>();
    let looks = 0;
    const one: Case = lab.case({
      watchCluster: async () => {
        if (one.of('watchCluster').length === 1) return { state: 'down', layer: 'port', reason: 'refused', since };
        return runs.size < 2 ? sleep(20, null) : untilCancelled();
      },
      diagnose: untilCancelled,
    });
    await one.start(workflowTypes.watch, watchWorkflowId('CLUSTER'), {});
    const follow = lab.client.workflow.getHandle(watchWorkflowId(one.cluster));
    await one.until(
      async () => {
        runs.add((await follow.describe()).runId);
        // The looks that may still see one run only.
        looks = one.of('watchCluster').length;
        return runs.size > 1 || null;
      },
      async () => `${one.of('watchCluster').length} looks, one run`,
    );
    const { events } = await follow.fetchHistory();
    const [payload] = events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads ?? [];
    const openIncident = `incident/${one.cluster}/instance-loss/${one.cluster}-20261121T021500Z`;
    expect(JSON.parse(Buffer.from(payload?.data ?? []).toString())).toEqual({
      cluster: one.cluster,
      openIncident,
      down: true,
    });
    await one.called('watchCluster', looks + 1);
    expect(one.of('watchCluster').at(-1)).toMatchObject({ down: true });
    expect(one.of('recordIncident')).toHaveLength(1);
    expect(await one.status(follow)).toMatchObject({ state: 'running' });
    await follow.terminate();
  });
});
