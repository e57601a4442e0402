import { pMapIterable } from 'p-map';
import { type MediaChange, type MediaCount, changesSomething, mediaChanges } from '../domain/media.js';
import { RepriseError, errorTable, isRepriseError } from '../domain/errors.js';
import type { MediaAction } from './action.js';
import { type MediaWork, actionsOf, carryOut } from './work.js';

export interface ApplyOptions {
  /** Objects under way at once. */
  readonly concurrency: number;
  readonly singleCopyBytes?: number;
  /** Key up to which an earlier attempt came; all before it is done. */
  readonly after?: string | undefined;
  readonly signal?: AbortSignal;
  /** Told after each object that was changed, in the order of keys. */
  readonly report?: (done: number, key: string) => void;
}

/**
 * Carries out what is to be done now. Begun again after a kill, it starts at `after` and touches nothing that is right
 * already, so that nothing is copied twice.
 * @throws RepriseError `partly-done` where single objects were refused, after all others were done; what a network does at once
 */
export async function applyAll(work: MediaWork, { concurrency, singleCopyBytes, after, signal, report }: ApplyOptions): Promise<Readonly<Record<MediaChange, MediaCount>>> {
  const done = Object.fromEntries(mediaChanges.map((name) => [name, { objects: 0, bytes: 0 }])) as Record<MediaChange, { objects: number; bytes: number }>;
  const refused: string[] = [];
  let count = 0;
  let first: RepriseError | null = null;
  const how = { ...(singleCopyBytes === undefined ? {} : { singleCopyBytes }), ...(signal ? { signal } : {}) };
  const one = async (action: MediaAction): Promise<MediaAction | null> => {
    signal?.throwIfAborted();
    try {
      await carryOut(work, action, how);
      return action;
    } catch (error) {
      if (signal?.aborted || !isRepriseError(error) || errorTable[error.code].retryable) throw error;
      first ??= error;
      refused.push(action.key);
      return null;
    }
  };
  for await (const action of pMapIterable(changesIn(actionsOf(work, after)), one, { concurrency, backpressure: concurrency * 4 })) {
    if (action === null || !changesSomething(action.name)) continue;
    done[action.name].objects += 1;
    done[action.name].bytes += action.sizeBytes;
    report?.(++count, action.key);
  }
  if (first !== null) throw partly(first, refused);
  return done;
}

async function* changesIn(actions: AsyncIterable<MediaAction>): AsyncGenerator<MediaAction> {
  for await (const action of actions) if (changesSomething(action.name)) yield action;
}

function partly(first: RepriseError, refused: readonly string[]): RepriseError {
  const some = refused.slice(0, 5).map((key) => JSON.stringify(key)).join(', ');
  return new RepriseError('partly-done', `${refused.length} objects could not be changed, all others were: ${first.message} (${some}${refused.length > 5 ? ', ...' : ''})`, first.hint);
}
