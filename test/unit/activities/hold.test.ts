import { describe, expect, it } from '@jest/globals';
import { checkApproval } from '../../../src/domain/approval/approval-policy.js';
import type { ApprovalPolicy } from '../../../src/domain/config.js';
import { holdApprovalDetails, holdDetails, holdPlanText } from '../../../src/domain/table/hold-text.js';
import { holdPlanOf } from '../../workflows/repairs.js';
import { gateSite } from './gate-site.js';

const order = { database: 'mairie', table: { schema: 'metier', table: 'Demandes "rdv"' } };
const step = {
  cluster: 'mairie',
  operationId: 'op-1',
  workflowId: 'table-freeze/mairie/op-1',
  requester: 'ops',
  order,
};
const policy: ApprovalPolicy = {
  ...{ approvers: 1, from: ['dba'], requesterMayApprove: false, signatures: 'none' },
  ...{ approveWithinSeconds: 3600, executeWithinSeconds: 3600 },
};

describe('T4: the plan of a table that is to be frozen', () => {
  it('T4: is refused without a policy for repairs, and where the configuration gives neither means nor hooks', async () => {
    const { activities, run, deps } = await gateSite();
    const plan = () => run(activities.planHold, step, step.workflowId);
    await expect(plan()).rejects.toMatchObject({
      type: 'policy-missing',
      details: [{ hint: expect.stringContaining('table-repair: { approvers: 1') }],
    });
    Object.assign(deps().config.clusters['mairie'] ?? {}, { approvals: { 'table-repair': policy }, tables: {} });
    await expect(plan()).rejects.toMatchObject({
      type: 'config-invalid',
      details: [{ hint: expect.stringContaining(String.raw`"metier.\"Demandes \"\"rdv\"\"\"": { database: "mairie"`) }],
    });
    await expect(
      run(activities.planHold, { ...step, order: { ...order, argv: ['rm'] } } as typeof step, step.workflowId),
    ).rejects.toMatchObject({ type: 'usage' });
  });

  it('T4: says what is stopped and blocked, until when, what to type, and who may approve it', () => {
    const made = holdPlanOf({ ...step, order: { ...order, forSeconds: 14_400, reason: 'rows are missing' } });
    const plan = { ...made, observed: { ...made.observed, incident: 'incident/mairie/table-corruption/1' } };
    const text = holdPlanText(plan);
    for (const part of [
      'Freeze metier."Demandes ""rdv""" in mairie of mairie',
      'stop-batches (taken back by start-batches)',
      'by a trigger, for everybody',
      'somebody releases it, 4 h 00 min at most',
      'rows are missing',
      'incident/mairie/table-corruption/1',
      `reprise approve table-freeze/mairie/op-1 --plan ${plan.digest.slice(0, 12)} --by dba`,
      'reprise reject table-freeze/mairie/op-1',
    ])
      expect(text).toContain(part);
    expect(holdPlanText(plan, { waits: false })).toContain('Nothing was changed');
    expect(holdApprovalDetails(plan)).toContain('Send an Update');
    expect(holdApprovalDetails(plan)).toContain('reprise reject table-freeze/mairie/op-1');
    expect(holdDetails(plan)).not.toMatch(/Send an Update|approve/);
  });

  it('T4: is approved under the policy for repairs of tables', () => {
    const plan = holdPlanOf(step);
    const approval = { plan: plan.digest.slice(0, 12), by: 'dba', reason: 'seen' };
    const question = { plan, approval, earlier: [], now: new Date(plan.createdAt) };
    expect(checkApproval({ ...question, policy })).toEqual({ accepted: true, missing: 0 });
    expect(checkApproval({ ...question, policy: undefined })).toMatchObject({
      code: 'policy-missing',
      hint: expect.stringContaining('table-repair:'),
    });
  });
});
