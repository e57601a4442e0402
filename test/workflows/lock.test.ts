import { beforeAll, describe, expect, it } from '@jest/globals';
import { Lab } from './lab.js';
import { Locks } from './locks.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.skipping();
});

describe('one holder per cluster', () => {
  it('F29: a recovery excludes backups and rotations until it gives the cluster back', async () => {
    const locks = new Locks(lab, 'excludes');
    expect(await locks.acquire({ operationId: 'r', kind: 'recovery' })).toMatchObject({ granted: true });
    expect(await locks.acquire({ operationId: 'b', kind: 'backup' })).toMatchObject({
      granted: false,
      holder: { operationId: 'r', kind: 'recovery', workflowId: 'work/r', since: expect.stringMatching(/^\d{4}-.*Z$/) },
    });
    expect(await locks.acquire({ operationId: 't', kind: 'rotation' })).toMatchObject({ granted: false });
    await locks.release('r');
    expect(await locks.acquire({ operationId: 'b', kind: 'backup' })).toMatchObject({ granted: true });
    expect((await locks.holders()).map(({ operationId }) => operationId)).toEqual(['b']);
  });

  it('holders that do not conflict hold together, and each gives back its own only', async () => {
    const locks = new Locks(lab, 'together');
    await locks.acquire({ operationId: 'a', kind: 'backup', engine: 'logical' });
    await locks.acquire({
      operationId: 'b',
      kind: 'backup',
      engine: 'pgbackrest',
      policy: 'physical',
      repository: 'offsite',
    });
    await locks.acquire({ operationId: 'd', kind: 'drill' });
    expect((await locks.holders()).map(({ operationId }) => operationId)).toEqual(['a', 'b', 'd']);
    await locks.release('b');
    await locks.release('nobody');
    expect((await locks.holders()).map(({ operationId }) => operationId)).toEqual(['a', 'd']);
  });

  it('F8: the same claim again gets the same token, and holds once', async () => {
    const locks = new Locks(lab, 'idempotent');
    const first = await locks.acquire({ operationId: 'a', kind: 'backup' });
    expect(await locks.acquire({ operationId: 'a', kind: 'backup' })).toEqual(first);
    expect(await locks.holders()).toHaveLength(1);
    await locks.release('a');
    await locks.release('a');
    expect(await locks.holders()).toEqual([]);
  });

  it('tokens grow with every grant, also after the lock has ended and on a server that knew nothing of it', async () => {
    const locks = new Locks(lab, 'tokens');
    const before = Date.now();
    const tokens = [await locks.token('a')];
    await locks.release('a');
    tokens.push(await locks.token('b'));
    await locks.release('b');
    const ended = await locks.handle.describe();
    await lab.pass('11 minutes');
    await locks.ended();
    tokens.push(await locks.token('c'));
    expect((await locks.handle.describe()).runId).not.toBe(ended.runId);
    expect(tokens).toEqual([...new Set(tokens)].sort((one, other) => one - other));
    // From the clock: one lost with its server is followed by a greater one.
    expect(tokens[0]).toBeGreaterThanOrEqual(before);
  });

  it('does not end while somebody holds', async () => {
    const locks = new Locks(lab, 'held');
    await locks.acquire({ operationId: 'a', kind: 'recovery' });
    await lab.pass('2 hours');
    expect(await locks.acquire({ operationId: 'b', kind: 'recovery' })).toMatchObject({
      granted: false,
      holder: { operationId: 'a' },
    });
  });
});
