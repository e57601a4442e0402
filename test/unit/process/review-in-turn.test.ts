import { describe, expect, it } from '@jest/globals';
import { waitForLock } from '../../../src/process/jobs/file-lock.js';
import { tempDir } from '../../helpers/temp.js';
import { until } from '../../helpers/until.js';

describe('a step that only one attempt may be at', () => {
  it('F1: the next attempt waits until the one taken for dead has ended, and no longer than its patience or its worker', async () => {
    const stateDir = await tempDir('turn');
    const { signal } = new AbortController();
    const done: string[] = [];
    let open = (): void => undefined;
    const held = new Promise<void>((resolve) => (open = resolve));
    let isHeld = false;
    const working = (): Promise<number> => {
      isHeld = true;
      return held.then(() => done.push('first'));
    };
    const first = waitForLock(stateDir, 'operation-op', working, { signal, timeoutMs: 60_000 });
    await until(() => isHeld, 'the first has its turn');
    await expect(
      waitForLock(stateDir, 'operation-op', async () => done.push('impatient'), { signal, timeoutMs: 0 }),
    ).rejects.toMatchObject({ code: 'lock-held' });
    const stopped = new AbortController();
    const leaving = waitForLock(stateDir, 'operation-op', async () => done.push('stopped'), {
      signal: stopped.signal,
      timeoutMs: 60_000,
    });
    const second = waitForLock(stateDir, 'operation-op', async () => done.push('second'), {
      signal,
      timeoutMs: 60_000,
    });
    stopped.abort();
    await expect(leaving).rejects.toThrow();
    open();
    await Promise.all([first, second]);
    expect(done).toEqual(['first', 'second']);
  });
});
