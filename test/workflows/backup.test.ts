import { beforeAll, describe, expect, it } from '@jest/globals';
import { ApplicationFailure } from '@temporalio/common';
import type { LockHolder } from '../../src/domain/operation/locks.js';
import { workflowTypes } from '../../src/domain/operation/names.js';
import type { Notice } from '../../src/domain/notification/notices.js';
import type { BackupInput, BackupOutput } from '../../src/workflows/api.js';
import { type Activities, type Case, HOST, Lab, failure, failureOfWorkflow, gate, untilCancelled } from './lab.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start();
});

const nightly = { engine: 'logical', repository: 'local', enabled: true, proof: 'verify' } as const;
const holder: LockHolder = {
  operationId: 'r',
  kind: 'recovery',
  policy: 'physical',
  engine: 'pgbackrest',
  repository: '*',
  workflowId: 'recover/c/r',
  runId: 'first',
  since: '2026-11-21T01:30:00Z',
  token: 1,
};

async function start(activities: Partial<Activities> = {}, input: Partial<BackupInput> = {}): Promise<Case> {
  const one = lab.case(activities);
  await one.start(workflowTypes.backup, 'backup/CLUSTER/nightly', {
    order: { policy: 'nightly', type: 'auto' },
    requester: 'schedule',
    operationId: 'op',
    ...input,
  });
  return one;
}
const withPolicy = (
  policy: Partial<{
    engine: string;
    repository: string;
    enabled: boolean;
    proof: 'none' | 'verify' | 'restore';
    restoreEvery: number;
  }>,
): Partial<Activities> => ({
  describeCluster: async () => ({
    host: HOST,
    configDigest: 'config',
    policies: { nightly: { ...nightly, ...policy } },
  }),
});
const result = (one: Case) => one.workflow.result() as Promise<BackupOutput>;

describe('backup', () => {
  it('B1, B3: checks, backs up, proves every backup made, and only then rotates', async () => {
    const one = await start({ runBackup: async () => ['b1', 'b2'] });
    expect(await result(one)).toMatchObject({ backups: [{ id: 'b1' }, { id: 'b2' }], rotation: { removed: ['b0'] } });
    expect(one.names).toEqual([
      'acquireLock',
      'preflightBackup',
      'runBackup',
      'proveBackup',
      'proveBackup',
      'rotateBackups',
      'readBackups',
      'releaseLock',
    ]);
    expect(one.of('proveBackup')).toMatchObject([
      { order: { backupId: 'b1', restore: false } },
      { order: { backupId: 'b2', restore: false } },
    ]);
    expect(one.of('rotateBackups')).toMatchObject([{ order: { policy: 'nightly' } }]);
    expect(one.of('acquireLock')).toMatchObject([
      {
        request: {
          kind: 'backup',
          policy: 'nightly',
          engine: 'logical',
          repository: 'local',
          workflowId: `backup/${one.cluster}/nightly`,
        },
      },
    ]);
    expect(await one.status()).toMatchObject({ kind: 'backup', state: 'completed', waitingFor: null });
  });

  it('D2: every attempt gets the same operation and the same start, which names the files; on the heavy queue', async () => {
    const one = await start(
      {
        runBackup: async () => {
          if (one.of('runBackup').length === 1) throw failure('tool-failed', 'killed', true);
          return ['b1'];
        },
      },
      { order: { policy: 'nightly', type: 'diff' } },
    );
    await result(one);
    const [first, second] = one.of('runBackup');
    expect(second).toEqual(first);
    expect(first).toMatchObject({
      operationId: 'op',
      order: { policy: 'nightly', type: 'diff' },
      requester: 'schedule',
      startedAt: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    expect(
      one.calls.filter(({ name }) => name === 'runBackup' || name === 'proveBackup').map(({ queue }) => queue),
    ).toEqual(Array(3).fill(`reprise-${HOST}-heavy`));
  });

  it('D5: started by a schedule, it makes its operation id from the workflow id and the time', async () => {
    const one = await start({}, { operationId: undefined });
    await result(one);
    const ids = new Set(one.calls.map(({ input }) => input['operationId']).filter((id) => id !== undefined));
    expect([...ids]).toEqual([expect.stringMatching(new RegExp(`^backup/${one.cluster}/nightly@\\d{4}-.*Z$`))]);
  });

  it('proof: restore proves by restoring', async () => {
    const one = await start(withPolicy({ proof: 'restore' }));
    await result(one);
    expect(one.of('proveBackup')).toMatchObject([{ order: { restore: true } }]);
  });

  it('proof: none rotates all the same; what is unproven lets nothing go there', async () => {
    const one = await start(withPolicy({ proof: 'none' }));
    await result(one);
    expect(one.names).toEqual([
      'acquireLock',
      'preflightBackup',
      'runBackup',
      'rotateBackups',
      'readBackups',
      'releaseLock',
    ]);
  });

  it('F30: a rotation that is refused leaves a good backup a good backup', async () => {
    const one = await start({
      rotateBackups: async () => ({
        keep: [],
        remove: [],
        removed: [],
        refused: { reason: 'too few proven', hint: 'verify some' },
      }),
    });
    expect(await result(one)).toMatchObject({
      backups: [{ id: 'b1' }],
      rotation: { refused: { reason: 'too few proven' } },
    });
  });
});

describe('backup: nothing is done, and it says why', () => {
  it('B2: a disabled policy is skipped with a clear line, and recorded', async () => {
    const one = await start(withPolicy({ enabled: false }));
    expect(await result(one)).toEqual({
      backups: [],
      skipped: { code: 'policy-disabled', reason: `policy nightly of ${one.cluster} is disabled (enabled: false)` },
    });
    expect(one.names).toEqual(['recordSkipped']);
    expect(one.of('recordSkipped')).toMatchObject([
      { policy: 'nightly', reason: expect.stringContaining('enabled: false') },
    ]);
    expect(await one.status()).toMatchObject({ state: 'completed' });
  });

  it('F29: gives way to whoever holds the cluster, names them, and is recorded', async () => {
    const one = await start({ acquireLock: async () => ({ granted: false, holder }) });
    expect(await result(one)).toMatchObject({
      backups: [],
      skipped: { code: 'lock-held', reason: expect.stringContaining('recovery of policy physical holds') },
    });
    expect(one.of('recordSkipped')).toMatchObject([{ reason: expect.stringContaining('recover/c/r') }]);
    expect(one.names).not.toContain('preflightBackup');
  });

  it('a policy that is not there fails, with those there are', async () => {
    const one = await start({}, { order: { policy: 'weekly', type: 'auto' } });
    expect(await failureOfWorkflow(one.workflow)).toEqual({
      type: 'not-found',
      message: `cluster ${one.cluster} has no backup policy "weekly"`,
    });
    expect(one.names).toEqual([]);
    expect(await one.status()).toMatchObject({ state: 'failed' });
  });

  it('D7: a host without a worker is waited for, and it says which', async () => {
    const there = gate();
    const one = await start({ hostAnswers: async () => false, confirmWorker: () => there.passed });
    expect((await one.state('waiting-worker')).waitingFor).toContain(`reprise worker --host ${HOST}`);
    // It is shown before the worker takes the activity.
    await one.called('confirmWorker');
    expect(one.names).toEqual(['confirmWorker']);
    there.open();
    expect(await result(one)).toMatchObject({ backups: [{ id: 'b1' }] });
  });

  it('L12: a host with a worker of an older version, which does not know that question, has a worker', async () => {
    const one = await start({
      hostAnswers: async () => false,
      confirmWorker: async () => {
        throw ApplicationFailure.create({ type: 'NotFoundError', message: 'confirmWorker is not registered' });
      },
    });
    expect(await result(one)).toMatchObject({ backups: [{ id: 'b1' }] });
  });
});

describe('backup: it fails', () => {
  it('F15: a backup whose verification fails is no backup: nothing is rotated, it fails as backup-corrupt', async () => {
    const one = await start({ proveBackup: async () => ({ ok: false, detail: 'checksum differs' }) });
    expect(await failureOfWorkflow(one.workflow)).toEqual({
      type: 'backup-corrupt',
      message: 'the verification of b1 failed: checksum differs',
    });
    expect(one.names).not.toContain('rotateBackups');
    expect(one.of('recordFailed')).toMatchObject([
      { policy: 'nightly', code: 'backup-corrupt', reason: expect.stringContaining('checksum differs') },
    ]);
    expect(one.names.at(-1)).toBe('releaseLock');
  });

  it('R12: each database is for itself: one without a backup and one whose proof fails leave the others verified, and are told', async () => {
    const gone = { database: 'gone', backupId: null, code: 'not-found', reason: 'there is no database "gone"' };
    const one = await start({
      describeCluster: async () => ({
        ...{ host: HOST, configDigest: 'config', policies: { nightly }, tells: ['failure'] },
      }),
      runBackup: async () => ({ made: ['b1', 'b2'], failed: [gone] }),
      proveBackup: async ({ order: { backupId } }) => ({ ok: backupId !== 'b1', detail: 'checksum differs' }),
    });
    const unproven = { database: null, backupId: 'b1', code: 'backup-corrupt', reason: expect.any(String) };
    expect(await result(one)).toMatchObject({ backups: [{ id: 'b1' }, { id: 'b2' }], failed: [gone, unproven] });
    expect(one.of('proveBackup')).toMatchObject([{ order: { backupId: 'b1' } }, { order: { backupId: 'b2' } }]);
    expect(one.of('rotateBackups')).toMatchObject([{ order: { policy: 'nightly', failed: ['gone', 'b1'] } }]);
    await one.called('sendNotice', 2);
    const told = one.of('sendNotice').map(({ notice }) => JSON.stringify(notice));
    expect(told.join('\n')).toMatch(/partly-done.*b1 is not verified/);
    expect(told.join('\n')).toMatch(/partly-done.*gone.* has no backup/);
    expect(await one.status()).toMatchObject({ state: 'completed' });
  });

  it('R12: a database that cannot be dumped for the moment delays the verification of no other', async () => {
    const away = gate();
    const one = await start({
      runBackup: async ({ partly }) => {
        if (partly === true) return { made: ['b1', 'b2'], failed: [], later: 'database "late": it does not answer' };
        await away.passed;
        return ['b1', 'b2', 'b3'];
      },
      proveBackup: async ({ order: { backupId } }) => ({ ok: backupId !== 'b1', detail: 'checksum differs' }),
    });
    await one.called('runBackup', 2);
    expect(one.of('proveBackup')).toMatchObject([{ order: { backupId: 'b1' } }, { order: { backupId: 'b2' } }]);
    away.open();
    const unproven = { database: null, backupId: 'b1', code: 'backup-corrupt', reason: expect.any(String) };
    expect(await result(one)).toMatchObject({ failed: [unproven] });
    // Each is verified once.
    expect(one.of('proveBackup').map(({ order }) => (order as { backupId: string }).backupId)).toEqual([
      ...['b1', 'b2', 'b3'],
    ]);
    expect(one.of('readBackups')).toMatchObject([{ backupIds: ['b1', 'b2', 'b3'] }]);
    const unverified = await start({
      describeCluster: async () => ({
        ...{ host: HOST, configDigest: 'config', policies: { nightly: { ...nightly, proof: 'none' as const } } },
      }),
    });
    await result(unverified);
    expect(unverified.of('runBackup')).toEqual([expect.not.objectContaining({ partly: true })]);
  });

  it('B3: where each n-th backup is restored, the host is asked to look whose turn it is', async () => {
    const one = await start(withPolicy({ restoreEvery: 7 }));
    await result(one);
    expect(one.of('proveBackup')).toMatchObject([{ order: { restore: false, inTurn: true } }]);
  });

  describe('K7: a service outside hears of scheduled work, so that silence is noticed there', () => {
    const told = (policy: object, more: Partial<Activities> = {}): Partial<Activities> => ({
      describeCluster: async () => ({
        ...{ host: HOST, configDigest: 'config', tells: ['run' as const] },
        policies: { nightly: { ...nightly, ...policy } },
      }),
      ...more,
    });
    const due = { nextRunAt: '2036-01-01T00:00:00Z' };
    const states = (one: Case) => one.of('sendNotice').map(({ notice }) => (notice as Notice).facts);
    const run = (state: string) => ({ kind: 'run', work: 'nightly', state });

    it('when it begins and when it has succeeded; nothing of a policy that has no schedule', async () => {
      const one = await start(told(due));
      await result(one);
      expect(states(one)).toEqual([run('started'), run('succeeded')]);
      const unscheduled = await start(told({}));
      await result(unscheduled);
      expect(states(unscheduled)).toEqual([]);
    });

    it('when it fails, in part too; a skipped run is silent', async () => {
      const gone = { database: 'gone', backupId: null, code: 'not-found', reason: 'there is no database "gone"' };
      const partly = await start(told(due, { runBackup: async () => ({ made: ['b1'], failed: [gone] }) }));
      await result(partly);
      const broken = await start(
        told(due, {
          runBackup: async () => {
            throw failure('privilege-missing', 'GRANT SELECT is missing');
          },
        }),
      );
      await failureOfWorkflow(broken.workflow);
      for (const one of [partly, broken]) expect(states(one)).toEqual([run('started'), run('failed')]);
      const skipped = await start(told({ ...due, enabled: false }));
      await result(skipped);
      expect(states(skipped)).toEqual([run('started')]);
    });

    it('a service that refuses it changes nothing', async () => {
      const refused = failure('notifier-rejected', 'heartbeat: the response is 404');
      const one = await start(
        told(due, {
          sendNotice: async () => {
            throw refused;
          },
        }),
      );
      expect(await result(one)).toMatchObject({ backups: expect.anything() });
    });
  });

  describe('T3: rows that changed abnormally since earlier backups', () => {
    const table = { schema: 'metier', table: 'demandes_rdv' };
    const suspicion = {
      ...{ database: 'mairie', table, backupId: 'b1', before: 'b0', change: -620 },
      text: '400 rows; 1020 in the backup before (-61 %), 1010 usually (-60 %)',
    };
    const suspecting = (suspectTables: Activities['suspectTables']): Partial<Activities> => ({
      describeCluster: async () => ({
        ...{ host: HOST, configDigest: 'config', policies: { nightly }, tells: ['suspicion'], suspects: true },
      }),
      suspectTables,
    });

    it('T3: people are told once, before anything is removed, and the backup is good', async () => {
      const one = await start(suspecting(async () => ({ tables: [suspicion], more: 2 })));
      expect(await result(one)).toMatchObject({ suspicions: [suspicion], backups: expect.anything() });
      await one.called('deliveriesOf');
      expect(one.of('deliveriesOf')).toMatchObject([
        { notice: { facts: { kind: 'suspicion', policy: 'nightly', tables: [suspicion], more: 2 } } },
      ]);
      expect(one.names.indexOf('suspectTables')).toBeLessThan(one.names.indexOf('rotateBackups'));
      expect(one.of('suspectTables')).toMatchObject([{ backupIds: (await result(one)).backups.map(({ id }) => id) }]);
    });

    it('T3: that nobody could look fails no backup, and nothing suspicious tells nobody', async () => {
      const lost = await start(
        suspecting(async () => {
          throw failure('storage-refused', 'the repository of dumps is not there');
        }),
      );
      expect(await result(lost)).not.toHaveProperty('suspicions');
      const quiet = await start(suspecting(async () => ({ tables: [], more: 0 })));
      expect(await result(quiet)).not.toHaveProperty('suspicions');
      for (const one of [lost, quiet]) expect(one.of('deliveriesOf')).toEqual([]);
    });
  });

  it.each(['preflightBackup', 'runBackup', 'proveBackup', 'rotateBackups'] as const)(
    '%s fails: recorded with its code, then thrown; the cluster is given back',
    async (name) => {
      const one = await start({
        [name]: async () => {
          throw failure('privilege-missing', 'GRANT SELECT is missing');
        },
      });
      expect(await failureOfWorkflow(one.workflow)).toEqual({
        type: 'privilege-missing',
        message: 'GRANT SELECT is missing',
      });
      expect(one.of('recordFailed')).toMatchObject([{ code: 'privilege-missing', reason: 'GRANT SELECT is missing' }]);
      expect(one.names.slice(-3)).toEqual([name, 'recordFailed', 'releaseLock']);
      expect(await one.status()).toMatchObject({ state: 'failed' });
    },
  );

  it('where the failure cannot be recorded either, the failure itself is what is told', async () => {
    const one = await start({
      runBackup: async () => {
        throw failure('storage-full', 'no space left');
      },
      recordFailed: async () => {
        throw failure('storage-unreachable', 'the repository is gone');
      },
    });
    expect(await failureOfWorkflow(one.workflow)).toMatchObject({ type: 'storage-full' });
    expect(one.names.at(-1)).toBe('releaseLock');
  });

  it('cancelled: the work under way is told, it is recorded as such, the cluster is given back', async () => {
    const one = await start({ runBackup: untilCancelled });
    await one.called('runBackup');
    await one.workflow.cancel();
    expect(await failureOfWorkflow(one.workflow)).toMatchObject({ type: 'CancelledFailure' });
    expect(one.of('recordFailed')).toMatchObject([{ code: 'job-cancelled', reason: 'the operation was cancelled' }]);
    expect(one.names.slice(-2)).toEqual(['recordFailed', 'releaseLock']);
    expect(await one.status()).toMatchObject({ state: 'cancelled' });
  });
});
