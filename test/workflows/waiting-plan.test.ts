import { beforeAll, describe, expect, it } from '@jest/globals';
import { signalNames } from '../../src/domain/operation/names.js';
import type { StepLimits } from '../../src/domain/operation/retries.js';
import type { ClusterFacts } from '../../src/activities/api.js';
import { type Activities, type Case, HOST, Lab, failure } from './lab.js';
import { person, startRecovery } from './recoveries.js';
import { wellBehaved } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start();
});

const gone = () => failure('storage-unreachable', 'the bucket does not answer', true);

/** The facts of a cluster whose host has these limits, and whose people are told of failures. */
const facts = (limits: StepLimits = {}, more: Partial<ClusterFacts> = {}): Partial<Activities> => ({
  describeCluster: async (input) => ({
    ...(await wellBehaved.describeCluster(input)),
    heartbeatSeconds: { [HOST]: 1 },
    stepLimits: { [HOST]: limits },
    tells: ['failure', 'waiting-approval'],
    ...more,
  }),
});

describe('L9: while an attempt is waited for', () => {
  it('L9: a plan waits for the storage, and can be rejected meanwhile', async () => {
    const recovery = await startRecovery(lab, { ...facts(), planRecovery: async () => Promise.reject(gone()) });
    await passUntil(recovery.seen, 'paused');
    await recovery.signal(signalNames.reject, person);
    expect(await recovery.result()).toMatchObject({ state: 'rejected', plan: null });
  });
});

/** Lets time pass until a state is reached. */
async function passUntil(one: Case, state: 'paused'): Promise<void> {
  await one.until(
    async () => {
      if ((await one.status()).state === state) return true;
      await lab.pass('20 seconds');
      return null;
    },
    () => one.status().then((status) => JSON.stringify(status)),
  );
}
