import { beforeAll, describe, expect, it } from '@jest/globals';
import { heavyQueue, lightQueue, signalNames, updateNames, workflowTypes } from '../../src/domain/operation/names.js';
import type { DrillOrder } from '../../src/domain/operation/orders.js';
import { StagingHost, failedCheck, outcomeOf, signsOff, told, word } from './drills.js';
import { type Activities, type Case, HOST, Lab, failure, failureOfWorkflow, untilCancelled } from './lab.js';
import { wellBehaved } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start();
});

const DAY = 86_400;
const by = ['qa'];

interface Given {
  readonly staging?: StagingHost;
  readonly activities?: Partial<Activities>;
  readonly order?: DrillOrder;
  /** Nobody is asked. */
  readonly unasked?: boolean;
  /** The cluster's own host is another one, without a worker. */
  readonly elsewhere?: boolean;
  /** As a schedule starts it: without an operation id. */
  readonly scheduled?: boolean;
}

/** A drill whose staging host is the one that has a worker. */
async function startDrill({ staging = new StagingHost(), activities, order = {}, ...how }: Given = {}): Promise<Case> {
  const one = lab.case({
    ...staging.activities(),
    describeCluster: async (input) => ({
      ...(await wellBehaved.describeCluster(input)),
      ...(how.elsewhere
        ? { host: 'elsewhere', tells: [] }
        : { tells: ['failure', 'drill-failed', 'sign-off'] as const }),
      drill: { host: HOST, ...(how.unasked ? {} : { signOff: { by, withinSeconds: 5 * DAY } }) },
    }),
    ...activities,
  });
  const input = { requester: 'ops', order, ...(how.scheduled ? {} : { operationId: 'op' }) };
  await one.start(workflowTypes.drill, 'drill/CLUSTER/op', input);
  return one;
}

const sealed = (one: Case) => one.of('sealEvidence').map(({ ended, reason }) => ({ ended, reason }));
const STEPS = ['wipeStaging', 'restoreStaging', 'startStaging', 'checkStaging'] as const;

describe('P4: a restore drill', () => {
  it('restores with each engine in turn, checks, compares, waits for the sign-off, seals the evidence and empties staging', async () => {
    const staging = new StagingHost(['physical', 'nightly']);
    const one = await startDrill({ staging, activities: {} });
    const { waitingFor } = await one.state('waiting-sign-off');
    expect(waitingFor).toContain(`reprise sign-off drill/${one.cluster}/op --verdict pass`);
    await signsOff(one);
    const outcome = await outcomeOf(one.workflow);
    expect(outcome).toMatchObject({ verdict: 'pass', signOff: { by: 'qa', verdict: 'pass' } });
    const notices: readonly string[] = ['deliveriesOf', 'sendNotice', 'journal'];
    expect(one.names.filter((name) => !notices.includes(name))).toEqual([
      'planDrill',
      ...STEPS,
      ...STEPS,
      'crossCheck',
      'openStaging',
      'recordSignOff',
      'sealEvidence',
      'closeStaging',
    ]);
    expect(one.of('checkStaging').map(({ restore }) => restore)).toEqual([0, 1]);
    expect(await one.status()).toMatchObject({ kind: 'drill', state: 'completed' });
  });

  it('works on the staging host, its heavy steps with a slot of it, which it does not keep while people are waited for', async () => {
    const one = await startDrill({ elsewhere: true });
    await one.state('waiting-sign-off');
    const queues = Object.fromEntries(one.calls.map(({ name, queue }) => [name, queue]));
    expect(queues).toMatchObject({
      planDrill: lightQueue(HOST),
      wipeStaging: heavyQueue(HOST),
      restoreStaging: heavyQueue(HOST),
      startStaging: heavyQueue(HOST),
      checkStaging: heavyQueue(HOST),
      openStaging: lightQueue(HOST),
    });
    expect(one.of('acquireSlot')).toMatchObject([{ host: HOST, kind: 'heavy' }]);
    expect(one.of('releaseSlot')).toHaveLength(1);
    expect(one.of('acquireLock')).toEqual([]);
    await signsOff(one);
    await outcomeOf(one.workflow);
  });

  it('K4: a check that fails does not keep the later ones from running; the evidence has all, and nobody is asked to sign it off', async () => {
    const staging = new StagingHost(['physical', 'nightly']);
    const checkStaging: Activities['checkStaging'] = async ({ restore }) =>
      staging.keep([restore === 0 ? failedCheck('physical') : { ...failedCheck('nightly'), status: 'passed' }]);
    const one = await startDrill({ staging, activities: { checkStaging } });
    const outcome = await outcomeOf(one.workflow);
    expect(outcome.verdict).toBe('fail');
    expect(outcome.reason).toContain('check tables of physical failed: 0 tables');
    expect(outcome.checks).toHaveLength(2);
    expect(one.of('openStaging')).toEqual([]);
    await one.until(
      async () => (told(one).includes('failed') ? true : null),
      async () => told(one).join(),
    );
    expect(told(one)).toEqual(['failed']);
    expect(one.of('closeStaging')).toHaveLength(1);
  });

  it('a restore that fails does not keep the next engine from being tried: the drill fails, with evidence', async () => {
    const staging = new StagingHost(['physical', 'nightly']);
    const restoreStaging: Activities['restoreStaging'] = async ({ restore }) => {
      if (restore === 0) throw failure('backup-corrupt', 'a file of the backup is damaged');
    };
    const one = await startDrill({ staging, activities: { restoreStaging } });
    const outcome = await outcomeOf(one.workflow);
    expect(outcome.verdict).toBe('fail');
    expect(sealed(one)).toMatchObject([
      { ended: 'failed', reason: expect.stringContaining('physical: a file of the backup is damaged') },
    ]);
    expect(one.of('checkStaging').map(({ restore }) => restore)).toEqual([1]);
    // One alone has nothing that it could be compared with.
    expect(one.of('crossCheck')).toEqual([]);
  });

  it('a plan that is refused empties nothing, and whoever asked reads why', async () => {
    const planDrill = async (): Promise<never> => {
      throw failure('conflict', 'the place is taken by drill/x/other');
    };
    const one = await startDrill({ activities: { planDrill } });
    expect(await failureOfWorkflow(one.workflow)).toEqual({
      type: 'conflict',
      message: 'the place is taken by drill/x/other',
    });
    expect(one.names).toEqual(['planDrill']);
  });

  it('K7: of a plan refused to a schedule people are told, and the register has it', async () => {
    const planDrill = async (): Promise<never> => {
      throw failure('no-usable-backup', 'there is no backup');
    };
    const one = await startDrill({ activities: { planDrill }, scheduled: true });
    await failureOfWorkflow(one.workflow);
    const [step] = one.of('planDrill');
    expect(step?.['operationId']).toMatch(/^\d{8}-\d{6}-[0-9a-f]{6}$/);
    expect(one.of('recordUnplannedDrill')).toMatchObject([
      { operationId: step?.['operationId'], reason: 'there is no backup' },
    ]);
    await one.until(
      async () => (told(one).includes('incomplete') ? true : null),
      async () => told(one).join(),
    );
  });

  it('waits for the worker of the staging host, and says so', async () => {
    const one = await startDrill({ unasked: true, activities: { hostAnswers: async () => false } });
    expect((await outcomeOf(one.workflow)).verdict).toBe('pass');
    expect(one.of('confirmWorker')).toEqual([{ host: HOST }]);
  });

  it('P4: cancelled while it is planned, it gives back what a cut off attempt may have taken', async () => {
    const one = await startDrill({ activities: { planDrill: untilCancelled } });
    await one.pending('planDrill');
    await one.workflow.cancel();
    await failureOfWorkflow(one.workflow);
    expect(one.names.filter((name) => name === 'closeStaging')).toHaveLength(1);
    expect(sealed(one)).toEqual([]);
    expect((await one.status()).state).toBe('cancelled');
  });

  it('cancelled while it restores: the evidence says so, and staging is emptied', async () => {
    const one = await startDrill({ activities: { restoreStaging: untilCancelled } });
    await one.called('restoreStaging');
    await one.workflow.cancel();
    await failureOfWorkflow(one.workflow);
    expect(sealed(one)).toEqual([{ ended: 'cancelled', reason: 'it was cancelled' }]);
    expect(one.names.at(-1)).toBe('closeStaging');
    expect((await one.status()).state).toBe('cancelled');
  });

  it('a cluster without drills is refused, with what to write', async () => {
    const one = lab.case();
    await one.start(workflowTypes.drill, 'drill/CLUSTER/op', { operationId: 'op', requester: 'ops', order: {} });
    expect(await failureOfWorkflow(one.workflow)).toMatchObject({ type: 'not-found' });
  });
});

describe('P5: the sign-off', () => {
  it('is accepted by signal, pasted as one line of JSON, also before it is asked for', async () => {
    const one = await startDrill();
    await one.workflow.signal(signalNames.signOff, JSON.stringify({ ...word, remarks: undefined }));
    expect(await outcomeOf(one.workflow)).toMatchObject({ verdict: 'pass', signOff: { by: 'qa', remarks: null } });
    expect(one.of('recordSignOff')).toMatchObject([{ sentBy: { signal: 'sign-off' } }]);
  });

  it('a malformed one and one of somebody who is not named are noted, and it goes on waiting', async () => {
    const one = await startDrill();
    await one.workflow.signal(signalNames.signOff, 'good');
    await one.state('waiting-sign-off');
    await one.workflow.signal(signalNames.signOff, { ...word, verdict: 'perhaps' });
    await one.workflow.signal(signalNames.signOff, { ...word, by: 'eve' });
    // Beside them, the journal has who was notified.
    const noted = () => one.journal.filter((line) => line.startsWith('message: '));
    await one.until(
      async () => (noted().length >= 3 ? true : null),
      async () => one.journal.join('\n'),
    );
    expect(noted()).toEqual([
      'message: a sign-off is not valid: not JSON: good',
      'message: a sign-off is not valid: "verdict" is neither pass nor fail',
      'message: the sign-off of eve was refused: eve may not sign off',
    ]);
    await expect(signsOff(one, { ...word, by: 'eve' })).rejects.toMatchObject({
      cause: { type: 'approval-refused', message: 'eve may not sign off' },
    });
    await expect(signsOff(one, { verdict: 'pass' })).rejects.toMatchObject({
      cause: { type: 'approval-refused', message: '"by" is missing or empty' },
    });
    await signsOff(one);
    expect((await outcomeOf(one.workflow)).verdict).toBe('pass');
  });

  it('one that says fail makes the drill fail, and people are told', async () => {
    const one = await startDrill();
    await one.state('waiting-sign-off');
    await signsOff(one, { verdict: 'fail', by: 'qa', remarks: 'no photos' });
    expect(await outcomeOf(one.workflow)).toMatchObject({
      verdict: 'fail',
      reason: 'qa signed it off as failed: no photos',
    });
    await one.until(
      async () => (told(one).includes('failed') ? true : null),
      async () => told(one).join(),
    );
  });

  it('cancelled while it is waited for: incomplete, and staging is emptied', async () => {
    const one = await startDrill();
    await one.state('waiting-sign-off');
    await one.called('deliveriesOf');
    await one.workflow.cancel();
    await failureOfWorkflow(one.workflow);
    expect(sealed(one)).toEqual([{ ended: 'cancelled', reason: 'it was cancelled' }]);
    expect(one.of('closeStaging')).toHaveLength(1);
    expect(told(one)).toEqual(['asked']);
  });

  it('rejected while it is waited for: it ends without a verdict, by a person', async () => {
    const one = await startDrill();
    await one.state('waiting-sign-off');
    await one.workflow.executeUpdate(updateNames.reject, { args: [{ by: 'ops', reason: 'staging is needed' }] });
    expect(await outcomeOf(one.workflow)).toMatchObject({
      verdict: 'incomplete',
      reason: 'ops ended it: staging is needed',
    });
  });

  it('staging that cannot be masked is opened to nobody: the drill fails', async () => {
    const openStaging = async (): Promise<never> => {
      throw failure('tool-rejected', 'the mask failed');
    };
    const one = await startDrill({ activities: { openStaging } });
    expect((await outcomeOf(one.workflow)).verdict).toBe('fail');
    expect(told(one)).not.toContain('asked');
  });
});

describe('K7: a drill that is overdue', () => {
  const dueAt = '2026-10-04T02:00:00.000Z';
  const overdue = async (activities: Partial<Activities>) => {
    const one = lab.case({
      describeCluster: async (input) => ({ ...(await wellBehaved.describeCluster(input)), tells: ['drill-overdue'] }),
      lastDrillDue: async () => dueAt,
      ...activities,
    });
    await one.start(workflowTypes.drillOverdue, 'drill-overdue/CLUSTER', {});
    return [one, await one.workflow.result()] as const;
  };
  const entry = {
    ...{ id: 'drill-overdue-2026-10-04', cluster: 'mairie', what: 'drill-overdue' as const, text: 'it is late' },
    ...{ owner: 'ops', openedAt: dueAt, dueAt, drillId: null, closedBy: null, closedAt: null },
  };

  it('is told once, however long it is late', async () => {
    const [one, result] = await overdue({ recordOverdueDrill: async () => ({ entry, isNew: true }) });
    expect(result).toEqual({ dueAt, entry });
    expect(one.of('recordOverdueDrill')).toMatchObject([{ dueAt, now: expect.stringContaining('T') }]);
    await one.until(
      async () => (told(one).includes('overdue') ? true : null),
      async () => told(one).join(),
    );
    const [again] = await overdue({ recordOverdueDrill: async () => ({ entry, isNew: false }) });
    expect(told(again)).toEqual([]);
  });

  it('nothing is late: nobody is told', async () => {
    const [one, result] = await overdue({});
    expect(result).toEqual({ dueAt, entry: null });
    expect(told(one)).toEqual([]);
    const [never] = await overdue({ lastDrillDue: async () => null });
    expect(never.of('recordOverdueDrill')).toEqual([]);
  });
});
