import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { describe, expect, it } from '@jest/globals';
import type { HostDependencies } from '../../../src/activities/dependencies.js';
import { createHostActivities } from '../../../src/activities/index.js';
import { RepriseError } from '../../../src/domain/errors.js';
import type { BackupRequest, EngineContext, MadeBackup } from '../../../src/engines/engine.js';
import { createJobs, endJobsOf, readJobs } from '../../../src/process/jobs/supervisor.js';
import { openDirectory } from '../../../src/storage/directory/directory-storage.js';
import { onCleanup } from '../../helpers/cleanup.js';
import { tempDir } from '../../helpers/temp.js';
import { until } from '../../helpers/until.js';

const STARTED_AT = '2026-11-21T02:15:00.000Z';
const STEP = { cluster: 'mairie', operationId: 'op', workflowId: 'backup/mairie/nightly' };

/** A host whose engine backs up as the test says, and notes what it is told to abandon. */
async function site(backup: (context: EngineContext, request: BackupRequest) => Promise<readonly MadeBackup[]>) {
  const root = await tempDir('cancelled');
  const stateDir = join(root, 'state');
  const nightly = { name: 'nightly', engine: 'logical', repository: 'local', cluster: 'mairie', retention: {} };
  const cluster = {
    ...{ name: 'mairie', host: 'db1', dataDir: join(root, 'main'), catalogue: 'local', policies: { nightly } },
    connection: { host: '127.0.0.1', port: 1, user: 'x', maintenanceDatabase: 'postgres' },
  };
  const abandoned: (string | null)[] = [];
  const engine = {
    ...{ capabilities: { types: [] }, backup, list: async () => [] },
    abandonBackup: async (_: EngineContext, startedAt: string | null) => void abandoned.push(startedAt),
  };
  const activities = createHostActivities({
    config: {
      digest: 'config',
      hosts: { db1: { name: 'db1', stateDir } },
      repositories: { local: { name: 'local', type: 'directory', options: {} } },
      clusters: { mairie: cluster },
    },
    host: 'db1',
    openStorage: () => openDirectory({ path: join(root, 'repository') }),
    jobUser: async () => null,
    postgresBin: async () => '/nowhere',
    ...{ uploader: [], rowCounter: [], engineOf: () => engine },
  } as unknown as HostDependencies);
  const run = <I, O>(activity: (input: I) => Promise<O>, input: I): Promise<O> =>
    new MockActivityEnvironment(
      { workflowExecution: { workflowId: STEP.workflowId, runId: 'run' } },
      { logger: new DefaultLogger('ERROR') },
    ).run(activity, input) as Promise<O>;
  return {
    stateDir,
    abandoned,
    recorded: async () => (await readdir(join(root, 'repository'), { recursive: true }).catch(() => [])).length,
    backUp: (asked: { readonly partly?: true } = {}) =>
      run(activities.runBackup, {
        ...{ ...STEP, startedAt: STARTED_AT, requester: 'test', ...asked },
        order: { policy: 'nightly', type: 'auto' as const },
      }),
    fail: (code: string) => run(activities.recordFailed, { ...STEP, policy: 'nightly', code, reason: 'why' }),
  };
}

describe('D2: a backup that was cancelled when no attempt was there to hear of it', () => {
  it('its tool is ended, and what it has begun is abandoned; one that failed is left for people', async () => {
    const { stateDir, abandoned, fail } = await site(() => Promise.reject(new Error('not called')));
    onCleanup(() => endJobsOf(stateDir, 'op'));
    const gone = new AbortController();
    const jobs = createJobs({
      ...{ stateDir, operationId: 'op', user: null, signal: gone.signal, leaveOnAbort: () => true },
      report: () => undefined,
    });
    const left = jobs.run({ step: 'dump', tool: 'sleep', argv: ['sleep', '600'], onGone: 'restart' }).catch(String);
    const isRunning = async (): Promise<boolean> =>
      (await readJobs(stateDir, 'op')).some(({ state }) => state === 'running');
    await until(isRunning, 'the tool runs');
    gone.abort('the worker is gone');
    await left;

    await fail('storage-unreachable');
    expect({ running: await isRunning(), abandoned }).toEqual({ running: true, abandoned: [] });
    await fail('job-cancelled');
    expect({ running: await isRunning(), abandoned }).toEqual({ running: false, abandoned: [null] });
  });

  it('an attempt that was given up for dead and works on is waited for', async () => {
    let end: ((error: Error) => void) | undefined;
    const { abandoned, backUp, fail, recorded } = await site(() => new Promise((_, reject) => (end = reject)));
    const attempt = backUp().catch(() => abandoned.length);
    await until(() => end !== undefined, 'the attempt is at it');
    const before = await recorded();
    const failed = fail('job-cancelled');
    await until(async () => (await recorded()) > before, 'the end is recorded');
    end?.(new Error('its heartbeat was refused'));
    expect(await attempt).toBe(0);
    await failed;
    expect(abandoned).toEqual([STARTED_AT]);
  });
});

describe('R12: a database that cannot be dumped for the moment', () => {
  const made: MadeBackup = {
    ...{ id: 'mairie:logical:a', cluster: 'mairie', policy: 'nightly', engine: 'logical', label: 'a', database: 'a' },
    ...{ repository: 'local', startedAt: STARTED_AT, finishedAt: STARTED_AT, sizeBytes: 1, type: 'full' },
  };
  const away = new RepriseError('database-unreachable', 'it does not answer', 'start it');
  const never = new RepriseError('not-found', 'there is none', 'create it');

  it('what the others have comes back where the workflow asks for it, so that it is verified at once', async () => {
    let isAway = true;
    const { backUp } = await site(async (_context, { leaveOut }) => {
      leaveOut?.('gone', never);
      if (isAway) leaveOut?.('late', away);
      return [made];
    });
    expect(await backUp({ partly: true })).toEqual({
      ...{ made: [made.id], failed: [], later: 'database "late": it does not answer' },
    });
    await expect(backUp()).rejects.toThrow('it does not answer');
    isAway = false;
    const gone = { database: 'gone', backupId: null, code: 'not-found', reason: 'there is none' };
    expect(await backUp({ partly: true })).toEqual({ made: [made.id], failed: [gone] });
  });

  it('where no other has a backup, the attempt fails', async () => {
    const { backUp } = await site(async (_context, { leaveOut }) => {
      leaveOut?.('late', away);
      return [];
    });
    await expect(backUp({ partly: true })).rejects.toThrow('it does not answer');
  });
});
