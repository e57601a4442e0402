import type { EngineContext } from '../../src/engines/engine.js';
import type { WritableStorage } from '../../src/storage/storage.js';

/** What a cancelled run gets, to be put into its context. */
export type Cancelling = Pick<EngineContext, 'signal' | 'leaveOnAbort' | 'storage'>;

/**
 * Runs once untouched and then once for each kind of step that it takes in its repository, cancelled right before the first of
 * that kind. `afterEach` hears how the run ended.
 * @param which of the kinds of step: method and end of the key, such as `open .globals.sql`
 */
export async function cancelledAnywhere(
  storage: WritableStorage,
  which: RegExp,
  run: (number: number, cancelling: Cancelling) => Promise<unknown>,
  afterEach: (end: 'made' | 'cancelled', step: string) => Promise<void>,
): Promise<void> {
  const steps = new Set<string>();
  const attempt = async (number: number, cancelAt: string): Promise<void> => {
    const abort = new AbortController();
    const about = (step: string): void => {
      if (number === 0) steps.add(step);
      else if (step === cancelAt) abort.abort(new Error('cancelled by a person'));
    };
    const cancelling = { signal: abort.signal, leaveOnAbort: () => false, storage: observed(storage, about) };
    const end = await run(number, cancelling).then(
      () => 'made' as const,
      (error: unknown) => {
        if (!abort.signal.aborted) throw error;
        return 'cancelled' as const;
      },
    );
    await afterEach(end, cancelAt);
  };
  await attempt(0, 'nothing');
  const chosen = [...steps].filter((step) => which.test(step));
  for (const [index, step] of chosen.entries()) await attempt(index + 1, step);
}

/** The same storage, which says what it is about to do. */
function observed(storage: WritableStorage, about: (step: string) => void): WritableStorage {
  return new Proxy(storage, {
    get(target, name, receiver) {
      const value: unknown = Reflect.get(target, name, receiver);
      if (typeof value !== 'function') return value;
      return (key: string, ...rest: unknown[]): unknown => {
        // Names without the label of the backup, and without which file of WAL it is.
        about(`${String(name)} ${key.replace(/^.*\d{6}/, '').replace(/^.*\/wal\/.*/, 'wal')}`);
        return (value as (...given: unknown[]) => unknown).call(target, key, ...rest);
      };
    },
  });
}
