import { describe, expect, it } from '@jest/globals';
import type { Notice, NoticeFacts } from '../../../src/domain/notification/notices.js';
import { deliveriesOf } from '../../../src/domain/notification/recipients.js';
import { samplePlan } from '../records/samples.js';
import { parsed, with_ } from '../config/given.js';

const config = (more = '') =>
  parsed(
    `${with_('    databases', '    approvals: { recover: { from: [dba, chief] }, media-recover: { from: [ops] } }\n    databases')}notifiers:
  mail: { type: mail, host: smtp.example.org, from: reprise@example.org }
  chat: { type: webhook, url: "https://chat.example.org/", secret: { env: X } }
contacts: { qa: { mail: qa@example.org }, chief: { phone: "1" }, dba: { mail: [dba@example.org] }, ops: { mail: ops@example.org } }
notify: { failure: [mail, chat], waiting-approval: [mail, chat], incident: [chat] }
${more}`,
  );
const notice = (facts: NoticeFacts): Notice => ({
  cluster: facts.kind === 'test' ? null : 'mairie',
  operationId: 'op',
  workflowId: 'w',
  key: '1',
  at: '2026-11-21T02:00:00Z',
  facts,
});
const failed: NoticeFacts = {
  kind: 'failed',
  what: 'backup',
  policy: null,
  code: 'x',
  reason: 'x',
  hint: null,
  since: '2026-11-21T02:00:00Z',
};

describe('S2: who is told', () => {
  it('an approval: those who may give it and can be reached first, then all with an address', () => {
    expect(deliveriesOf(config(), notice({ kind: 'approval', plan: samplePlan() }))).toEqual([
      { notifier: 'mail', first: ['dba'], others: ['qa', 'ops'] },
      { notifier: 'chat', first: [], others: [] },
    ]);
  });

  it('a media recovery that waits: those who may approve media, not those of the database', () => {
    const waits: NoticeFacts = { kind: 'paused', event: 'waiting-approval', waitingFor: 'x', action: 'media-recover' };
    expect(deliveriesOf(config(), notice(waits))[0]?.first).toEqual(['ops']);
    expect(deliveriesOf(config(), notice({ ...failed, what: 'media recovery' }))[0]?.first).toEqual(
      deliveriesOf(config(), notice({ ...failed, what: 'recovery' }))[0]?.first,
    );
  });

  it('a failed backup: all with an address; where raci names somebody, them first', () => {
    expect(deliveriesOf(config(), notice(failed))[0]).toEqual({
      notifier: 'mail',
      first: ['qa', 'dba', 'ops'],
      others: [],
    });
    expect(deliveriesOf(config('raci: { backup: { support: dba, responsible: ops } }\n'), notice(failed))[0]).toEqual({
      notifier: 'mail',
      first: ['ops', 'dba'],
      others: ['qa'],
    });
  });

  it('where nobody who has to act can be reached, everybody else counts', () => {
    expect(deliveriesOf(config('raci: { backup: { responsible: chief } }\n'), notice(failed))[0]).toMatchObject({
      first: ['qa', 'dba', 'ops'],
    });
  });

  it('nobody of an event that has no notifier', () => {
    expect(
      deliveriesOf(config(), notice({ kind: 'recovered', reached: 'x', rtoSeconds: 1, rpoSeconds: 0, report: 'x' })),
    ).toEqual([]);
  });

  it('a test: the contact, by what reaches them, or by the one named', () => {
    const test = (contact: string, notifier: string | null) =>
      deliveriesOf(config(), notice({ kind: 'test', contact, notifier, by: 'x' })).map((one) => [
        one.notifier,
        ...one.first,
      ]);
    expect(test('dba', null)).toEqual([
      ['mail', 'dba'],
      ['chat', 'dba'],
    ]);
    expect(test('dba', 'mail')).toEqual([['mail', 'dba']]);
    expect(test('chief', 'mail')).toEqual([]);
  });
});
