import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { withoutWorker } from '../../../src/cli/long-operation.js';
import type { StatusView } from '../../../src/client/status.js';

afterEach(() => {
  jest.restoreAllMocks();
});

const view = (state: StatusView['state']): StatusView =>
  ({ state, waitingFor: state === 'waiting-worker' ? 'a worker on the queue reprise-db1' : null }) as StatusView;

describe('O19: whoever only wants to see a plan waits half a minute for a worker', () => {
  it('O19: counted anew once one was there', () => {
    let now = 0;
    jest.spyOn(performance, 'now').mockImplementation(() => now);
    const giveUp = withoutWorker();
    const at = (seconds: number, state: StatusView['state']) => {
      now = seconds * 1000;
      return giveUp(view(state));
    };
    expect(at(0, 'waiting-worker')).toBeNull();
    expect(at(29, 'waiting-worker')).toBeNull();
    expect(at(31, 'running')).toBeNull();
    expect(at(40, 'waiting-worker')).toBeNull();
    expect(at(69, 'waiting-worker')).toBeNull();
    expect(at(70, 'waiting-worker')).toMatchObject({
      code: 'host-without-worker',
      hint: expect.stringContaining('reprise-db1'),
    });
  });
});
