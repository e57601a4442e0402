import { describe, expect, it } from '@jest/globals';
import {
  checkApproval,
  notCovered,
  shortDigest,
  type ApprovalQuestion,
} from '../../../src/domain/approval/approval-policy.js';
import type { ApprovalPolicy } from '../../../src/domain/config.js';
import type { Approval } from '../../../src/domain/plan/plan.js';
import { samplePlan } from '../records/samples.js';

const plan = samplePlan({ requester: 'ops' });
const twelve = shortDigest(plan);
const policy: ApprovalPolicy = {
  approvers: 1,
  from: ['dba', 'ops'],
  requesterMayApprove: false,
  approveWithinSeconds: 14_400,
  executeWithinSeconds: 3600,
  signatures: 'none',
};
const by = (name: string, digest = twelve): Approval => ({ plan: digest, by: name, reason: 'go' });
const judge = (more: Partial<ApprovalQuestion> = {}) =>
  checkApproval({ plan, approval: by('dba'), earlier: [], policy, now: new Date('2026-11-21T03:00:00Z'), ...more });
const refused = (code: string, reason: RegExp) => ({
  accepted: false,
  code,
  reason: expect.stringMatching(reason),
  hint: expect.stringMatching(/\w/),
});

describe('judgement of an approval', () => {
  it('accepts by 12 digits, by more, by all', () => {
    for (const digits of [12, 20, 64])
      expect(judge({ approval: by('dba', plan.digest.slice(0, digits)) })).toEqual({ accepted: true, missing: 0 });
  });

  it('without a policy nothing is accepted, and the lines to add are given', () => {
    const answer = judge({ policy: undefined });
    expect(answer).toMatchObject(refused('policy-missing', /no policy says who may approve recover for mairie/));
    expect(answer).toMatchObject({
      hint: expect.stringContaining(
        [
          'clusters:',
          '  mairie:',
          '    approvals:',
          '      recover: { approvers: 1, from: [NAME], approve_within: 4h, execute_within: 1h }',
        ].join('\n'),
      ),
    });
  });

  it.each([['0'.repeat(12)], ['f'.repeat(64)], [plan.digest.slice(0, 11)], [`${plan.digest}0`], ['']])(
    'F32: %j is another plan',
    (digest) => {
      expect(judge({ approval: by('dba', digest) })).toEqual(refused('plan-stale', new RegExp(twelve)));
    },
  );

  it('F32: late is refused, the last instant is not', () => {
    expect(judge({ now: new Date(plan.approveBy) })).toMatchObject({ accepted: true });
    expect(judge({ now: new Date(Date.parse(plan.approveBy) + 1) })).toEqual(
      refused('plan-expired', /could be approved until/),
    );
  });

  it('F32: who is not listed is refused, and the listed are named', () => {
    const answer = judge({ approval: by('eve') });
    expect(answer).toEqual(refused('approval-refused', /^eve may not approve/));
    expect(answer).toMatchObject({ hint: 'ask one of these people: dba, ops' });
  });

  it.each(['ops', 'OPS', ' ops ', 'ｏｐｓ'])(
    'F31: the requester (%j) may not approve, unless policy lets them',
    (name) => {
      expect(judge({ approval: by(name) })).toEqual(refused('approval-refused', /asked for this recovery/));
      expect(judge({ approval: by(name), policy: { ...policy, requesterMayApprove: true } })).toEqual({
        accepted: true,
        missing: 0,
      });
    },
  );

  it('F31: one person counts once, however spelt; N people are needed', () => {
    const three = { ...policy, approvers: 3, from: ['dba', 'qa', 'cto', 'ops'] };
    expect(judge({ policy: three })).toEqual({ accepted: true, missing: 2 });
    expect(judge({ policy: three, earlier: [by('dba')] })).toEqual({ accepted: true, missing: 2 });
    expect(judge({ policy: three, earlier: [by('DBA'), by(' dba')] })).toEqual({ accepted: true, missing: 2 });
    expect(judge({ policy: three, earlier: [by('qa')] })).toEqual({ accepted: true, missing: 1 });
    expect(judge({ policy: three, earlier: [by('qa'), by('cto')] })).toEqual({ accepted: true, missing: 0 });
  });

  it('F31, F32: earlier approvals count only if they would be accepted now', () => {
    const two = { ...policy, approvers: 2 };
    const worthless = [by('ops'), by('eve'), by('qa', '0'.repeat(12))];
    expect(judge({ policy: { ...two, from: ['dba', 'ops', 'qa'] }, earlier: worthless })).toEqual({
      accepted: true,
      missing: 1,
    });
  });

  it('F32: unsigned where signatures are required is refused', () => {
    expect(judge({ policy: { ...policy, signatures: 'required' } })).toEqual(
      refused('approval-refused', /must be signed/),
    );
  });

  it('a name of a megabyte does not come back whole', () => {
    const answer = judge({ approval: by('x'.repeat(1 << 20)) });
    expect(JSON.stringify(answer).length).toBeLessThan(500);
  });
});

describe('one approval for two things', () => {
  it('F32: is enough only where everybody who may give it may approve both, and as many are asked for', () => {
    expect(notCovered(policy, policy, 'someone')).toBeNull();
    expect(notCovered(policy, { ...policy, from: ['Ops', 'dba', 'maire'] }, 'someone')).toBeNull();
    expect(notCovered(policy, { ...policy, from: ['dba'] }, 'someone')).toMatch(/^ops may not/);
    // Whoever asked is not one of them anyway.
    expect(notCovered(policy, { ...policy, from: ['dba'] }, 'ops')).toBeNull();
    expect(notCovered({ ...policy, requesterMayApprove: true }, policy, 'ops')).toMatch(/^ops may not/);
    expect(notCovered(policy, { ...policy, approvers: 2 }, 'someone')).toMatch(/^2 people/);
  });
});
