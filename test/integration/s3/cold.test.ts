import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { createHostActivities } from '../../../src/activities/index.js';
import { openClusterContext, readContext } from '../../../src/activities/cluster-context.js';
import { observeColdFiles } from '../../../src/activities/recovery/thaw.js';
import { planThaw } from '../../../src/domain/plan/thaw.js';
import { loadConfig } from '../../../src/config/load.js';
import { openHostState } from '../../../src/records/host-state.js';
import { resolveSecret } from '../../../src/process/exec/secrets.js';
import { readS3Options } from '../../../src/storage/s3/options.js';
import { openS3 } from '../../../src/storage/s3/s3-storage.js';
import { hostDependencies } from '../../../src/worker/dependencies.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { startMoto } from '../../helpers/s3-servers.js';
import type { S3Server } from '../../helpers/s3-servers.js';
import { storageSite } from '../../helpers/storage-site.js';
import { samplePlan } from '../../unit/records/samples.js';

failOnLeakedProcesses();

let moto: S3Server;
beforeAll(async () => {
  moto = await startMoto();
  // A thaw takes one look, not twelve hours; everything else is as it would be.
  await fetch(`${moto.endpoint}/moto-api/state-manager/set-transition`, {
    method: 'POST',
    body: JSON.stringify({ model_name: 's3::keyrestore', transition: { progression: 'manual', times: 1 } }),
  });
});

const put = (Bucket: string, Key: string, Body: string, StorageClass?: 'DEEP_ARCHIVE' | 'GLACIER') =>
  moto.client.send(new PutObjectCommand({ Bucket, Key, Body, ...(StorageClass ? { StorageClass } : {}) }));

describe('F13: objects in a cold class', () => {
  it('cannot be read, are asked for once, and can be read when the thaw is over', async () => {
    const bucket = await moto.bucket('cold');
    await put(bucket, 'r/a', 'warm');
    await put(bucket, 'r/b', 'deep', 'DEEP_ARCHIVE');
    const storage = openS3(readS3Options(moto.options(bucket, { prefix: 'r' })), resolveSecret);
    const listed = [];
    for await (const { key, cold } of storage.list('')) listed.push([key, cold]);
    expect(listed).toEqual([
      ['a', undefined],
      ['b', true],
    ]);
    await expect(storage.read('b')).rejects.toMatchObject({ code: 'object-cold' });
    const keys = ['a', 'b', 'gone'];
    expect(await storage.coldObjects?.(keys)).toEqual([
      { key: 'b', sizeBytes: 4, storageClass: 'DEEP_ARCHIVE', thawing: false },
    ]);

    await storage.requestThaw?.(keys, 'Bulk', 2);
    expect(await storage.coldObjects?.(keys)).toMatchObject([{ key: 'b', thawing: true }]);
    await storage.requestThaw?.(keys, 'Bulk', 2);
    expect(await storage.coldObjects?.(keys)).toEqual([]);
    expect((await storage.read('b')).toString()).toBe('deep');
    expect((await moto.client.send(new GetObjectCommand({ Bucket: bucket, Key: 'r/b' }))).Restore).toContain(
      'ongoing-request="false"',
    );
  });

  it('F31: the thaw, which costs money, is asked for only by a plan that was approved on this host', async () => {
    const bucket = await moto.bucket('cold-approved');
    const label = 'mairie_full_20251101_013000';
    await put(bucket, `mairie/dump/${label}.dump`, 'x', 'GLACIER');
    const cluster = `    backups:
      dump: { engine: logical, repository: offsite }
    approvals:
      recover: { approvers: 1, from: [dba], requester_may_approve: false }
contacts:
  dba: { mail: [dba@example.org] }
`;
    const where = await storageSite({
      repositories: `  offsite: ${moto.repositoryYaml(bucket)}`,
      catalogue: 'offsite',
      cluster,
    });
    const deps = hostDependencies(await loadConfig({ file: where.configFile, env: {} }), 'db1');
    const plan = samplePlan(
      {
        operationId: 'op',
        policy: 'dump',
        engine: 'logical',
        backups: [
          { id: `mairie:logical:${label}`, label, type: 'full', finishedAt: '2025-11-01T01:30:00Z', hash: null },
        ],
        thaw: { tier: 'Expedited', days: 1 },
      },
      {
        createdAt: new Date(Date.now() - 1000).toISOString(),
        approveBy: new Date(Date.now() + 3_600_000).toISOString(),
      },
    );
    const state = openHostState(`${where.root}/state`);
    await state.savePlan(plan);
    const step = { cluster: 'mairie', operationId: 'op', workflowId: 'recover/mairie/op', plan: plan.digest };
    const activities = createHostActivities(deps);
    const run = <I, O>(activity: (input: I) => Promise<O>, input: I): Promise<O> =>
      new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') }).run(activity, input) as Promise<O>;
    const thawing = async () =>
      (
        await deps.openStorage(deps.config.repositories['offsite']!, null).coldObjects?.([`mairie/dump/${label}.dump`])
      )?.map((object) => object.thawing);

    await expect(run(activities.requestThaw, step)).rejects.toMatchObject({ type: 'approval-refused' });
    await expect(run(activities.requestThaw, { ...step, operationId: 'other' })).rejects.toMatchObject({
      type: 'plan-unknown',
    });
    expect(await run(activities.lookAtThaw, step)).toEqual({ objects: 1, bytes: 1 });
    expect(await thawing()).toEqual([false]);
    await expect(
      run(activities.recordApproval, {
        ...step,
        approval: { plan: plan.digest.slice(0, 12), by: 'dba', reason: 'seen' },
      }),
    ).resolves.toMatchObject({ accepted: true });
    await run(activities.requestThaw, step);
    expect(await thawing()).toEqual([true]);
    expect(await run(activities.lookAtThaw, step)).toEqual({ objects: 0, bytes: 0 });
  });

  it('a backup whose dump lies there is listed as cold; its plan names tier, hours and price, and stays the same when it was thawed', async () => {
    const bucket = await moto.bucket('cold-backup');
    const label = 'mairie_full_20251101_013000';
    const [dump, manifest] = [`mairie/dump/${label}.dump`, `mairie/dump/${label}.json`];
    await put(bucket, dump, 'x'.repeat(2048), 'DEEP_ARCHIVE');
    await put(bucket, manifest, 'no manifest that can be read: the list says what the names tell');
    const prices = 'prices: { currency: EUR, thaw_per_gb: { DEEP_ARCHIVE: { Bulk: 0.5 } } }';
    const cluster = `    backups:\n      dump: { engine: logical, repository: offsite }\n`;
    const where = await storageSite({
      repositories: `  offsite: ${moto.repositoryYaml(bucket, `${prices}, thaw: { tier: Bulk, days: 3 }`)}`,
      catalogue: 'offsite',
      cluster,
    });
    const deps = hostDependencies(await loadConfig({ file: where.configFile, env: {} }), 'db1');
    const session = await openClusterContext(deps, 'mairie');
    const policy = session.cluster.policies['dump'];
    if (policy === undefined) throw new Error('the policy is missing');
    const run = {
      aheadSeconds: 0,
      signal: new AbortController().signal,
      leaveOnAbort: () => false,
      report: () => undefined,
      cursor: undefined,
      keep: () => undefined,
      name: 'test',
      atEnd: () => undefined,
    };

    expect(await deps.engineOf('logical').list(await readContext(session, policy, run, 'op'))).toMatchObject([
      { label, cold: true },
    ]);

    const cold = await observeColdFiles(session, policy, [{ label }], run, 'op');
    expect(planThaw(cold, undefined)).toEqual({
      planned: { tier: 'Bulk', days: 3 },
      observed: {
        objects: 1,
        bytes: 2048,
        storageClasses: ['DEEP_ARCHIVE'],
        choices: [
          { tier: 'Standard', hours: 12, price: null },
          { tier: 'Bulk', hours: 48, price: 2048 / 2 ** 31 },
        ],
        currency: 'EUR',
      },
    });
    expect(planThaw(cold, 'Standard')?.planned.tier).toBe('Standard');
    expect(() => planThaw(cold, 'Expedited')).toThrow(
      expect.objectContaining({
        code: 'usage',
        hint: expect.stringContaining('--thaw-tier Standard, or --thaw-tier Bulk'),
      }),
    );

    const storage = deps.openStorage(deps.config.repositories['offsite']!, null);
    await storage.requestThaw?.([dump], 'Bulk', 3);
    for (let looks = 0; (await storage.coldObjects?.([dump]))?.length !== 0; looks++)
      if (looks > 5) throw new Error('it is never thawed');
    const thawed = await observeColdFiles(session, policy, [{ label }], run, 'op');
    expect(planThaw(thawed, undefined)).toBeNull();
    expect(planThaw(thawed, undefined, { tier: 'Bulk', days: 3 })).toEqual({
      planned: { tier: 'Bulk', days: 3 },
      observed: null,
    });
  });
});
