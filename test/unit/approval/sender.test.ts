import { describe, expect, it } from '@jest/globals';
import { type HistoryReader, senderOf, starterOf } from '../../../src/activities/approval/sender.js';
import { checkApproval, checkDecision } from '../../../src/domain/approval/approval-policy.js';
import { parseApproval } from '../../../src/domain/approval/parse-decisions.js';
import type { ApprovalPolicy } from '../../../src/domain/config.js';
import type { Sender } from '../../../src/domain/plan/plan.js';
import { incidentDocument } from '../../../src/reports/incident-report.js';
import { samplePlan } from '../records/samples.js';

const payload = (value: unknown) => ({
  metadata: { encoding: Buffer.from('json/plain') },
  data: Buffer.from(JSON.stringify(value)),
});
const approval = { plan: '0123456789ab', by: 'alice', reason: 'checked' };
const says = (raw: unknown): boolean => JSON.stringify(parseApproval(raw)) === JSON.stringify(approval);

const accepted = (updateId: string, identity: string, value: unknown, principal?: object): object => ({
  principal,
  workflowExecutionUpdateAcceptedEventAttributes: {
    acceptedRequest: { meta: { updateId, identity }, input: { args: { payloads: [payload(value)] } } },
  },
});
const signaled = (signalName: string, identity: string, value: unknown, principal?: object): object => ({
  principal,
  workflowExecutionSignaledEventAttributes: { signalName, identity, input: { payloads: [payload(value)] } },
});

/** A history as a server with an authorizer writes it, newest event first. */
const history = (...events: object[]): HistoryReader =>
  ({
    events: async function* () {
      yield* events;
    },
    first: async () => events.at(-1) ?? null,
  }) as unknown as HistoryReader;

describe('L16: who sent a decision is read from its event in the history', () => {
  const alice = { type: 'jwt', name: 'alice@example.org' };

  it('an update, found by its id: identity and principal', async () => {
    const found = history(
      accepted('u2', '9@other', approval, { type: 'jwt', name: 'mallory' }),
      accepted('u1', '7@laptop', approval, alice),
    );
    expect(await senderOf({ update: 'u1' }, says, found)).toEqual({
      identity: '7@laptop',
      principal: 'jwt:alice@example.org',
    });
  });

  it('a signal, found by what it says, also as pasted text; without an authorizer there is no principal', async () => {
    const found = history(
      signaled('confirm-restore', '1@mallory', { ...approval, by: 'mallory' }),
      signaled('confirm-restore', '8@laptop', JSON.stringify(approval)),
    );
    expect(await senderOf({ signal: 'confirm-restore' }, says, found)).toEqual({
      identity: '8@laptop',
      principal: null,
    });
    expect(await senderOf({ signal: 'reject' }, says, found)).toBeNull();
  });

  it('after a Reset, the request is in the event that admits it again', async () => {
    const admitted = {
      workflowExecutionUpdateAdmittedEventAttributes: {
        request: { meta: { updateId: 'u1', identity: '7@laptop' }, input: { args: { payloads: [payload(approval)] } } },
      },
    };
    expect(await senderOf({ update: 'u1' }, says, history(admitted))).toMatchObject({ identity: '7@laptop' });
  });

  it('a message that says something else is not taken for this decision, nor one that cannot be read', async () => {
    const found = history(
      accepted('u1', '7@laptop', { ...approval, plan: 'ba9876543210' }, alice),
      accepted('u1', '7@laptop', null, alice),
    );
    expect(await senderOf({ update: 'u1' }, says, found)).toBeNull();
    expect(await senderOf({ update: '' }, says, history())).toBeNull();
    expect(await senderOf(undefined, says, found)).toBeNull();
  });

  it('a server that does not tell is no failure; one that is away is asked again', async () => {
    const failing = (code: number): HistoryReader => ({
      events: () => {
        throw Object.assign(new Error('refused'), { code });
      },
      first: () => Promise.reject(Object.assign(new Error('refused'), { code })),
    });
    expect(await senderOf({ update: 'u1' }, says, failing(12))).toBeNull();
    expect(await starterOf(failing(7))).toBeNull();
    await expect(senderOf({ update: 'u1' }, says, failing(14))).rejects.toMatchObject({ code: 'temporal-unreachable' });
  });

  it('who started the operation is in its first event', async () => {
    expect(await starterOf(history(accepted('u', 'x', approval), { principal: alice }))).toBe('jwt:alice@example.org');
    expect(await starterOf(history({}))).toBeNull();
  });
});

describe('L16: match_principal', () => {
  const plan = samplePlan({ requester: 'ops' });
  const policy: ApprovalPolicy = {
    approvers: 1,
    from: ['alice', 'bob'],
    requesterMayApprove: false,
    approveWithinSeconds: 14_400,
    executeWithinSeconds: 3600,
    signatures: 'none',
    matchPrincipal: true,
    principals: { alice: 'alice@example.org' },
  };
  const sentAs = (principal: string | null): Sender => ({ identity: '7@laptop', principal });
  const judge = (by: string, principal: string | null, more: object = {}) =>
    checkApproval({
      plan,
      approval: { plan: plan.digest, by, reason: 'x' },
      earlier: [],
      policy,
      now: new Date('2026-11-21T03:00:00Z'),
      sender: sentAs(principal),
      ...more,
    });

  it.each([
    ['alice', 'jwt:alice@example.org'],
    ['Alice', 'alice@example.org'],
    ['bob', 'users:bob'],
    ['bob', 'BOB'],
  ])('%s is known to the server as %s', (by, principal) => {
    expect(judge(by, principal)).toEqual({ accepted: true, missing: 0 });
  });

  it.each([
    ['alice', 'jwt:bob', /knows the sender as jwt:bob/],
    ['alice', 'jwt:alice', /which is not alice/],
    ['bob', 'jwt:alice@example.org', /which is not bob/],
    ['bob', null, /recorded no principal/],
  ])('%s sent as %s is refused', (by, principal, reason) => {
    expect(judge(by, principal)).toMatchObject({
      accepted: false,
      code: 'approval-refused',
      reason: expect.stringMatching(reason),
    });
  });

  it('nobody knows who sent it: refused; without match_principal it is not asked', () => {
    expect(judge('bob', null, { sender: null })).toMatchObject({ accepted: false });
    expect(judge('bob', null, { policy: { ...policy, matchPrincipal: false } })).toMatchObject({ accepted: true });
  });

  it('G9: it binds requester_may_approve: false to the principal that started the operation, under whatever name', () => {
    expect(judge('bob', 'jwt:bob', { starter: 'jwt:bob' })).toMatchObject({
      accepted: false,
      reason: expect.stringContaining('jwt:bob started this operation'),
    });
    expect(judge('bob', 'jwt:bob', { starter: 'jwt:alice' })).toMatchObject({ accepted: true });
  });

  it('two names that the server knows as one caller are one approver', () => {
    const one = { ...policy, approvers: 2, principals: { alice: 'jwt:x', bob: 'jwt:x' } };
    const earlier = [{ plan: plan.digest, by: 'alice', reason: 'x' }];
    expect(judge('bob', 'jwt:x', { policy: one, earlier })).toEqual({ accepted: true, missing: 1 });
  });

  it('it holds for decisions on recovered data too', () => {
    const decision = { kind: 'promote' as const, by: 'bob', reason: 'x' };
    expect(checkDecision(plan, decision, policy, sentAs('jwt:bob'))).toMatchObject({ accepted: true });
    expect(checkDecision(plan, decision, policy, sentAs('jwt:alice'))).toMatchObject({ accepted: false });
    expect(checkDecision(plan, decision, policy)).toMatchObject({ accepted: false });
  });
});

describe('L16: the report names the sender beside the person', () => {
  it('of approvals and refusals, under "Decision" and in the timeline', () => {
    const sender: Sender = { identity: '7@laptop', principal: 'jwt:alice' };
    const at = '2026-11-21T03:00:00.000Z';
    const text = incidentDocument({
      cluster: 'mairie',
      operationId: 'op',
      plan: samplePlan(),
      outcome: null,
      journal: [],
      approvals: [{ digest: 'a'.repeat(64), approval, assurance: 'asserted', sender, at, operationId: 'op' }],
      refusals: [
        { digest: 'a'.repeat(64), by: 'bob', code: 'approval-refused', reason: 'x', sender, at, operationId: 'op' },
      ],
      incident: null,
      kept: [],
      language: 'en',
    });
    expect(text).toMatch(
      /alice approved plan .* \(asserted, not signed; sent by client 7\S*@laptop, principal jwt\S*alice\)/,
    );
    expect(text).toMatch(/by bob \(sent by client 7\S*@laptop, principal jwt\S*alice\) was refused/);
    expect(text.match(/sent by client/g)).toHaveLength(4);
  });
});
