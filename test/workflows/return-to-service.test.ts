import { beforeAll, describe, expect, it } from '@jest/globals';
import { signalNames, updateNames, workflowTypes } from '../../src/domain/operation/names.js';
import type { RepairBinding } from '../../src/domain/table/repair.js';
import { type Activities, type Case, failure, failureOfWorkflow, Lab, type Name } from './lab.js';
import { person } from './recoveries.js';
import { repairOutcome, repairPlanOf } from './repairs.js';
import { wellBehaved } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.skipping();
});

const order = {
  ...{ database: 'mairie', table: { schema: 'metier', table: 'demandes_rdv' }, strategy: 'replace' },
  source: { kind: 'repair', operationId: 'earlier' },
};
const HOUR = 3600;
const blocked: Partial<RepairBinding> = {
  ...{ freeze: { by: 'trigger' }, hooks: ['stop-batches', 'stop-site'] },
  undoHooks: { 'stop-batches': 'start-batches', 'stop-site': 'start-site' },
};
const asked: Partial<RepairBinding> = { ...blocked, signOff: { by: ['qa'], withinSeconds: 4 * HOUR } };

/** A repair of a table that was approved. */
async function repairing(more: Partial<RepairBinding>, activities: Partial<Activities> = {}): Promise<Case> {
  const one = lab.case({
    describeCluster: async (input) => ({
      ...(await wellBehaved.describeCluster(input)),
      tells: ['failure', 'sign-off'],
    }),
    planRepair: async (request) => repairPlanOf(request, undefined, more),
    recordRepairSignOff: async ({ signOff: { by } }) =>
      by === 'qa'
        ? { accepted: true, missing: 0 }
        : { accepted: false, missing: 0, code: 'approval-refused', reason: `${by} may not sign off` },
    ...activities,
  });
  await one.start(workflowTypes.repairTable, 'table-repair/CLUSTER/op', { order, requester: 'ops', operationId: 'op' });
  const { plan } = await one.state('waiting-approval');
  await one.workflow.executeUpdate(updateNames.approve, { args: [{ ...person, plan }] });
  return one;
}

const signs = (one: Case, verdict: 'pass' | 'fail', more: object = {}): Promise<unknown> =>
  one.workflow.executeUpdate(updateNames.signOffRepair, { args: [{ verdict, by: 'qa', remarks: 'seen', ...more }] });

/** What was done on the host and with the lock, from the changes on. */
const STEPS: readonly Name[] = [
  ...(['applyRepair', 'checkRepair', 'recordRepairSignOff', 'unfreezeTable', 'undoHook', 'recordTableCount'] as const),
  ...(['finishRepair', 'closeRepair', 'acquireLock', 'releaseLock', 'releaseSlot'] as const),
];
const since = (one: Case, name: Name): readonly Name[] => {
  const calls = one.calls.map((call) => call.name);
  return calls.slice(calls.indexOf(name)).filter((called) => STEPS.includes(called));
};
/** The first so many notices. */
async function told(one: Case, count: number): Promise<readonly unknown[]> {
  await one.called('sendNotice', count);
  return one.of('sendNotice').map(({ notice }) => (notice as { facts: unknown }).facts);
}
const done = (one: Case): Promise<unknown> => one.workflow.result();

describe('T7: a repaired table goes back into service', () => {
  it('T7: writes stay blocked until the sign-off, slot and lock are free meanwhile; then the table is opened and each hook taken back, the rows counted after each', async () => {
    const one = await repairing(asked);
    const { waitingFor } = await one.state('waiting-sign-off');
    expect(waitingFor).toContain(`reprise sign-off table-repair/${one.cluster}/op --verdict pass`);
    expect(since(one, 'applyRepair')).toEqual(['applyRepair', 'checkRepair', 'releaseLock', 'releaseSlot']);
    expect(one.names).not.toContain('unfreezeTable');
    await expect(signs(one, 'pass', { by: 'eve' })).rejects.toMatchObject({
      cause: { message: 'eve may not sign off' },
    });
    await signs(one, 'pass');
    expect(await done(one)).toMatchObject({ state: 'completed' });
    expect(since(one, 'recordRepairSignOff').slice(2)).toEqual([
      ...['acquireLock', 'unfreezeTable', 'recordTableCount', 'undoHook', 'recordTableCount', 'undoHook'],
      ...['recordTableCount', 'releaseLock', 'finishRepair', 'closeRepair'],
    ]);
    expect(one.of('undoHook').map(({ hook }) => hook)).toEqual(['stop-site', 'stop-batches']);
    expect(one.of('recordTableCount').map(({ after }) => after)).toEqual([
      'block writes to the table',
      'open the table for writes',
      'start-site (undo of stop-site)',
      'start-batches (undo of stop-batches)',
    ]);
    expect(await told(one, 1)).toMatchObject([{ kind: 'repair-sign-off', stage: 'asked', by: ['qa'] }]);
  });

  it('T7: signed off as failed, it undoes nothing, says what can be typed, and opens the table when a person continues it', async () => {
    const one = await repairing(asked);
    await one.state('waiting-sign-off');
    await one.workflow.signal(signalNames.signOff, {
      verdict: 'fail',
      by: 'qa',
      remarks: 'no evening *appointments*, see [it](https://evil.example)',
    });
    const { waitingFor } = await one.state('paused');
    for (const text of [
      'qa signed the repair off as failed: no evening *appointments*',
      'reprise continue',
      'opened at',
    ])
      expect(waitingFor).toContain(text);
    expect(waitingFor).toContain(`reprise table undo ${one.cluster} mairie metier.demandes_rdv --repair op`);
    expect(one.names).not.toContain('unfreezeTable');
    await one.workflow.signal(signalNames.continue, person);
    expect(await done(one)).toMatchObject({ state: 'completed' });
    expect(since(one, 'unfreezeTable')[0]).toBe('unfreezeTable');
    expect(await told(one, 2)).toMatchObject([{ stage: 'asked' }, { stage: 'failed' }]);
  });

  it('T7: nobody answers: reminded, escalated, then opened without a word; a person who rejects ends the wait, and the report is completed', async () => {
    const one = await repairing(asked);
    await one.state('waiting-sign-off');
    for (const stages of [1, 2, 3]) {
      await one.called('sendNotice', stages);
      await lab.pass('2 hours');
    }
    expect(await done(one)).toMatchObject({ state: 'completed' });
    expect(await told(one, 4)).toMatchObject([
      { stage: 'asked' },
      { stage: 'reminder' },
      { stage: 'escalation' },
      { stage: 'unanswered' },
    ]);
    expect(one.of('unfreezeTable')).toHaveLength(1);

    const ended = await repairing(asked);
    await ended.state('waiting-sign-off');
    await ended.workflow.signal(signalNames.reject, { by: 'dba', reason: 'qa is away' });
    expect(await done(ended)).toMatchObject({ state: 'completed' });
    expect(ended.journal).toContain('message: dba ended the wait for the sign-off: qa is away');
    expect(ended.of('finishRepair')).toHaveLength(1);
  });

  it('T7: called off while the sign-off is waited for, it opens the table, takes hooks back and completes the report', async () => {
    const one = await repairing(asked);
    await one.state('waiting-sign-off');
    await one.workflow.cancel();
    await failureOfWorkflow(one.workflow);
    expect(one.of('unfreezeTable')).toHaveLength(1);
    expect(one.of('undoHook')).toHaveLength(2);
    expect(one.of('finishRepair')).toHaveLength(1);
    expect(await one.status()).toMatchObject({ state: 'cancelled' });
  });

  it('T7: where nobody is asked and a check failed, people decide before the table is opened', async () => {
    const checks = [{ name: 'number of rows', status: 'failed', detail: '10 before, 11 after, 12 expected' }] as const;
    const one = await repairing(blocked, { checkRepair: async () => ({ ...repairOutcome, checks }) });
    expect((await one.state('paused')).waitingFor).toContain('number of rows (10 before, 11 after, 12 expected)');
    expect(one.names).not.toContain('unfreezeTable');
    await one.workflow.signal(signalNames.continue, person);
    expect(await done(one)).toMatchObject({ state: 'completed' });
  });

  it('T7: the rows are watched for the time given, an abnormal change is told once, a count that fails ends nothing, and a person ends it', async () => {
    let counts = 0;
    const recordTableCount: Activities['recordTableCount'] = async ({ after }) => {
      counts++;
      if (counts === 1) throw failure('database-unreachable', 'away');
      const suspicion = counts >= 3 && counts < 5 ? '2 rows instead of 12 (-83 %)' : null;
      return { after, at: '2026-11-21T02:31:00.000Z', rows: 2, change: -10, since: 'the repair', suspicion };
    };
    const one = await repairing({ watchSeconds: 12 * HOUR }, { recordTableCount });
    for (let look = 1; look <= 5; look++) {
      await one.waitsFor('the end of the watch');
      await lab.pass('61 minutes');
      await one.called('recordTableCount', look);
    }
    expect(since(one, 'applyRepair').slice(0, 4)).toEqual(['applyRepair', 'checkRepair', 'releaseLock', 'releaseSlot']);
    expect(await told(one, 1)).toMatchObject([
      { kind: 'table-volume', found: 'after watch 3: 2 rows instead of 12 (-83 %)' },
    ]);
    expect(one.names).not.toContain('finishRepair');
    await one.workflow.signal(signalNames.continue, person);
    expect(await done(one)).toMatchObject({ state: 'completed' });
    expect(one.of('recordTableCount')).toHaveLength(5);
  });
});
