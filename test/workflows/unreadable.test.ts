import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { WorkflowHandle } from '@temporalio/client';
import { queryNames, signalNames, updateNames, workflowTypes } from '../../src/domain/operation/names.js';
import { findTemporalBinary } from '../../src/process/exec/find-programs.js';
import { onCleanup } from '../helpers/cleanup.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';
import { startTemporalServer } from '../helpers/temporal-server.js';
import { type Case, Lab, failure, gate, untilCancelled } from './lab.js';
import { type Recovery, person, startRecovery } from './recoveries.js';

const run = promisify(execFile);
const asked = { operationId: 'op', requester: 'ops' };

failOnLeakedProcesses();

let lab: Lab;
let address: string;
let temporal: string;
beforeAll(async () => {
  const server = await startTemporalServer();
  onCleanup(() => server.stop());
  ({ address } = server);
  temporal = await findTemporalBinary();
  lab = await Lab.on(address);
});

/** Temporal's own command line; returns what it said where it failed. */
const cli = async (handle: WorkflowHandle, ...argv: readonly string[]): Promise<string> =>
  run(temporal, ['workflow', ...argv, '--workflow-id', handle.workflowId, '--address', address]).then(
    () => '',
    (error: { stderr?: string }) => error.stderr ?? 'failed',
  );
const undecodable = ['--input', '"secret"', '--input-meta', 'encoding=binary/encrypted'];

/** Everything that handlers do not expect, for each name that any workflow takes, and names that none takes. */
const malformed = [undefined, null, 7, 'not json', ['by'], { by: 7, reason: {} }];
const names = [...new Set([...Object.values(signalNames), ...Object.values(updateNames)])];

async function sendEverything(handle: WorkflowHandle, except: readonly string[] = []): Promise<void> {
  const { workflowService } = lab.client;
  const payload = { metadata: { encoding: Buffer.from('binary/encrypted') }, data: Buffer.from('secret') };
  const workflowExecution = { workflowId: handle.workflowId };
  const all = [...names, 'no-such-name'];
  await Promise.all(
    all.map((signalName) =>
      workflowService.signalWorkflowExecution({
        namespace: 'default',
        workflowExecution,
        signalName,
        input: { payloads: [payload] },
        identity: 'test',
        requestId: `${handle.workflowId}-${signalName}`,
      }),
    ),
  );
  for (const name of all.filter((one) => !except.includes(one))) {
    await Promise.all(malformed.map((value) => handle.signal(name, value)));
    // Refused or answered; what counts is that the workflow goes on.
    await Promise.all(
      [null, 'x', { by: 7 }].map((value) => handle.executeUpdate(name, { args: [value] }).catch(() => undefined)),
    );
  }
  for (const name of [signalNames.confirmRestore, signalNames.promote, signalNames.note])
    await handle.signal(name, { by: 'x'.repeat(900_000), reason: 'y', text: 'z' });
  await workflowService.queryWorkflow({
    namespace: 'default',
    execution: workflowExecution,
    query: {
      queryType: /^(lock|slots)\//.test(handle.workflowId) ? queryNames.holders : queryNames.status,
      queryArgs: { payloads: [payload] },
    },
  });
}

/** Workflow tasks that failed: each would be repeated for ever. */
async function failedTasks(handle: WorkflowHandle): Promise<readonly string[]> {
  const { events } = await handle.fetchHistory();
  return (events ?? []).flatMap(({ workflowTaskFailedEventAttributes: failed }) => failed?.failure?.message ?? []);
}
const journalled = (one: Case, text: string): Promise<unknown> =>
  one.until(
    async () => one.journal.find((line) => line.includes(text)) ?? null,
    async () => one.journal.join('\n'),
  );

describe('L15, F52: messages that cannot be read', () => {
  it('by the command line of Temporal, to a recovery that waits and to one half way: journalled, then decisions work', async () => {
    const restored = gate();
    const one = await startRecovery(lab, { restoreFiles: () => restored.passed });
    await one.plan();
    const { workflow } = one.seen;
    expect(await cli(workflow, 'signal', '--name', signalNames.confirmRestore, ...undecodable)).toBe('');
    expect(await cli(workflow, 'signal', '--name', signalNames.reject, ...undecodable)).toBe('');
    expect(await cli(workflow, 'update', 'execute', '--name', updateNames.approve, ...undecodable)).not.toBe('');
    await journalled(one.seen, 'confirm-restore has no effect: it cannot be read');
    await journalled(one.seen, 'reject has no effect: it cannot be read');
    await one.approved();
    await one.seen.called('restoreFiles');
    for (const name of [signalNames.reject, signalNames.promote, signalNames.continue])
      expect(await cli(workflow, 'signal', '--name', name, ...undecodable)).toBe('');
    restored.open();
    expect(await one.result()).toMatchObject({ state: 'completed' });
    await journalled(one.seen, 'promote has no effect: it cannot be read');
    expect(await failedTasks(workflow)).toEqual([]);
  });

  it('a recovery that waits is rejected after them', async () => {
    const one: Recovery = await startRecovery(lab);
    await one.plan();
    await cli(one.seen.workflow, 'signal', '--name', signalNames.confirmRestore, ...undecodable);
    await one.seen.workflow.executeUpdate(updateNames.reject, { args: [person] });
    expect(await one.result()).toMatchObject({ state: 'rejected' });
    expect(await failedTasks(one.seen.workflow)).toEqual([]);
  });

  it('a step that failed is repeated after them', async () => {
    let left = 1;
    const one = await startRecovery(lab, {
      restoreFiles: async () => {
        if (--left >= 0) throw failure('disk-full', 'no space');
      },
    });
    await one.approved();
    await one.seen.state('paused');
    await cli(one.seen.workflow, 'signal', '--name', signalNames.continue, ...undecodable);
    await journalled(one.seen, 'continue has no effect: it cannot be read');
    await one.signal(signalNames.continue, person);
    expect(await one.result()).toMatchObject({ state: 'completed' });
  });

  const busy = { watchCluster: untilCancelled, receiveWal: untilCancelled, runBackup: untilCancelled };
  const task = { kind: 'recover', to: '2026-11-21T02:15:00.000Z', later: 'keep' };
  // What ends or moves the workflow although it is malformed: a rejection counts whoever sent it.
  const decisions = [signalNames.reject, signalNames.continue, signalNames.dismiss, signalNames.close];
  it.each([
    ['recover', 'recover/CLUSTER/op', { order: { target: { kind: 'latest' }, into: 'in-place', pause: false } }],
    ['media', 'media/CLUSTER/op', { order: { media: 'photos', task } }],
    ['incident', 'incident/CLUSTER/instance-loss/op', { scenario: 'instance-loss' }],
    ['watch', 'watch/CLUSTER', {}],
    ['archive', 'archive/CLUSTER/base', { policy: 'base' }],
    ['backup', 'backup/CLUSTER/nightly', { order: { policy: 'nightly', type: 'auto' } }],
    ['clusterLock', 'lock/CLUSTER', {}],
    ['hostSlots', 'slots/CLUSTER/heavy', { host: 'db1', kind: 'heavy' }],
  ] as const)('and malformed ones of every name fail no workflow task of %s', async (type, id, input) => {
    const one = lab.case(busy);
    const handle = await one.start(type, id, { ...asked, ...input });
    await sendEverything(handle, decisions);
    // Another message is still taken: no workflow task hangs.
    await handle.signal(signalNames.note, { by: 'dba', text: 'still here' });
    await one.until(
      async () => ((await handle.describe()).raw.pendingWorkflowTask ? null : true),
      () => handle.describe().then(({ raw }) => JSON.stringify(raw.pendingWorkflowTask)),
    );
    expect((await handle.describe()).status.name).toBe('RUNNING');
    expect(await failedTasks(handle)).toEqual([]);
  });

  it.each(Object.values(workflowTypes))(
    '%s that is started with an input that cannot be read fails, and says why',
    async (type) => {
      const handle = await lab.client.workflow.start(type, {
        taskQueue: 'reprise',
        workflowId: `${type}/unreadable`,
        args: [null],
      });
      await expect(handle.result()).rejects.toMatchObject({
        cause: { type: 'usage', message: expect.stringContaining('cannot be read') },
      });
    },
  );
});
