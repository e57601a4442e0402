import { describe, expect, it } from '@jest/globals';
import { interceptors } from '../../../src/workflows/interceptors.js';

type Job = Record<string, object>;

/** A workflow's interceptors, as the SDK calls them. */
function workflow(): {
  activate: (historyLength: number, jobs: readonly Job[], batchIndex?: number) => void;
  update: () => string;
} {
  const { inbound = [], internals = [] } = interceptors();
  const activate = (historyLength: number, jobs: readonly Job[], batchIndex = 0): void =>
    internals[0]?.activate?.({ activation: { historyLength, jobs }, batchIndex } as never, () => undefined);
  const update = (): string => {
    try {
      inbound[0]?.validateUpdate?.({ updateId: 'u', name: 'approve', args: [], headers: {} }, () => undefined);
      return 'taken';
    } catch (error) {
      return String((error as { type?: string }).type);
    }
  };
  return { activate, update };
}

const resolved: Job = { resolveActivity: {} };
const sent: Job = { doUpdate: {} };

describe('L14: an update in one workflow task with the results that the workflow went on with', () => {
  it('is refused as busy where it comes in a later activation: it would be replayed before them', () => {
    const { activate, update } = workflow();
    activate(24, [resolved]);
    activate(24, [sent]);
    expect(update()).toBe('busy');
  });

  it('is taken in the same activation, in the next workflow task, and after updates that were refused', () => {
    const { activate, update } = workflow();
    activate(24, [sent, resolved]);
    expect(update()).toBe('taken');
    activate(30, [resolved]);
    activate(36, [sent]);
    expect(update()).toBe('taken');
    // A task whose updates were all refused leaves no event: the next one has the same history length.
    activate(36, [sent]);
    expect(update()).toBe('taken');
  });

  it('is taken after a query, a patch or a signal of the same activation', () => {
    const { activate, update } = workflow();
    activate(24, [{ queryWorkflow: {} }]);
    activate(24, [{ notifyHasPatch: {} }]);
    activate(24, [{ signalWorkflow: {} }], 0);
    activate(24, [sent, resolved], 1);
    expect(update()).toBe('taken');
  });
});
