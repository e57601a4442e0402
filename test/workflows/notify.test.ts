import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { ControlDependencies } from '../../src/activities/dependencies.js';
import { notifyingActivities } from '../../src/activities/control/notify.js';
import { parseConfig } from '../../src/config/load.js';
import { resolveSecret } from '../../src/process/exec/secrets.js';
import { incidentWorkflowId, notifyWorkflowId, updateNames, workflowTypes } from '../../src/domain/operation/names.js';
import type { Notice, NotifyEvent } from '../../src/domain/notification/notices.js';
import { notifierOf } from '../../src/notifiers/registry.js';
import type { BackupOutput, NotifyOutput } from '../../src/workflows/api.js';
import { textOf } from '../helpers/canary.js';
import { MailServer } from '../helpers/mail-server.js';
import { freePort } from '../helpers/ports.js';
import { WebhookReceiver } from '../helpers/webhook-receiver.js';
import { type Activities, type Case, HOST, Lab, failure, failureOfWorkflow, gate, untilCancelled } from './lab.js';
import { startRecovery } from './recoveries.js';
import { planOf } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.skipping();
});

const PASSWORD = `canary-${randomBytes(12).toString('hex')}`;
const secretKey = `whsec_${randomBytes(32).toString('base64')}`;

/** A config whose events are told; the activities of other tests know none. */
const telling = (...events: NotifyEvent[]): Pick<Activities, 'describeCluster'> => ({
  describeCluster: async () => ({
    host: HOST,
    configDigest: 'config',
    policies: { nightly: { engine: 'logical', repository: 'local', enabled: true, proof: 'verify' } },
    tells: events,
  }),
});

async function backup(activities: Partial<Activities>): Promise<Case> {
  const one = lab.case(activities);
  await one.start(workflowTypes.backup, 'backup/CLUSTER/nightly', {
    order: { policy: 'nightly', type: 'auto' },
    requester: 'schedule',
    operationId: 'op',
  });
  return one;
}
const told = (one: Case, key: string) => lab.client.workflow.getHandle(notifyWorkflowId(one.cluster, 'op', key));
const refusedRotation: Partial<Activities> = {
  rotateBackups: async () => ({
    keep: [],
    remove: [],
    removed: [],
    refused: { reason: 'a clock has jumped', hint: 'set it right' },
  }),
};
const down = async (): Promise<never> => {
  throw failure('notifier-rejected', 'mail server smtp.example.org:587: 554 go away');
};

/** The real activities, on the real config that names these servers. */
function real(cluster: string, notifiers: string): Pick<Activities, 'deliveriesOf' | 'sendNotice'> {
  const text = `version: 1
clusters:
  ${cluster}: { connection: { user: reprise }, databases: [mairie], backups: { nightly: { engine: logical } }, approvals: { recover: { from: [dba] } } }
notifiers: { ${notifiers} }
contacts: { ops: { mail: [ops@example.org] }, dba: { mail: [dba@example.org] } }
notify: { failure: [out], waiting-approval: [out] }
`;
  const { config } = parseConfig(text.replaceAll(' mail:', ' out:'), '/etc/reprise/reprise.yml');
  const deps: ControlDependencies = {
    config,
    webUi: 'http://127.0.0.1:8233',
    notifierOf,
    nextRun: () => undefined,
    lastRun: () => undefined,
    receivingPolicies: () => [],
    secret: (reference) =>
      resolveSecret(reference, {
        env: { PASSWORD, KEY: secretKey },
        run: () => Promise.reject(new Error('no program here')),
      }),
  };
  return notifyingActivities(deps);
}

describe('F34: a notifier that is down', () => {
  it('leaves a good backup a good backup; that nobody was notified is recorded, and seen as a failure of the telling', async () => {
    const one = await backup({ ...telling('failure'), ...refusedRotation, sendNotice: down });
    expect(await (one.workflow.result() as Promise<BackupOutput>)).toMatchObject({ backups: [{ id: 'b1' }] });
    expect(await one.status()).toMatchObject({ state: 'completed' });
    expect(await failureOfWorkflow(told(one, '1-failed'))).toMatchObject({
      type: 'notifier-rejected',
      message: expect.stringContaining('nobody was notified: rotation nightly of'),
    });
    expect(one.journal).toEqual([
      `not notified: rotation nightly of ${one.cluster} failed (rotation-refused) — dba could not be notified by mail: mail server smtp.example.org:587: 554 go away (notifier-rejected)`,
    ]);
  });

  it('delays no failure, and keeps its reason', async () => {
    const never = gate();
    const one = await backup({
      ...telling('failure'),
      sendNotice: () => never.passed as Promise<never>,
      runBackup: async () => {
        throw failure('storage-full', 'no space left');
      },
    });
    expect(await failureOfWorkflow(one.workflow)).toEqual({ type: 'storage-full', message: 'no space left' });
    expect(one.of('recordFailed')).toMatchObject([{ code: 'storage-full' }]);
    await one.called('sendNotice');
    expect(await one.status(told(one, '1-failed'))).toMatchObject({ kind: 'notify', state: 'running' });
    never.open();
  });

  it('delays no recovery, and approves nothing: it waits for a person, who approves while nobody was notified yet', async () => {
    const never = gate();
    const recovery = await startRecovery(lab, {
      ...telling('waiting-approval', 'recovered'),
      sendNotice: () => never.passed as Promise<never>,
    });
    await recovery.seen.called('sendNotice');
    expect(await recovery.seen.status()).toMatchObject({ state: 'waiting-approval' });
    expect(recovery.steps).toEqual([]);
    await recovery.approved();
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
    expect(recovery.seen.of('sendNotice').map(({ notice }) => (notice as Notice).facts.kind)).toContain('approval');
    never.open();
  });

  it('no telling that cannot even be recorded harms the work', async () => {
    const one = await backup({
      ...telling('failure'),
      ...refusedRotation,
      journal: () => Promise.reject(failure('storage-unreachable', 'gone')),
    });
    expect(await (one.workflow.result() as Promise<BackupOutput>)).toMatchObject({ backups: [{ id: 'b1' }] });
    expect(await (told(one, '1-failed').result() as Promise<NotifyOutput>)).toMatchObject({
      deliveries: [{ notifier: 'mail', told: ['dba'], code: null }],
    });
  });

  it('one of two: the other is told, both are recorded, and the telling has not failed', async () => {
    const one = await backup({
      ...telling('failure'),
      ...refusedRotation,
      deliveriesOf: async () => [
        { notifier: 'mail', first: ['dba'], others: ['ops'] },
        { notifier: 'chat', first: [], others: [] },
      ],
      sendNotice: async ({ delivery }) =>
        delivery.notifier === 'mail' ? down() : { told: [], notTold: [], refused: 0, detail: 'accepted by chat' },
    });
    await one.workflow.result();
    expect(await (told(one, '1-failed').result() as Promise<NotifyOutput>)).toMatchObject({
      deliveries: [
        { notifier: 'mail', notTold: ['dba', 'ops'], code: 'notifier-rejected' },
        { notifier: 'chat', code: null },
      ],
    });
    expect(one.journal.toSorted()).toEqual([
      expect.stringMatching(/^not notified: .* dba, ops could not be notified by mail/),
      expect.stringMatching(/^notified: .* notified by chat: the receiver/),
    ]);
  });
});

describe('F34, D2: durable, and once', () => {
  it('a mail server that is down, then up: exactly one mail; the password is in no history (F39)', async () => {
    const port = await freePort();
    const one = lab.case({ ...telling('failure'), ...refusedRotation });
    const activities = real(
      one.cluster,
      `mail: { type: mail, host: 127.0.0.1, port: ${port}, from: reprise@example.org, user: reprise, password: { env: PASSWORD } }`,
    );
    Object.assign(one, { activities: { ...telling('failure'), ...refusedRotation, ...activities } });
    await one.start(workflowTypes.backup, 'backup/CLUSTER/nightly', {
      order: { policy: 'nightly', type: 'auto' },
      requester: 'schedule',
      operationId: 'op',
    });
    await one.workflow.result();
    await one.pending('sendNotice', told(one, '1-failed'), 2);
    await lab.pass('6s');
    await one.called('sendNotice', 2);
    const server = await MailServer.start({ port, user: 'reprise', password: PASSWORD });
    await one.pending('sendNotice', told(one, '1-failed'), 3);
    await lab.pass('11s');
    await told(one, '1-failed').result();
    expect(server.mails).toMatchObject([
      {
        to: ['ops@example.org', 'dba@example.org'],
        headers: { subject: `[reprise] rotation nightly of ${one.cluster} failed (rotation-refused)` },
      },
    ]);
    for (const handle of [one.workflow, told(one, '1-failed')])
      expect(textOf(await handle.fetchHistory())).not.toContain(PASSWORD);
  });

  it('a worker that dies after sending sends again under the same id, by which the receiver knows', async () => {
    const receiver = await WebhookReceiver.start();
    const one = lab.case();
    const { deliveriesOf, sendNotice } = real(
      one.cluster,
      `mail: { type: webhook, url: "${receiver.url}", secret: { env: KEY }, allow_private: true }`,
    );
    const diesOnce: Activities['sendNotice'] = async (input) => {
      const sent = await sendNotice(input);
      if (receiver.posts.length === 1) throw failure('internal', 'killed', true);
      return sent;
    };
    Object.assign(one, {
      activities: { ...telling('failure'), ...refusedRotation, deliveriesOf, sendNotice: diesOnce },
    });
    await one.start(workflowTypes.backup, 'backup/CLUSTER/nightly', {
      order: { policy: 'nightly', type: 'auto' },
      requester: 'schedule',
      operationId: 'op',
    });
    await one.workflow.result();
    await one.pending('sendNotice', told(one, '1-failed'), 2);
    await lab.pass('6s');
    await told(one, '1-failed').result();
    expect(receiver.posts).toHaveLength(2);
    expect(new Set(receiver.posts.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
  });

  it('F8: after a Reset nobody is told twice', async () => {
    const one = lab.case({ ...telling('failure'), ...refusedRotation });
    const start = () =>
      one.start(workflowTypes.backup, 'backup/CLUSTER/nightly', {
        order: { policy: 'nightly', type: 'auto' },
        requester: 'schedule',
        operationId: 'op',
      });
    await (await start()).result();
    await told(one, '1-failed').result();
    expect(await (await start()).result()).toMatchObject({ backups: [{ id: 'b1' }] });
    expect(one.of('sendNotice')).toHaveLength(1);
  });

  it('an approval is asked for as long as it can be given', async () => {
    const approveBy = new Date(Date.now() + 2 * 3600_000).toISOString();
    const recovery = await startRecovery(lab, {
      ...telling('waiting-approval'),
      planRecovery: async ({ cluster, operationId }) => ({ ...planOf({ cluster, operationId }), approveBy }),
    });
    const plan = await recovery.plan();
    await recovery.seen.called('sendNotice');
    const { events } = await told(recovery.seen, `1-approval-${plan.slice(0, 12)}`).fetchHistory();
    const scheduled = (events ?? []).flatMap(({ activityTaskScheduledEventAttributes: activity }) =>
      activity?.activityType?.name === 'sendNotice' ? [Number(activity.scheduleToCloseTimeout?.seconds)] : [],
    );
    expect(scheduled[0]).toBeGreaterThan(3600);
    expect(scheduled[0]).toBeLessThanOrEqual(2 * 3600);
    await recovery.approved();
    await recovery.result();
  });
});

describe('S2: who is told of what', () => {
  it('of nothing where the config names no notifier for it: no child, no line', async () => {
    const one = await backup({ ...telling('incident'), ...refusedRotation });
    await one.workflow.result();
    expect(one.names).not.toContain('deliveriesOf');
    expect(one.journal).toEqual([]);
  });

  it('a backup that fails, with its code, reason and hint; a cancelled one is nobody’s surprise', async () => {
    const one = await backup({
      ...telling('failure'),
      runBackup: async () => {
        throw failure('storage-full', 'no space left');
      },
    });
    await failureOfWorkflow(one.workflow);
    await one.called('sendNotice');
    expect(one.of('sendNotice')).toMatchObject([
      {
        notice: {
          cluster: one.cluster,
          operationId: 'op',
          facts: {
            kind: 'failed',
            what: 'backup',
            policy: 'nightly',
            code: 'storage-full',
            reason: 'no space left',
            hint: 'do something',
          },
        },
      },
    ]);
    const cancelled = await backup({ ...telling('failure'), runBackup: untilCancelled });
    await cancelled.called('runBackup');
    await cancelled.workflow.cancel();
    expect(await failureOfWorkflow(cancelled.workflow)).toMatchObject({ type: 'CancelledFailure' });
    expect(cancelled.names).not.toContain('deliveriesOf');
  });

  it('S1: a suspected incident before its dead host is waited for; then its end', async () => {
    const never = gate();
    const one = lab.case({ ...telling('incident'), hostAnswers: async () => false, confirmWorker: () => never.passed });
    await one.start(workflowTypes.incident, incidentWorkflowId('CLUSTER', 'instance-loss', 'op'), {
      scenario: 'instance-loss',
      operationId: 'op',
      requester: 'watch',
      firstFailedAt: '2026-11-21T02:00:00Z',
      finding: { layer: 'host', reason: 'no worker' },
    });
    await one.called('sendNotice');
    expect(one.of('sendNotice')).toMatchObject([
      {
        notice: {
          facts: { kind: 'incident', state: 'suspected', text: 'layer host: no worker', since: '2026-11-21T02:00:00Z' },
        },
      },
    ]);
    expect(one.names).not.toContain('recordIncident');
    never.open();
    const recovery = lab.client.workflow.getHandle(`recover/${one.cluster}/op`);
    const { plan } = await one.state('waiting-approval', recovery);
    await recovery.executeUpdate(updateNames.approve, { args: [{ plan, by: 'dba', reason: 'seen' }] });
    await one.workflow.result();
    await one.called('sendNotice', 3);
    expect(one.of('sendNotice').map(({ notice }) => (notice as { facts: { state: string } }).facts.state)).toEqual([
      'suspected',
      'confirmed',
      'closed',
    ]);
  });

  it('a step that fails and waits for a person, with what to type', async () => {
    let tries = 0;
    const recovery = await startRecovery(lab, {
      ...telling('failure'),
      restoreFiles: async () => {
        if (++tries === 1) throw failure('disk-full', 'no room');
      },
    });
    await recovery.approved();
    await recovery.seen.called('sendNotice');
    expect(recovery.seen.of('sendNotice')).toMatchObject([
      {
        notice: {
          facts: { kind: 'paused', event: 'failure', waitingFor: expect.stringContaining('reprise continue recover/') },
        },
      },
    ]);
    await recovery.signal('continue', { by: 'dba', reason: 'room made' });
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });
});
