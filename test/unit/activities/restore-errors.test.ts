import { expect, it } from '@jest/globals';
import { authorize } from '../../../src/activities/approval/authorize.js';
import type { Plan } from '../../../src/domain/plan/plan.js';
import { noticeTitle } from '../../../src/domain/notification/notice-text.js';
import { acceptanceWanted, planText } from '../../../src/domain/plan/plan-text.js';
import { gateSite } from './gate-site.js';

const errors = [{ database: 'mairie', copy: 'mairie_new_op', errors: ['210; INDEX par_cle: ERROR:  no key'] }];

/** A recovery whose restore left errors, as the ledger of the host has it. */
async function restored(approvers = 1) {
  const site = await gateSite(approvers);
  const { plan, approve, run, activities, state, step, session } = site;
  const binding = { method: 'databases' as const, engine: 'logical', policy: 'dump', requester: 'ops' };
  const made = await plan('op-1', { ...binding, backups: [], engineConfigDigest: undefined });
  for (const by of ['dba', 'ops'].slice(0, approvers)) await approve(made, by);
  await authorize(session, step(made));
  const reached = { reached: 'dump', lastLsn: null, lastCommitAt: null, complete: false, errors };
  await state.recordDone('op-1', 'restore databases', reached, made.digest);
  const asked = async (): Promise<Plan | undefined> => (await run(activities.restoreDatabases, step(made))).accept;
  const accepting = (await asked()) as Plan;
  const swap = (plan = made) => run(activities.swapDatabases, step(plan));
  return { ...site, made, accepting, asked, swap };
}

it('R8: the host swaps nothing in with errors that nobody has accepted, whoever asks for the step', async () => {
  const { accepting, made, swap, asked, approve, state } = await restored();
  const refused = { type: 'approval-refused', message: expect.stringContaining('nobody has accepted them') };
  await expect(swap()).rejects.toMatchObject(refused);
  expect(accepting.binding).toEqual({ ...made.binding, accepts: { plan: made.digest, databases: errors } });
  // Asked for again it is the same, and what was given for it still counts; approvals of the recovery itself do not.
  expect(await asked()).toEqual(accepting);
  expect(await approve(made, 'dba')).toMatchObject({ accepted: true });
  await expect(swap()).rejects.toMatchObject(refused);
  // It accepts, and is no plan that any step can be run by.
  expect(await approve(accepting, 'dba')).toMatchObject({ accepted: true, missing: 0 });
  await expect(swap(accepting)).rejects.toMatchObject({ type: 'plan-unknown' });
  // Approved is not yet taken: the host takes it when it is asked again.
  await expect(swap()).rejects.toMatchObject(refused);
  expect(await asked()).toBeUndefined();
  expect(await state.usedBy(accepting.digest)).toMatchObject({ operationId: 'op-1' });
  // Nothing of a server is here: that the step fails for this shows that it was let pass.
  await expect(swap()).rejects.toThrow(/postgresBin/);
});

it('R8: as many people accept errors as approve the recovery, and nobody whom its policy does not name', async () => {
  const { accepting, asked, approve } = await restored(2);
  expect(await approve(accepting, 'stranger')).toMatchObject({ accepted: false, code: 'approval-refused' });
  expect(await approve(accepting, 'dba')).toMatchObject({ accepted: true, missing: 1 });
  expect(await asked()).toMatchObject({ digest: accepting.digest, createdAt: accepting.createdAt });
  expect(await approve(accepting, 'ops')).toMatchObject({ accepted: true, missing: 0 });
  expect(await asked()).toBeUndefined();
});

it('R8: the plan to accept errors shows every one of them, and says what comes of each answer', async () => {
  const { accepting } = await restored();
  const text = planText(accepting);
  expect(text).toMatch(/^Accept what the restore of mairie could not make\n/);
  expect(text).toContain('mairie: 210; INDEX par_cle: ERROR:  no key');
  expect(text).toMatch(/Rejected, nothing is replaced, and the copies are kept/);
  const at = { workflowId: 'recover/mairie/op-1', cluster: 'mairie', at: accepting.createdAt };
  expect(noticeTitle({ ...at, facts: { kind: 'approval', plan: accepting } })).toMatch(
    /^approval needed until .*: mairie, errors that the restore left, plan /,
  );
  expect(acceptanceWanted(accepting)).toMatch(
    /acceptance of an error of the restore, until .*: mairie: 210; INDEX par_cle/,
  );
});
