import { beforeAll, describe, expect, it } from '@jest/globals';
import { runInspection } from '../../../src/client/inspect.js';
import { connectTemporal, resolveTemporal } from '../../../src/client/connect.js';
import type { TemporalSession } from '../../../src/client/connect.js';
import { approve, recoveryOf, waitingPlan } from '../../../src/client/decide.js';
import { follow } from '../../../src/client/follow-operation.js';
import { missingSearchAttributes, registerMissingSearchAttributes } from '../../../src/client/search-attributes.js';
import { startBackup, startRecovery } from '../../../src/client/start.js';
import { statusOf } from '../../../src/client/status.js';
import { listRunningOperations } from '../../../src/client/running-operations.js';
import { onCleanup } from '../../helpers/cleanup.js';
import { reprise } from '../../helpers/cli.js';
import { tempDir } from '../../helpers/temp.js';
import { startTemporalServer } from '../../helpers/temporal-server.js';
import { temporalSession } from '../../helpers/temporal-session.js';
import { until } from '../../helpers/until.js';

/** A server of its own, on which nobody ever polls: what the client says when a worker is missing. */
let session: TemporalSession;
beforeAll(async () => {
  const server = await startTemporalServer();
  onCleanup(() => server.stop());
  session = await temporalSession(server.address);
});

const request = (policy: string) => ({
  cluster: 'mairie',
  requester: 'dba',
  order: { policy, type: 'auto' as const },
});

describe('finding the Temporal server: flag > environment > reprise.yml > reprise up > default', () => {
  const embedded = () =>
    Promise.resolve({ address: '127.0.0.1:4', namespace: 'default', webUi: 'http://127.0.0.1:44' });
  const config = { temporal: { webUi: 'http://ui', address: '127.0.0.1:3' } } as never;
  const env = { TEMPORAL_ADDRESS: '127.0.0.1:2', TEMPORAL_CONFIG_FILE: '/nonexistent.toml' };
  const bare = { TEMPORAL_CONFIG_FILE: '/nonexistent.toml' };

  it.each([
    [{ address: '127.0.0.1:1', env, config, embedded }, '127.0.0.1:1', 'flag'],
    [{ env, config, embedded }, '127.0.0.1:2', 'environment'],
    [{ env: bare, config, embedded }, '127.0.0.1:3', 'reprise.yml'],
    [{ env: bare, embedded }, '127.0.0.1:4', 'reprise up'],
    [{ env: bare }, '127.0.0.1:7233', 'default'],
  ])('%#: %j', async (asked, address, origin) => {
    expect(await resolveTemporal(asked as never)).toMatchObject({ address, origin });
  });

  it("takes address and namespace from Temporal's own configuration file", async () => {
    const { writeFile } = await import('node:fs/promises');
    const file = `${await tempDir('toml')}/temporal.toml`;
    await writeFile(file, '[profile.default]\naddress = "127.0.0.1:5"\nnamespace = "prod"\n');
    expect(await resolveTemporal({ env: { TEMPORAL_CONFIG_FILE: file }, embedded })).toMatchObject({
      address: '127.0.0.1:5',
      namespace: 'prod',
      origin: 'temporal.toml',
    });
  });

  it('one that does not answer is temporal-unreachable, with what to type', async () => {
    const settings = await resolveTemporal({ address: '127.0.0.1:1', env: bare });
    await expect(connectTemporal(settings)).rejects.toMatchObject({
      code: 'temporal-unreachable',
      hint: expect.stringContaining('reprise up'),
    });
  });
});

describe('without a worker', () => {
  it('a question fails with the queue that nobody polls, and leaves no work behind', async () => {
    await expect(runInspection<'backups'>(session, { kind: 'backups' })).rejects.toMatchObject({
      code: 'host-without-worker',
      message: expect.stringContaining('reprise'),
    });
    const query = "WorkflowType = 'inspect' AND ExecutionStatus = 'Running'";
    await until(async () => (await session.client.workflow.count(query)).count === 0, 'nothing asks any more');
  });

  it('O19: a dry run ends with --timeout, and leaves nothing behind', async () => {
    const { writeFile } = await import('node:fs/promises');
    const file = `${await tempDir('dry')}/reprise.yml`;
    await writeFile(
      file,
      'version: 1\nclusters:\n  mairie:\n    connection: { host: 127.0.0.1, port: 1, user: reprise }\n    databases: [mairie]\n    backups: { nightly: { engine: logical } }\n',
    );
    const { code, stderr } = await reprise([
      ...['recover', 'mairie', '--dry-run', '--timeout', '1s', '--json'],
      ...['--config', file, '--address', session.settings.address],
    ]);
    expect([code, (JSON.parse(stderr) as { error: { code: string } }).error.code]).toEqual([124, 'timeout']);
  });

  it('status says that a worker is waited for', async () => {
    const { workflowId, operationId } = await startBackup(session, request('alone'));
    expect(operationId).toMatch(/^\d{8}-\d{6}-[0-9a-f]{6}$/);
    expect(await statusOf(session, workflowId, { jobs: true })).toMatchObject({
      workflowId: 'backup/mairie/alone',
      kind: 'backup',
      cluster: 'mairie',
      state: 'waiting-worker',
      waitingFor: expect.stringContaining('reprise up'),
      plan: null,
      progress: null,
      jobs: [],
      webUi: expect.stringMatching(
        /^http:\/\/127\.0\.0\.1:8233\/namespaces\/default\/workflows\/backup%2Fmairie%2Falone\/[0-9a-f-]{36}\/user-metadata$/,
      ),
    });
  });

  it('a decision is refused instead of hanging', async () => {
    const { workflowId } = await startRecovery(session, {
      cluster: 'mairie',
      requester: 'dba',
      order: { target: { kind: 'latest' }, into: 'in-place', pause: false },
    });
    await expect(approve(session, workflowId, { plan: '0'.repeat(12), by: 'dba', reason: 'x' })).rejects.toMatchObject({
      code: 'host-without-worker',
    });
    await expect(waitingPlan(session, workflowId)).rejects.toMatchObject({ code: 'host-without-worker' });
    expect(await recoveryOf(session, workflowId)).toBe(workflowId);
  });

  it('work is listed as under way', async () => {
    await startBackup(session, request('listed'));
    const isListed = async (): Promise<boolean> =>
      (await listRunningOperations(session)).some(
        ({ workflowId, state }) => workflowId === 'backup/mairie/listed' && state === 'running',
      );
    await until(isListed, 'it is listed');
  });
});

describe('starting and following', () => {
  it('F29: the same backup twice is a conflict', async () => {
    await startBackup(session, request('twice'));
    await expect(startBackup(session, request('twice'))).rejects.toMatchObject({
      name: 'WorkflowExecutionAlreadyStartedError',
    });
  });

  it('--timeout ends the waiting (timeout), Ctrl-C too (interrupted); the work goes on', async () => {
    const { handle, workflowId } = await startBackup(session, request('long'));
    const never = new AbortController().signal;
    const onStatus = () => undefined;
    await expect(follow(session, handle, { onStatus, timeoutMs: 500, signal: never })).rejects.toMatchObject({
      code: 'timeout',
      hint: expect.stringContaining(`reprise watch ${workflowId}`),
    });
    await expect(follow(session, handle, { onStatus, signal: AbortSignal.timeout(500) })).rejects.toMatchObject({
      code: 'interrupted',
      hint: expect.stringContaining(workflowId),
    });
    expect((await handle.describe()).status.name).toBe('RUNNING');
  });

  it('status says why a workflow failed, without any worker', async () => {
    const workflowId = 'backup/mairie/too-long';
    const handle = await session.client.workflow.start('backup', {
      workflowId,
      taskQueue: 'reprise',
      workflowExecutionTimeout: '1s',
    });
    await until(async () => (await handle.describe()).status.name === 'TIMED_OUT', 'its time is over');
    const { stdout } = await reprise(['status', workflowId, '--address', session.settings.address]);
    expect(stdout).toMatch(/state +failed\n/);
    expect(stdout).toContain('the operation timed out: ');
    expect(stdout).toContain('HINT: look at its history in the Web UI, then start it again');
  });

  it('work that is terminated ends the following with its failure', async () => {
    const { handle } = await startBackup(session, request('ended'));
    const states: string[] = [];
    const following = follow(session, handle, {
      onStatus: ({ state }) => void states.push(state),
      signal: new AbortController().signal,
      everyMs: 50,
    });
    await handle.terminate('by hand');
    await expect(following).rejects.toMatchObject({ name: 'WorkflowFailedError' });
    expect(await statusOf(session, handle.workflowId, { jobs: false })).toMatchObject({
      state: 'cancelled',
      finishedAt: expect.any(String),
    });
  });
});

it('search attributes that are there are left alone; a namespace without them gets them', async () => {
  expect(await missingSearchAttributes(session)).toEqual([]);
  expect(await registerMissingSearchAttributes(session)).toEqual({ missing: [] });
  await session.connection.operatorService.removeSearchAttributes({
    namespace: 'default',
    searchAttributes: ['RepriseKind'],
  });
  while ((await missingSearchAttributes(session)).length === 0);
  expect(await missingSearchAttributes(session)).toEqual(['RepriseKind']);
  expect(await registerMissingSearchAttributes(session)).toEqual({ missing: [] });
});
