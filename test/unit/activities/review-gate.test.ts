import { mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MockActivityEnvironment } from '@temporalio/testing';
import { describe, expect, it } from '@jest/globals';
import { authorize, authorizePlan, requireRecentUse } from '../../../src/activities/approval/authorize.js';
import { claimOperation } from '../../../src/activities/approval/own-operation.js';
import type { PlannedStep } from '../../../src/activities/api.js';
import { requirePromotion, requireTarget } from '../../../src/activities/approval/decisions.js';
import { PROMOTED, oldDataDirOf, oldDirectory } from '../../../src/activities/recovery/old-data.js';
import { openClusterContext, record } from '../../../src/activities/cluster-context.js';
import { pinFindings, pinLines, sweepCluster } from '../../../src/activities/sweep.js';
import { closedByTemporal } from '../../../src/activities/workflow-closed.js';
import { type MediaPlan, isMediaPlan } from '../../../src/domain/media/media.js';
import { planDigest } from '../../../src/records/digest.js';
import { openHostState } from '../../../src/records/host-state.js';
import { openOperationLedger } from '../../../src/records/operation-ledger.js';
import { mediaPlanOf } from '../../workflows/well-behaved.js';
import { backupFacts } from '../records/samples.js';
import { gateSite } from './gate-site.js';

describe('the gate of the host', () => {
  it('F33: an approval holds for its action: no plan of media opens a step of a recovery, nor the other way round', async () => {
    const { approved, step, activities, run, state } = await gateSite();
    const recovery = await approved('op-recovery');
    await expect(run(activities.applyMedia, step(recovery))).rejects.toMatchObject({ type: 'plan-unknown' });
    expect(await state.usedBy(recovery.digest)).toBeNull();
    // A sync is approved by nobody where no policy asks for it: what it may open must be nothing else.
    const binding = { ...recovery.binding, operationId: 'op-sync', action: 'media-sync' as never };
    const sync = { ...recovery, binding, digest: planDigest(binding) };
    await state.savePlan(sync);
    for (const name of ['putAside', 'stopServer', 'restoreFiles'] as const)
      await expect(run(activities[name], step(sync))).rejects.toMatchObject({ type: 'plan-unknown' });
    expect(await state.usedBy(sync.digest)).toBeNull();
  });

  it('F33: a plan whose recovery has ended, however it ended, lets no step started by hand pass', async () => {
    const { session, step, approved, run, activities, approve } = await gateSite();
    const plan = await approved('op-1');
    await authorize(session, step(plan));
    await run(activities.unpin, step(plan));
    await expect(authorize(session, step(plan))).rejects.toMatchObject({ code: 'approval-used' });
    expect(await approve(plan, 'ops')).toMatchObject({ accepted: false, code: 'approval-used' });
  });

  it('F8, F33: a recovery that is used ends an older one that was terminated: resumed, it would move away what was recovered since', async () => {
    const { session, step, approved } = await gateSite();
    const [older, newer] = [await approved('op-1'), await approved('op-2')];
    await authorize(session, step(older));
    await authorize(session, step(newer));
    await expect(authorize(session, step(older))).rejects.toMatchObject({ code: 'approval-used' });
    await authorize(session, step(newer));
  });

  it('F33: syncs of different media, or to different places, do not end each other; one of the same does', async () => {
    const { session, step, state } = await gateSite();
    const sync = async (operationId: string, media: string, into: string): Promise<MediaPlan> => {
      const of = mediaPlanOf(
        {
          cluster: 'mairie',
          operationId,
          requester: 'ops',
          order: { media, task: { kind: 'sync', into, delete: false, maxDelete: 0 } },
        },
        { approvers: 0 },
      );
      const binding = {
        ...of.binding,
        targetHost: 'db1',
        configDigest: 'config-1',
        into: { repository: into, folder: '' },
      };
      const made = { ...of, binding, digest: planDigest(binding) };
      await state.savePlan(made);
      return made;
    };
    const pass = (plan: MediaPlan) => authorizePlan(session, { ...step(plan as never) }, isMediaPlan);
    const [photos, elsewhere, plans, again] = [
      await sync('op-1', 'photos', 'copy'),
      await sync('op-2', 'photos', 'other'),
      await sync('op-3', 'plans', 'copy'),
      await sync('op-4', 'photos', 'copy'),
    ];
    for (const plan of [photos, elsewhere, plans, photos, elsewhere]) await pass(plan);
    await pass(again);
    await expect(pass(photos)).rejects.toMatchObject({
      code: 'approval-used',
      hint: expect.stringContaining('reprise media sync photos'),
    });
    await pass(plans);
  });

  it('a recovery half done waits for the configuration that was approved: another one is refused, and does not end it', async () => {
    const { session, step, approved, deps } = await gateSite();
    const plan = await approved('op-1');
    await authorize(session, step(plan));
    const other = await openClusterContext(deps('config-2'), 'mairie');
    await expect(authorize(other, step(plan))).rejects.toMatchObject({ code: 'config-invalid' });
    await authorize(session, step(plan));
  });

  it("F32: the engine's own configuration file is part of what was approved: changed, the plan is stale; changed half way, the recovery waits for it", async () => {
    const { plan, approve, step, deps, session } = await gateSite();
    const made = await plan('op-1', { engineConfigDigest: 'engine-1' });
    await approve(made, 'dba');
    const other = await openClusterContext(deps('config-1', 'engine-2'), 'mairie');
    await expect(authorize(other, step(made))).rejects.toMatchObject({
      code: 'plan-stale',
      message: expect.stringContaining('the configuration file of pgbackrest'),
    });
    await authorize(session, step(made));
    await expect(authorize(other, step(made))).rejects.toMatchObject({
      code: 'config-invalid',
      hint: expect.stringContaining('reprise continue'),
    });
    await authorize(session, step(made));
  });

  it('S5: the records say which plan was used: the report is about that one, not about the last that was made', async () => {
    const { session, step, approved, plan, run, activities } = await gateSite();
    const first = await approved('op-1');
    const used = await plan('op-1', { port: 5433 });
    await run(activities.recordApproval, {
      ...step(used),
      approval: { plan: used.digest.slice(0, 12), by: 'dba', reason: 'seen' },
    });
    await authorize(session, step(used));
    await plan('op-1', { port: 5434 });
    const { plans } = await session.catalogue.state();
    expect([first, used].map(({ digest }) => plans.get(digest)?.usedAt)).toEqual([null, expect.any(String)]);
    await run(activities.writeReport, { ...step(used), incident: 'none' });
    expect(await session.catalogue.incidentDocument('op-1')).toContain(used.digest.slice(0, 12));
  });

  it('F31: of two approvals that come at once neither is lost', async () => {
    const { plan, approve } = await gateSite(2);
    const made = await plan('op-1');
    const answers = await Promise.all(['dba', 'ops'].map((by) => approve(made, by)));
    expect(answers.every(({ accepted }) => accepted)).toBe(true);
    expect(Math.min(...answers.map(({ missing }) => missing))).toBe(0);
  });

  it('F32: made again just as it was, a plan needs all its approvals again', async () => {
    const { session, step, plan, approve } = await gateSite(2);
    const made = await plan('op-1');
    for (const by of ['dba', 'ops']) await approve(made, by);
    await sleep(5);
    const again = await plan('op-1');
    expect(again.digest).toBe(made.digest);
    expect(await approve(again, 'dba')).toMatchObject({ accepted: true, missing: 1 });
    await expect(authorize(session, step(again))).rejects.toMatchObject({ code: 'approval-refused' });
    expect(await approve(again, 'ops')).toMatchObject({ accepted: true, missing: 0 });
    await authorize(session, step(again));
  });

  it('F8, F33: a plan used long ago, of which no step was begun, needs a new approval: its workflow may be resumed by a Reset', async () => {
    const { root, session, approved } = await gateSite();
    const made = await approved('op-1');
    await expect(requireRecentUse(session, made)).rejects.toMatchObject({ code: 'plan-expired' });
    await openHostState(join(root, 'state')).markUsed(made.digest, 'op-1');
    await requireRecentUse(session, made);
    const file = join(root, 'state', 'ledger', `${made.digest}.used.json`);
    await writeFile(file, JSON.stringify({ operationId: 'op-1', at: new Date(Date.now() - 3_601_000).toISOString() }));
    await expect(requireRecentUse(session, made)).rejects.toMatchObject({ code: 'plan-expired' });
  });

  it('F33: an outcome made up by hand is not recorded', async () => {
    const { step, plan, run, activities, session } = await gateSite();
    const made = await plan('op-1');
    const outcome = {
      target: { requested: 'latest', reached: 'x' },
      rtoSeconds: 0,
      waitedForPeopleSeconds: 0,
      rpoSeconds: 0,
      lastCommitAt: null,
      lastLsn: null,
      phases: [],
      checks: [],
    };
    await expect(run(activities.finishRecovery, { ...step(made), outcome })).rejects.toMatchObject({
      type: 'approval-refused',
    });
    expect((await session.catalogue.state()).outcomes.size).toBe(0);
  });
});

describe('G3: an operation id is used once', () => {
  const request = (operationId: string) => ({
    cluster: 'mairie',
    operationId,
    workflowId: `recover/mairie/${operationId}`,
    requester: 'ops',
    order: { target: { kind: 'latest' as const }, into: 'in-place', pause: false, policy: 'physical' },
  });

  it('G3: planning with the id of an operation that has an outcome, or has ended, is refused before anything is looked at', async () => {
    const { run, activities, approved, step, session } = await gateSite();
    const plan = await approved('op-1');
    await run(activities.unpin, step(plan));
    await expect(run(activities.planRecovery, request('op-1'))).rejects.toMatchObject({
      type: 'conflict',
      message: expect.stringContaining('op-1 has ended'),
    });
    const outcome = { target: { requested: 'latest', reached: 'x' }, phases: [], checks: [] };
    await record(session, { operationId: 'op-2' }, 'outcome', {
      kind: 'outcome',
      workflowId: 'w',
      outcome: outcome as never,
    });
    await expect(run(activities.planRecovery, request('op-2'))).rejects.toMatchObject({ type: 'conflict' });
  });

  it('G3: a closed plan from before operations were claimed ends its operation too', async () => {
    const { run, activities, plan, state } = await gateSite();
    await state.closePlan((await plan('op-1')).digest);
    await expect(run(activities.planRecovery, request('op-1'))).rejects.toMatchObject({
      type: 'conflict',
      message: expect.stringContaining('has a closed plan'),
    });
  });

  it.each(['../op', 'a/../b', 'a/b', '', '-rf', 'x'.repeat(200), 'a b'])(
    'G3: %j is no id of an operation that makes a plan',
    async (operationId) => {
      const { run, activities } = await gateSite();
      await expect(run(activities.planRecovery, request(operationId))).rejects.toMatchObject({ type: 'usage' });
      const media = {
        ...request(operationId),
        order: { media: 'photos', task: { kind: 'sync', into: 'x', delete: false, maxDelete: 0 } },
      };
      await expect(run(activities.planMedia, media as never)).rejects.toMatchObject({ type: 'usage' });
    },
  );

  it('G3: the id of one workflow is not taken by another, nor by a later execution of the same', async () => {
    const { session, root } = await gateSite();
    const claim = (workflowId: string, runId: string) =>
      new MockActivityEnvironment({ workflowExecution: { workflowId, runId } }).run(() =>
        claimOperation(session, { operationId: 'backup-1', workflowId }),
      );
    await claim('backup/mairie/a', 'run-1');
    await claim('backup/mairie/a', 'run-1');
    await expect(claim('backup/mairie/b', 'run-1')).rejects.toMatchObject({ code: 'conflict' });
    await expect(claim('backup/mairie/a', 'run-2')).rejects.toMatchObject({ code: 'conflict' });
    expect(await openOperationLedger(join(root, 'state')).open('mairie')).toMatchObject([
      { operationId: 'backup-1', workflowId: 'backup/mairie/a' },
    ]);
  });

  it('G3: what a step did for one plan of an operation is not taken for the work of another plan', async () => {
    const { state, plan } = await gateSite();
    const [one, other] = [await plan('op-1'), await plan('op-1', { port: 5433 })];
    await state.recordDone('op-1', 'restore databases', { reached: 'old' }, one.digest);
    expect(await state.onceDone('op-1', 'restore databases', one.digest)).toMatchObject({ result: { reached: 'old' } });
    expect(await state.onceDone('op-1', 'restore databases', other.digest)).toBeNull();
    // Entries of versions that did not keep plans apart count as before.
    await state.recordDone('op-1', 'stop', null);
    expect(await state.onceDone('op-1', 'stop', other.digest)).not.toBeNull();
  });
});

describe('G4: the time to execute counts until the first change that cannot be undone', () => {
  const hours = (count: number): string => new Date(Date.now() - count * 3_600_000).toISOString();

  it('G4: a plan of which only preparing steps ran, long ago, opens no step: neither restore beside nor swap', async () => {
    const { root, session, step, approved, run, activities } = await gateSite();
    const made = await approved('op-1');
    await authorize(session, step(made));
    await authorize(session, step(made));
    await age(root, made.digest, hours(2));
    for (const name of ['restoreDatabases', 'swapDatabases', 'putAside', 'restoreFiles', 'stopServer'] as const)
      await expect(run<PlannedStep, unknown>(activities[name], step(made))).rejects.toMatchObject({
        type: 'plan-expired',
      });
  });

  it('G4: a recovery that goes on without a pause is not stopped, and one that has begun to change is carried through', async () => {
    const { root, session, step, approved, state } = await gateSite();
    const made = await approved('op-1');
    await authorize(session, step(made));
    // A restore of hours that is still at work says so.
    await age(root, made.digest, hours(2));
    await state.markActive(made.digest);
    await authorize(session, step(made));
    await state.markBegun(made.digest);
    await age(root, made.digest, hours(48));
    await authorize(session, step(made));
  });

  it('G4: a used plan whose time is over needs as many approvals as the policy says: one of two revives nothing', async () => {
    const { root, session, step, plan, approve } = await gateSite(2);
    const made = await plan('op-1');
    for (const by of ['dba', 'ops']) await approve(made, by);
    await authorize(session, step(made));
    await age(root, made.digest, hours(2));
    expect(await approve(made, 'dba')).toMatchObject({ accepted: true, missing: 1 });
    await expect(authorize(session, step(made))).rejects.toMatchObject({ code: 'plan-expired' });
    expect(await approve(made, 'DBA ')).toMatchObject({ accepted: true, missing: 1 });
    await expect(authorize(session, step(made))).rejects.toMatchObject({ code: 'plan-expired' });
    expect(await approve(made, 'ops')).toMatchObject({ accepted: true, missing: 0 });
    await authorize(session, step(made));
  });

  it('G4: one of two approvers who approves again does not keep an unused plan alive', async () => {
    const { root, session, step, plan, approve } = await gateSite(2);
    const made = await plan('op-1', {}, 5);
    for (const by of ['dba', 'ops']) await approve(made, by);
    const folder = join(root, 'state', 'approvals', made.digest);
    for (const file of await readdir(folder)) {
      const stored = JSON.parse(await readFile(join(folder, file), 'utf8')) as object;
      await writeFile(join(folder, file), JSON.stringify({ ...stored, at: hours(2) }));
    }
    expect(await approve(made, 'ops')).toMatchObject({ accepted: true, missing: 1 });
    await expect(authorize(session, step(made))).rejects.toMatchObject({ code: 'approval-refused' });
  });

  /** As if the plan had last been worked on then. */
  async function age(root: string, digest: string, at: string): Promise<void> {
    const ledger = join(root, 'state', 'ledger');
    await writeFile(join(ledger, `${digest}.used.json`), JSON.stringify({ operationId: 'op-1', at }));
    await writeFile(join(ledger, `${digest}.active.json`), JSON.stringify({ at }));
  }
});

describe('G6: only the workflow of an operation acts for it', () => {
  it("G6: unpin, pin, closeMedia, decisions and steps called by another workflow leave the victim's plan and pin alone", async () => {
    const { plan, step, run, activities, session, state } = await gateSite();
    const made = await plan('victim');
    await openOperationLedger(session.host.stateDir).claim({
      operationId: 'victim',
      cluster: 'mairie',
      workflowId: 'recover/mairie/victim',
      firstRunId: 'run-1',
      at: new Date().toISOString(),
      failingSince: null,
    });
    await run(activities.pin, step(made), 'recover/mairie/victim');
    await run(
      activities.recordApproval,
      { ...step(made), approval: { plan: made.digest, by: 'dba', reason: 'seen' } },
      'recover/mairie/victim',
    );
    const pinned = async () => [...(await session.catalogue.state()).pinnedBackups()];
    const before = await pinned();
    const own = step(made);
    const approval = { plan: made.digest, by: 'ops', reason: 'x' };
    const decision = { kind: 'promote' as const, by: 'dba', reason: 'x' };
    const as = <I>(activity: (input: I) => Promise<unknown>, input: I) => run(activity, input, 'recover/mairie/other');
    const calls = {
      unpin: () => as(activities.unpin, own),
      closeMedia: () => as(activities.closeMedia, own),
      pin: () => as(activities.pin, own),
      putAside: () => as(activities.putAside, own),
      swapDatabases: () => as(activities.swapDatabases, own),
      requestThaw: () => as(activities.requestThaw, own),
      recordRejection: () => as(activities.recordRejection, { ...own, by: 'dba', reason: 'x' }),
      recordApproval: () => as(activities.recordApproval, { ...own, approval }),
      recordDecision: () => as(activities.recordDecision, { ...own, decision }),
    };
    for (const [name, call] of Object.entries(calls))
      expect([name, await call().then(String, ({ type }: { type: string }) => type)]).toEqual([
        name,
        'approval-refused',
      ]);
    expect(await pinned()).toEqual(before);
    expect(await state.isClosed(made.digest)).toBe(false);
    expect(await state.usedBy(made.digest)).toBeNull();
    await run(activities.unpin, own, 'recover/mairie/victim');
    expect(await pinned()).toEqual([]);
    expect(await state.isClosed(made.digest)).toBe(true);
  });

  it("G6: a pin names a plan of its own operation: another's, or none, pins nothing and replaces no pin", async () => {
    const { plan, step, run, activities, session } = await gateSite();
    const [mine, other] = [await plan('op-1'), await plan('op-2')];
    await run(activities.pin, step(mine));
    const before = [...(await session.catalogue.state()).pinnedBackups()];
    for (const wrong of [other.digest, '0'.repeat(64), '../../x'])
      await expect(run(activities.pin, { ...step(mine), plan: wrong })).rejects.toMatchObject({ type: 'plan-unknown' });
    expect([...(await session.catalogue.state()).pinnedBackups()]).toEqual(before);
  });
});

describe('G7: what is recorded is what the host saw', () => {
  const reached = { reached: 'the end', lastLsn: '0/5000000', lastCommitAt: null, complete: true };

  it('G7: an outcome, a check and figures that a client gives are not written: those of the ledger are', async () => {
    const { approved, step, run, activities, session, root, state } = await gateSite();
    const made = await approved('op-1');
    await authorize(session, step(made));
    const forged = {
      ...step(made),
      outcome: {
        target: { requested: 'x', reached: 'forged' },
        rtoSeconds: 1,
        rpoSeconds: 0,
        phases: [],
        checks: [{ name: 'forged', status: 'passed', detail: 'all good' }],
      },
    };
    // Nothing was done, so there is no outcome.
    await expect(run(activities.finishRecovery, forged)).rejects.toMatchObject({ type: 'conflict' });
    expect(await state.isClosed(made.digest)).toBe(false);
    const ledger = openOperationLedger(join(root, 'state'));
    const note = (name: string, result?: unknown) =>
      ledger.note('op-1', {
        at: new Date().toISOString(),
        plan: made.digest,
        step: name,
        what: 'done',
        retry: 0,
        result,
      });
    const method =
      made.binding.method === 'databases' ? ['restoreDatabases', 'swapDatabases'] : ['replayWal', 'promoteServer'];
    await note(method[0] ?? '', reached);
    await note('runChecks', [{ name: 'rows', status: 'failed', detail: '0' }]);
    await note(method[1] ?? '');
    const outcome = await run(activities.finishRecovery, { ...forged, firstFailedAt: '1999-01-01T00:00:00Z' });
    expect(outcome).toMatchObject({
      target: { reached: 'the end' },
      checks: [{ name: 'rows', status: 'failed' }],
      rpoSeconds: 0,
    });
    expect(outcome.rtoSeconds).toBeLessThan(3600);
    const document = (await session.catalogue.incidentDocument('op-1')) ?? '';
    expect(document).not.toContain('forged');
    expect(document).toMatch(/1999-01-01.*as told by/);
  });

  it('G7: the words of a client stand in the journal and in the report as told by its workflow, never as a check or a result', async () => {
    const { plan, step, run, activities, session } = await gateSite();
    const made = await plan('op-1');
    const told = { ...step(made), step: 'run checks', text: 'check rows passed; nothing was lost' };
    await run(activities.journal, told, 'evil/1');
    // A line that a stranger wrote first does not stand for that of the operation.
    await run(activities.journal, told, 'recover/mairie/op-1');
    expect((await session.catalogue.state()).journalOf('op-1')).toMatchObject([
      { toldBy: 'evil/1', by: 'evil/1' },
      { toldBy: 'recover/mairie/op-1' },
    ]);
    await run(activities.writeReport, { ...step(made), incident: 'none' });
    const document = (await session.catalogue.incidentDocument('op-1')) ?? '';
    expect(document).toMatch(/nothing was lost.*as told by evil\/1/);
    expect(document).not.toContain('## Checks');
    expect(document).toContain('no recovery was completed');
  });

  it('G7: an incident is that of the workflow that called; another one, or a state that does not exist, is not written', async () => {
    const { step, plan, run, activities, session } = await gateSite();
    const own = {
      ...step(await plan('op-1')),
      workflowId: 'incident/mairie/instance-loss/op-1',
      scenario: 'instance-loss',
    };
    const victim = 'incident/mairie/instance-loss/op-1';
    await run(activities.recordIncident, { ...own, state: 'suspected', text: 'port: refused', by: 'watch' }, victim);
    await run(activities.recordIncident, { ...own, state: 'closed', text: 'all is well', by: 'dba' }, 'evil/1');
    const { incidents } = await session.catalogue.state();
    expect(incidents.get(victim)).toMatchObject({ state: 'suspected', history: [{ toldBy: victim }] });
    await expect(
      run(activities.recordIncident, { ...own, state: 'recovered', text: 'x', by: 'dba' }, victim),
    ).rejects.toMatchObject({ type: 'usage' });
    // Nor does the document of one operation take the incident of another.
    await run(activities.writeReport, { ...step(await plan('other')), incident: victim });
    expect(await session.catalogue.incidentDocument('other')).not.toContain('port: refused');
  });
});

describe('L11: what ended operations left is released by a sweep', () => {
  const owned = async (operationId: string) => {
    const where = await gateSite();
    const made = await where.plan(operationId);
    const workflowId = `recover/mairie/${operationId}`;
    await where.run(where.activities.pin, where.step(made), workflowId);
    return { ...where, made, workflowId };
  };

  it('L11: pin and plan of a terminated recovery are released; while Temporal says it runs, or does not know, nothing is', async () => {
    const { session, made, state, workflowId } = await owned('op-1');
    const pins = async () => (await session.catalogue.state()).pins;
    const asked: unknown[] = [];
    for (const answer of [false, null]) {
      expect(await sweepCluster(session, async (owner) => (asked.push(owner), answer))).toEqual([]);
      expect((await pins()).size).toBe(1);
      expect(await state.isClosed(made.digest)).toBe(false);
    }
    expect(asked).toContainEqual({ workflowId, firstRunId: null });
    expect(await sweepCluster(session, async () => true)).toEqual(['op-1']);
    expect((await pins()).size).toBe(0);
    expect(await state.isClosed(made.digest)).toBe(true);
    expect((await session.catalogue.state()).journalOf('op-1')).toMatchObject([
      { step: 'sweep', by: 'reprise', text: expect.stringContaining(workflowId) },
    ]);
    expect(await sweepCluster(session, async () => true)).toEqual([]);
  });

  it('L11: a paused, unknown or unreachable workflow has not ended; a terminated one has, and one whose id a later execution has', async () => {
    const temporal = (status: string | Error, firstRunId = 'run-1') =>
      closedByTemporal({
        workflow: {
          getHandle: () => ({
            describe: async () => {
              if (status instanceof Error) throw status;
              return { status: { name: status }, raw: { workflowExecutionInfo: { firstRunId } } };
            },
          }),
        },
      } as never);
    const owner = { workflowId: 'w', firstRunId: 'run-1' };
    for (const open of ['RUNNING', 'PAUSED', 'UNKNOWN', 'UNSPECIFIED'])
      expect([open, await temporal(open)(owner)]).toEqual([open, false]);
    for (const closed of ['COMPLETED', 'FAILED', 'CANCELLED', 'TERMINATED', 'TIMED_OUT'])
      expect([closed, await temporal(closed)(owner)]).toEqual([closed, true]);
    expect(await temporal('RUNNING', 'run-2')(owner)).toBe(true);
    expect(await temporal(new Error('not found'))(owner)).toBeNull();
  });

  it('L11: doctor names each pin, whose it is and since when, and what it released', async () => {
    const { session, workflowId } = await owned('op-1');
    const deps = session.deps;
    const [shown] = await pinFindings(deps, async () => false);
    expect(shown).toMatchObject({ check: 'cluster/mairie/pins', level: 'ok' });
    expect(shown?.message).toContain(workflowId);
    expect(await pinLines(session)).toMatchObject([
      { cluster: 'mairie', operationId: 'op-1', workflowId, since: expect.any(String) },
    ]);
    expect(await pinFindings(deps, async () => true)).toMatchObject([{ message: expect.stringContaining('released') }]);
    expect(await pinFindings(deps, async () => true)).toEqual([]);
  });
});

describe('F32, F33: what people decide on recovered data', () => {
  const by = (name: string) => ({ by: name, reason: 'seen' });
  const later = { kind: 'time', time: '2026-11-21T02:05:00Z' } as const;

  it('is taken from those whom the policy lists, while the plan is carried out; anybody else is refused, and the records say so', async () => {
    const { session, step, plan, approve, run, activities, state } = await gateSite();
    const made = await plan('op-1', { pause: true });
    const decide = (name: string) =>
      run(activities.recordDecision, { ...step(made), decision: { kind: 'promote', ...by(name) } });
    expect(await decide('dba')).toMatchObject({
      accepted: false,
      code: 'approval-refused',
      reason: expect.stringContaining('not being executed'),
    });
    await approve(made, 'dba');
    await authorize(session, step(made));
    expect(await decide('mallory')).toMatchObject({
      accepted: false,
      code: 'approval-refused',
      reason: expect.stringContaining('mallory may not decide to promote'),
      hint: expect.stringContaining('dba, ops'),
    });
    expect((await session.catalogue.state()).refusals).toMatchObject([
      { by: 'dba' },
      { by: 'mallory', code: 'approval-refused' },
    ]);
    expect(await decide(' DBA ')).toMatchObject({ accepted: true });
    expect((await session.catalogue.state()).journalOf('op-1')).toMatchObject([
      { step: 'promote', text: expect.stringContaining('decided: seen') },
    ]);
    await state.closePlan(made.digest);
    expect(await decide('dba')).toMatchObject({ accepted: false });
  });

  it.each(['promoteServer', 'swapDatabases'] as const)(
    '%s opens nothing that the plan pauses before, unless somebody has decided so on this host',
    async (name) => {
      const { session, step, plan, approve, run, activities } = await gateSite();
      const made = await plan('op-1', { pause: true, backups: [] });
      await approve(made, 'dba');
      const opened = run<PlannedStep, unknown>(activities[name], step(made));
      await expect(opened).rejects.toMatchObject({
        type: 'approval-refused',
        message: expect.stringContaining('no decision to promote is recorded'),
      });
      await run(activities.recordDecision, { ...step(made), decision: { kind: 'promote', ...by('mallory') } });
      await expect(requirePromotion(session, made)).rejects.toMatchObject({ code: 'approval-refused' });
      await run(activities.recordDecision, { ...step(made), decision: { kind: 'promote', ...by('ops') } });
      await requirePromotion(session, made);
    },
  );

  it('replays to the target of the plan, or to one that somebody decided on for this plan, whatever it is called with', async () => {
    const { session, step, approved, run, activities } = await gateSite();
    const made = await approved('op-1');
    const replay = () => run(activities.replayWal, { ...step(made), target: later });
    await expect(replay()).rejects.toMatchObject({
      type: 'approval-refused',
      message: expect.stringContaining('no decision is recorded'),
    });
    await requireTarget(session, made, made.binding.target);
    await run(activities.recordDecision, {
      ...step(made),
      decision: { kind: 'retarget', target: later, ...by('mallory') },
    });
    await expect(requireTarget(session, made, later)).rejects.toMatchObject({ code: 'approval-refused' });
    await run(activities.recordDecision, {
      ...step(made),
      decision: { kind: 'retarget', target: later, ...by('dba') },
    });
    await requireTarget(session, made, later);
    await expect(requireTarget(session, made, { kind: 'xid', xid: '900' })).rejects.toMatchObject({
      code: 'approval-refused',
    });
    await expect(requireTarget(session, { ...made, digest: 'e'.repeat(64) }, later)).rejects.toMatchObject({
      code: 'approval-refused',
    });
  });
});

describe('old data', () => {
  it('is not dropped while its recovery is under way; afterwards it is', async () => {
    const { session, step, approved, run, activities, dataDir, state } = await gateSite();
    const plan = await approved('op-1');
    await authorize(session, step(plan));
    const where = `${dataDir}.aside-op-1`;
    await mkdir(where);
    await record(session, step(plan), 'kept/old', {
      kind: 'kept',
      keptId: 'op-1/old',
      what: oldDirectory(dataDir),
      where,
      sizeBytes: null,
      host: 'db1',
    });
    const kept = { id: 'op-1/old', cluster: 'mairie', operationId: 'op-1', where, server: null, mark: null };
    await state.saveKept(kept);
    const order = { kind: 'kept-drop' as const, id: 'op-1/old' };
    const request = { cluster: 'mairie', operationId: 'op-2', workflowId: 'kept-drop/mairie/op-2', requester: 'dba' };
    const drop = () => run(activities.planAction, { ...request, order });
    await expect(drop()).rejects.toMatchObject({ type: 'conflict' });
    await run(activities.unpin, step(plan));
    // Its recovery was killed before it noted by what the directory is recognised.
    await expect(drop()).rejects.toMatchObject({ type: 'path-refused' });
    await state.markKept('op-1/old', `inode ${(await stat(where)).ino}`);
    expect(await drop()).toMatchObject({ binding: { found: { where } } });
    expect((await session.catalogue.state()).kept).toHaveLength(1);
  });

  it('after recoveries that were given up, WAL that was never archived is looked for in what the first of them put aside', async () => {
    const { session, dataDir, state } = await gateSite();
    const restoredBy = async (operationId: string) => {
      const where = `${dataDir}.aside-${operationId}`;
      await rename(dataDir, where);
      await record(session, { operationId }, 'kept/old', {
        kind: 'kept',
        keptId: `${operationId}/old`,
        what: oldDirectory(dataDir),
        where,
        sizeBytes: null,
        host: 'db1',
      });
      await mkdir(join(dataDir, 'global'), { recursive: true });
      await writeFile(join(dataDir, 'global', 'pg_control'), '');
      await writeFile(join(dataDir, 'backup_label'), '');
      return where;
    };
    await mkdir(dataDir);
    expect(await oldDataDirOf(session, dataDir)).toBe(dataDir);
    const lost = await restoredBy('op-1');
    expect(await oldDataDirOf(session, dataDir)).toBe(lost);
    await restoredBy('op-2');
    expect(await oldDataDirOf(session, dataDir)).toBe(lost);
    // Opened for writes, it is what can be lost next.
    await rm(join(dataDir, 'backup_label'));
    expect(await oldDataDirOf(session, dataDir)).toBe(dataDir);
    await state.recordDone('op-2', PROMOTED, null);
    const second = await restoredBy('op-3');
    expect(await oldDataDirOf(session, dataDir)).toBe(second);
  });
});

describe('pins', () => {
  it('B3, F29: a backup that is listed and not recorded, as of a repository just taken over, is pinned too', async () => {
    const { session, step, plan, run, activities } = await gateSite();
    const made = await plan('op-1');
    await run(activities.pin, step(made));
    expect([...(await session.catalogue.state()).pinnedBackups()]).toEqual(made.binding.backups.map(({ id }) => id));
  });

  it('B3: pinned again after the pin was taken off, a backup stays', async () => {
    const { session, step, plan, run, activities } = await gateSite();
    const made = await plan('op-1');
    const [{ id } = { id: '' }] = made.binding.backups;
    await record(session, { operationId: 'backup' }, `backup/${id}`, {
      kind: 'backup',
      backup: backupFacts('label', { id }),
    });
    const pinned = async () => [...(await session.catalogue.state()).pinnedBackups()];
    await run(activities.pin, step(made));
    expect(await pinned()).toEqual([id]);
    await run(activities.unpin, step(made));
    expect(await pinned()).toEqual([]);
    await run(activities.pin, step(made));
    expect(await pinned()).toEqual([id]);
  });
});

describe('hooks of a plan on its host', () => {
  const appending = (root: string) => {
    const hook = (name: string, more = '') => ({
      name,
      argv: ['/bin/sh', '-c', `echo ${name} >> ${join(root, 'log')}${more}`],
      timeoutSeconds: 10,
    });
    return {
      'stop-applications': hook('stop-applications', `; [ ! -e ${join(root, 'broken')} ]`),
      'start-applications': hook('start-applications'),
    };
  };
  const undoHooks = { 'stop-applications': 'start-applications' };
  const hooked = async () => {
    const made = await gateSite(1, appending);
    const plan = await made.plan('op-1', { hooks: ['stop-applications', 'start-applications'], undoHooks });
    await made.approve(plan, 'dba');
    const step = (hook: string) => ({ ...made.step(plan), hook });
    const log = async () => (await readFile(join(made.root, 'log'), 'utf8').catch(() => '')).trim().split('\n');
    return { ...made, of: plan, step, log };
  };

  it('what takes one back runs once, and only where the hook was begun', async () => {
    const { activities, run, step, log } = await hooked();
    await run(activities.undoHook, step('stop-applications'));
    expect(await log()).toEqual(['']);
    await run(activities.runHook, step('stop-applications'));
    for (let attempt = 0; attempt < 3; attempt++) await run(activities.undoHook, step('stop-applications'));
    expect(await log()).toEqual(['stop-applications', 'start-applications']);
  });

  it('it is registered before the hook acts: one that failed is taken back too', async () => {
    const { activities, root, run, step, log } = await hooked();
    await writeFile(join(root, 'broken'), '');
    await expect(run(activities.runHook, step('stop-applications'))).rejects.toThrow();
    await run(activities.undoHook, step('stop-applications'));
    expect(await log()).toEqual(['stop-applications', 'start-applications']);
  });

  it('F8: after a Reset a hook that was taken back runs again, and is taken back again', async () => {
    const { activities, run, step, log } = await hooked();
    for (let round = 0; round < 2; round++) {
      await run(activities.runHook, step('stop-applications'));
      await run(activities.undoHook, step('stop-applications'));
    }
    expect(await log()).toEqual(['stop-applications', 'start-applications', 'stop-applications', 'start-applications']);
  });

  it('a step that does the same has taken it back', async () => {
    const { activities, run, step, log } = await hooked();
    await run(activities.runHook, step('stop-applications'));
    await run(activities.runHook, step('start-applications'));
    await run(activities.undoHook, step('stop-applications'));
    expect(await log()).toEqual(['stop-applications', 'start-applications']);
  });

  it('F33: a plan that is closed takes no hook back', async () => {
    const { activities, run, step, of, state, log } = await hooked();
    await run(activities.runHook, step('stop-applications'));
    await state.closePlan(of.digest);
    await expect(run(activities.undoHook, step('stop-applications'))).rejects.toMatchObject({ type: 'approval-used' });
    expect(await log()).toEqual(['stop-applications']);
  });
});
