import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import type { Client } from '@temporalio/client';
import { sweepCluster } from '../../../src/activities/sweep.js';
import { claimInstance, removeInstance } from '../../../src/activities/temporary/instances.js';
import { openOperationLedger } from '../../../src/records/operation-ledger.js';
import { openTemporaryInstances } from '../../../src/records/temporary-instances.js';
import { keepSwept } from '../../../src/worker/sweeps.js';
import { until } from '../../helpers/until.js';
import { gateSite } from './gate-site.js';

/** A copy of a verification, as an operation has left it. */
async function left(operationId: string) {
  const { session } = await gateSite();
  const { host } = session;
  const workflowId = `verify/mairie/${operationId}`;
  const claim = { cluster: 'mairie', at: new Date().toISOString(), failingSince: null };
  await openOperationLedger(host.stateDir).claim({ operationId, workflowId, firstRunId: 'run-1', ...claim });
  const dataDir = join(host.scratchDir, 'prove-1', 'data');
  const instance = await claimInstance(session, { dataDir, kind: 'scratch', operationId }, 15);
  await mkdir(dataDir, { recursive: true });
  await writeFile(join(dataDir, 'PG_VERSION'), '15\n');
  return { session, instance, instances: openTemporaryInstances(host.stateDir), dataDir };
}

describe('L11: temporary instances of operations that are over are removed by a sweep', () => {
  it('L11: one operation has a place; another is refused with the workflow that has it, and its own next attempt goes on', async () => {
    const { session, dataDir, instance } = await left('op-1');
    expect(await claimInstance(session, { dataDir, kind: 'scratch', operationId: 'op-1' }, 15)).toEqual(instance);
    await expect(claimInstance(session, { dataDir, kind: 'scratch', operationId: 'op-2' }, 15)).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('verify/mairie/op-1'),
    });
  });

  it('L11: while its workflow runs, or nobody knows, it stays; when that has ended its files and its record go', async () => {
    const { session, instances, dataDir } = await left('op-1');
    for (const answer of [false, null]) expect(await sweepCluster(session, async () => answer)).toEqual([]);
    expect(await readdir(dataDir)).toEqual(['PG_VERSION']);
    expect(await sweepCluster(session, async () => true)).toEqual(['op-1']);
    expect(await readdir(dirname(dirname(dataDir)))).toEqual([]);
    expect(await instances.all()).toEqual([]);
  });

  it('L11: a place that another operation has taken meanwhile is not removed by a sweep that saw the one before', async () => {
    const { session, instance, instances, dataDir } = await left('op-1');
    await removeInstance(session, instance);
    await claimInstance(session, { dataDir, kind: 'scratch', operationId: 'op-2' }, 15);
    await mkdir(dataDir, { recursive: true });
    await removeInstance(session, instance);
    expect(await readdir(dirname(dataDir))).toEqual(['data']);
    expect(await instances.at(dataDir)).toMatchObject({ operationId: 'op-2' });
  });

  it('L11: one whose time is over is removed although its workflow runs, and not a minute before', async () => {
    const { session, instance, instances, dataDir } = await left('op-1');
    const expiring = (ms: number) =>
      instances.update({ ...instance, expiresAt: new Date(Date.now() + ms).toISOString() });
    await expiring(60_000);
    expect(await sweepCluster(session, async () => false)).toEqual([]);
    await expiring(-1);
    expect(await sweepCluster(session, async () => false)).toEqual(['op-1']);
    expect(await instances.at(dataDir)).toBeNull();
  });

  it('L11: a record that names a directory outside of the scratch directory removes nothing, and keeps nothing else from its sweep', async () => {
    const { session, instance, instances, dataDir } = await left('op-1');
    const precious = join(dirname(session.host.scratchDir), 'precious', 'data');
    await mkdir(precious, { recursive: true });
    await instances.update({ ...instance, dataDir: precious });
    await expect(removeInstance(session, { ...instance, dataDir: precious })).rejects.toMatchObject({
      code: 'path-refused',
    });
    expect(await sweepCluster(session, async () => true)).toEqual(['op-1']);
    expect(await readdir(dirname(precious))).toEqual(['data']);
    expect(await instances.at(dataDir)).toBeNull();
    expect(await instances.at(precious)).not.toBeNull();
  });

  it.each([
    ['with its instance', true],
    ['without one', false],
  ])(
    'L11: a worker that goes on running releases what an operation holds, %s, once it has seen twice that the workflow has ended, and not before',
    async (_how, hasInstance) => {
      const { session, instance, instances } = await left('op-1');
      if (!hasInstance) await removeInstance(session, instance);
      const ledger = openOperationLedger(session.host.stateDir);
      const asked: string[] = [];
      let status = 'RUNNING';
      const described = async () => (asked.push(status), { status: { name: status }, raw: {} });
      const client = { workflow: { getHandle: () => ({ describe: described }) } } as unknown as Client;
      const logger = { info: () => undefined, warn: () => undefined };
      const stop = new AbortController();
      const sweeping = keepSwept(session.deps, { client, logger, signal: stop.signal, everyMs: 10 });
      await until(() => asked.length > 5, 'the workflow was asked for several times');
      expect(await instances.all()).toHaveLength(hasInstance ? 1 : 0);
      status = 'TERMINATED';
      await until(async () => (await ledger.open('mairie')).length === 0, 'it has ended');
      expect(await instances.all()).toEqual([]);
      stop.abort();
      await sweeping;
      expect(asked.filter((one) => one === 'TERMINATED').length).toBeGreaterThanOrEqual(3);
    },
  );
});
