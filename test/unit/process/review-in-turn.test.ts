import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { waitForLock } from '../../../src/process/jobs/file-lock.js';
import { tempDir } from '../../helpers/temp.js';

describe('a step that only one attempt may be at', () => {
  it('F1: the next attempt waits until the one taken for dead has ended, and no longer than its patience or its worker', async () => {
    const stateDir = await tempDir('turn');
    const { signal } = new AbortController();
    const done: string[] = [];
    let open = (): void => undefined;
    const held = new Promise<void>((resolve) => (open = resolve));
    const first = waitForLock(stateDir, 'operation-op', () => held.then(() => done.push('first')), {
      signal,
      timeoutMs: 10_000,
    });
    await sleep(200);
    await expect(
      waitForLock(stateDir, 'operation-op', async () => done.push('impatient'), { signal, timeoutMs: 0 }),
    ).rejects.toMatchObject({ code: 'lock-held' });
    const stopped = new AbortController();
    const leaving = waitForLock(stateDir, 'operation-op', async () => done.push('stopped'), {
      signal: stopped.signal,
      timeoutMs: 10_000,
    });
    const second = waitForLock(stateDir, 'operation-op', async () => done.push('second'), {
      signal,
      timeoutMs: 10_000,
    });
    stopped.abort();
    await expect(leaving).rejects.toThrow();
    open();
    await Promise.all([first, second]);
    expect(done).toEqual(['first', 'second']);
  });
});
