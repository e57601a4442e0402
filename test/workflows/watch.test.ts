import { beforeAll, describe, expect, it } from '@jest/globals';
import type { WatchFinding } from '../../src/activities/api.js';
import { signalNames, updateNames, watchWorkflowId, workflowTypes } from '../../src/domain/operation/names.js';
import {
  type Activities,
  type Case,
  HOST,
  Lab,
  childrenOf,
  failure,
  failureOfWorkflow,
  fallsSilent,
  gate,
  untilCancelled,
} from './lab.js';
import { until } from '../helpers/until.js';
import { person } from './recoveries.js';

const since = '2026-11-21T02:15:00.000Z';
const down: WatchFinding = { state: 'down', layer: 'port', reason: 'connection refused', since };
const up: WatchFinding = { state: 'up', layer: null, reason: 'answers', since };

let lab: Lab;
let timedOut: { readonly polled: Case; readonly dead: Case };
let startedAt = 0;

beforeAll(async () => {
  lab = await Lab.start();
  // Time-outs of activities take real time: these two run beside the other tests and are looked at in the end.
  const first =
    (one: () => Case): Activities['watchCluster'] =>
    () =>
      one().of('watchCluster').length === 1 ? fallsSilent() : untilCancelled();
  startedAt = Date.now();
  const describeCluster: Activities['describeCluster'] = async () => ({
    host: HOST,
    configDigest: 'c',
    policies: {},
    watchHeartbeatSeconds: 15,
  });
  const polled = await watch({ describeCluster, watchCluster: first(() => timedOut.polled) });
  const dead = await watch({
    describeCluster,
    watchCluster: first(() => timedOut.dead),
    hostAnswers: async () => false,
  });
  timedOut = { polled, dead };
});

async function watch(activities: Partial<Activities>, input: object = {}): Promise<Case> {
  const one = lab.case(activities);
  await one.start(workflowTypes.watch, watchWorkflowId('CLUSTER'), input);
  return one;
}

/** Returns these findings one by one, then watches until it is cancelled. */
function finds(one: () => Case, ...findings: readonly (WatchFinding | null)[]): Activities['watchCluster'] {
  return async () => {
    const finding = findings[one().of('watchCluster').length - 1];
    return finding === undefined ? untilCancelled() : finding;
  };
}
const incidents = (one: Case) =>
  one
    .of('recordIncident')
    .filter(({ text }) => String(text).startsWith('layer '))
    .map(({ workflowId }) => workflowId);

describe('S1: what is seen opens an incident', () => {
  it('down: one incident, suspected, with the layer, the reason and the first failed check', async () => {
    const one: Case = await watch({ watchCluster: finds(() => one, down, null, null) });
    await one.called('watchCluster', 4);
    await one.called('recordIncident', 2);
    const workflowId = `incident/${one.cluster}/instance-loss/${one.cluster}-20261121T021500Z`;
    expect(incidents(one)).toEqual([workflowId]);
    expect(one.of('recordIncident')[0]).toMatchObject({
      state: 'suspected',
      text: 'layer port: connection refused',
      by: 'watch',
    });
    // The host is told what is known, so that it returns only on a change.
    expect(one.of('watchCluster')).toEqual(
      [false, true, true, true].map((isDown) => ({ cluster: one.cluster, down: isDown })),
    );
    expect(await one.status()).toMatchObject({ kind: 'watch', state: 'running' });
  });

  it('up again: the incident is told', async () => {
    const one: Case = await watch({ watchCluster: finds(() => one, down, up) });
    await one.called('journal');
    expect(one.journal).toEqual([`note: watch: ${one.cluster} answers again`]);
    await one.called('watchCluster', 3);
    expect(one.of('watchCluster')[2]).toMatchObject({ down: false });
  });

  it('S1: down because an approved recovery holds the cluster: no incident; still down afterwards: one', async () => {
    const one: Case = await watch({
      watchCluster: finds(() => one, down, down),
      recoveryHolds: async () => one.of('watchCluster').length < 2,
    });
    await one.called('recordIncident', 1);
    expect(one.of('watchCluster').slice(0, 2)).toEqual([
      expect.objectContaining({ down: false }),
      expect.objectContaining({ down: false }),
    ]);
    expect(incidents(one)).toHaveLength(1);
  });

  it('down again while its incident is open: no second one', async () => {
    const one: Case = await watch({
      watchCluster: finds(() => one, down, up, { ...down, since: '2026-11-21T05:00:00.000Z' }),
    });
    await one.called('watchCluster', 4);
    expect(await childrenOf(one.workflow)).toEqual([
      `incident/${one.cluster}/instance-loss/${one.cluster}-20261121T021500Z`,
    ]);
  });

  it('dismissed: not opened again while the cluster is still down, but for the next loss', async () => {
    const dismissed = gate();
    const found = [down, null, up, { ...down, since: '2026-11-21T05:00:00.000Z' }];
    const one: Case = await watch({
      watchCluster: async () => {
        const finding = found[one.of('watchCluster').length - 1];
        if (one.of('watchCluster').length === 2) await dismissed.passed;
        return finding === undefined ? untilCancelled() : finding;
      },
      workflowIsOpen: async ({ workflowId }) =>
        (await lab.client.workflow.getHandle(workflowId).describe()).status.name === 'RUNNING',
    });
    // With its recovery waiting: the test server mishandles a cancellation that meets the end of an activity.
    await one.called('pin');
    await one.state(
      'waiting-approval',
      lab.client.workflow.getHandle(`recover/${one.cluster}/${one.cluster}-20261121T021500Z`),
    );
    const incident = lab.client.workflow.getHandle(String(incidents(one)[0]));
    await incident.signal(signalNames.dismiss, person);
    await incident.result();
    const before = one.of('recordIncident').length;
    dismissed.open();
    await one.called('watchCluster', 5);
    await one.called('recordIncident', before + 2);
    expect(incidents(one)).toEqual([
      incident.workflowId,
      `incident/${one.cluster}/instance-loss/${one.cluster}-20261121T050000Z`,
    ]);
    // None was opened in between, at the second look, which found nothing new.
    expect(one.journal).toEqual([]);
  });

  it('an activity that fails is started again, without an incident', async () => {
    const one: Case = await watch({
      watchCluster: async () => {
        if (one.of('watchCluster').length < 3) throw failure('database-unreachable', 'interrupted', true);
        return untilCancelled();
      },
    });
    await one.called('watchCluster', 3);
    expect(await childrenOf(one.workflow)).toEqual([]);
  });

  it('cancelled: it says so; the incident it opened goes on', async () => {
    const one: Case = await watch({ watchCluster: finds(() => one, down) });
    await one.called('recordIncident', 2);
    await one.called('watchCluster', 2);
    await one.workflow.cancel();
    expect(await failureOfWorkflow(one.workflow)).toMatchObject({ type: 'CancelledFailure' });
    expect(await one.status()).toMatchObject({ state: 'cancelled' });
    expect((await lab.client.workflow.getHandle(String(incidents(one)[0])).describe()).status.name).toBe('RUNNING');
  });
});

describe('L7: a watch that cannot look', () => {
  const refused = { code: 'path-refused', message: 'the repository is a directory of another host' } as const;

  it('a control worker with an older configuration is waited for: the watch goes on', async () => {
    let known = false;
    const one: Case = await watch({
      describeCluster: async () => {
        if (!known) throw failure('not-found', 'there is no cluster of that name');
        return { host: HOST, configDigest: 'c', policies: {} };
      },
      watchCluster: async ({ unknown }) => (unknown ? up : untilCancelled()),
    });
    await one.called('describeCluster', 3);
    await one.state('cannot-look');
    known = true;
    await one.called('watchCluster');
    expect(await one.state('running')).toMatchObject({ kind: 'watch' });
  });

  it('nothing that fails ends it', async () => {
    const one: Case = await watch({
      watchCluster: finds(() => one, down),
      recoveryHolds: async () => {
        throw failure('internal', 'a defect');
      },
    });
    await one.state('cannot-look');
    await one.called('watchCluster', 2);
    expect((await one.workflow.describe()).status.name).toBe('RUNNING');
  });

  it('a server that is down is found after it could not look, and an incident opened once', async () => {
    const one: Case = await watch({
      watchCluster: async ({ unknown }) => {
        if (one.of('watchCluster').length === 1) throw failure(refused.code, refused.message);
        return unknown ? down : untilCancelled();
      },
    });
    await one.called('recordIncident', 2);
    expect(incidents(one)).toHaveLength(1);
    expect(await one.state('running')).toMatchObject({ waitingFor: null });
  });
});

describe('O9: a server that refuses the login', () => {
  const refused: WatchFinding = {
    ...{ state: 'cannot-look', layer: 'login', reason: 'password authentication failed', since },
    fix: 'correct the password',
  };

  it('O9: is no loss: no incident; it cannot look, says what to correct, tells people once, and goes on to look', async () => {
    const seen = gate();
    const one: Case = await watch({
      describeCluster: async () => ({ host: HOST, configDigest: 'c', policies: {}, tells: ['failure', 'incident'] }),
      watchCluster: async (input) => {
        if (one.of('watchCluster').length === 2) await seen.passed;
        return finding(input);
      },
    });
    const finding = finds(() => one, refused, null, up, null);
    const blind = await one.state('cannot-look');
    expect(blind.waitingFor).toContain('password authentication failed');
    expect(blind.waitingFor).toContain('correct the password');
    seen.open();
    await one.state('running');
    await one.called('watchCluster', 5);
    expect(one.of('watchCluster')).toEqual(
      [{}, { unknown: true, refused: true }, { unknown: true, refused: true }, {}, {}].map((knows) => ({
        cluster: one.cluster,
        down: false,
        ...knows,
      })),
    );
    const children = await childrenOf(one.workflow);
    expect(children).toHaveLength(1);
    expect(children[0]).toMatch(/^notify\/.*-failed$/);
  });

  it('O9: that is lost afterwards is found lost, and an incident is opened', async () => {
    const one: Case = await watch({ watchCluster: finds(() => one, refused, down) });
    await one.called('recordIncident');
    expect(incidents(one)).toHaveLength(1);
  });
});

describe('O1: a watch that a person has pause', () => {
  const pause = (one: Case, until?: string) =>
    one.workflow.executeUpdate(updateNames.pauseWatch, { args: [{ ...person, until }] });
  const resume = (one: Case) => one.workflow.executeUpdate(updateNames.resumeWatch, { args: [person] });

  it('O1: looks at nothing until it is resumed, says who paused it and why, and then looks as if it knew nothing', async () => {
    const one: Case = await watch({ watchCluster: async () => untilCancelled() });
    await one.called('watchCluster');
    expect(await pause(one)).toEqual({ ...person, until: null });
    const paused = await one.state('paused');
    expect(paused.waitingFor).toContain(`paused by ${person.by} (${person.reason})`);
    expect(paused.waitingFor).toContain(`reprise cluster watch resume ${one.cluster}`);
    expect(one.of('watchCluster')).toHaveLength(1);
    expect(await resume(one)).toEqual({ resumed: true });
    expect(await resume(one)).toEqual({ resumed: false });
    await one.called('watchCluster', 2);
    expect(one.of('watchCluster')[1]).toMatchObject({ unknown: true });
    await one.state('running');
    expect(await childrenOf(one.workflow)).toEqual([
      expect.stringMatching(/^notify\/.*-watch$/),
      expect.stringMatching(/^notify\/.*-watch$/),
    ]);
  });

  it('O1: looks again by itself at the time that was named; what it finds then opens an incident', async () => {
    const one: Case = await watch({ watchCluster: async ({ unknown }) => (unknown ? down : untilCancelled()) });
    await one.called('watchCluster');
    const now = await lab.now();
    await expect(pause(one, new Date(now - 1000).toISOString())).rejects.toMatchObject({ cause: { type: 'usage' } });
    await pause(one, new Date(now + 3_600_000).toISOString());
    await one.state('paused');
    // Another end that is near; one that is over before it arrives is refused.
    await until(async () => {
      const soon = new Date((await lab.now()) + 1500).toISOString();
      return pause(one, soon).then(
        () => true,
        () => false,
      );
    }, 'another end is taken');
    await one.called('recordIncident');
    expect(incidents(one)).toHaveLength(1);
  });

  it('O1: a time without an offset is refused, and nothing pauses', async () => {
    const one: Case = await watch({ watchCluster: async () => untilCancelled() });
    await one.called('watchCluster');
    await expect(pause(one, '2036-01-01 00:00')).rejects.toMatchObject({
      cause: { message: expect.stringContaining('offset') },
    });
    expect(await one.status()).toMatchObject({ state: 'running' });
  });
});

describe('S1: an activity that is not heard of any more', () => {
  it('with a worker that polls: it is started again, and that is all', async () => {
    const { polled } = timedOut;
    await polled.called('watchCluster', 2);
    expect(await childrenOf(polled.workflow)).toEqual([]);
    expect(await polled.status()).toMatchObject({ state: 'running' });
  });

  it('without one: that is a finding of its own, layer host, since it fell silent', async () => {
    const { dead } = timedOut;
    await dead.called('recordIncident');
    expect(dead.of('recordIncident')[0]).toMatchObject({
      state: 'suspected',
      text: `layer host: the worker of host ${HOST} is not running`,
    });
    const [, year, month, day, hour, minute, second] =
      /-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(String(incidents(dead)[0])) ?? [];
    const fellSilent = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
    // The heartbeat time-out is 15 s; an hour's look that ends in silence did not fail an hour ago.
    expect(fellSilent).toBeGreaterThanOrEqual(startedAt + 13_000);
    await dead.called('watchCluster', 2);
    expect(dead.of('watchCluster')[1]).toMatchObject({ down: true });
    expect(await dead.status()).toMatchObject({
      state: 'waiting-worker',
      waitingFor: expect.stringContaining(`reprise worker --host ${HOST}`),
    });
  });
});
