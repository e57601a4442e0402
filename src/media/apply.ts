import { setTimeout as sleep } from 'node:timers/promises';
import { pMapIterable } from 'p-map';
import {
  type LostTrait,
  type MediaChange,
  type MediaCount,
  changesSomething,
  mediaChanges,
} from '../domain/media/media.js';
import { RepriseError, isRepriseError, isRetryable } from '../domain/errors.js';
import type { MediaAction } from './action.js';
import { type MediaBounds, within } from './bounds.js';
import { type MediaRun, actionsOf, carryOut } from './carry-out.js';

/** So many refused keys are named. */
const SHOWN = 5;

const LOST_TRIES = 3;
const LOST_PAUSE_MS = 500;

export interface ApplyOptions {
  /** Objects that are transferred at once. */
  readonly concurrency: number;
  /** Bigger objects are copied in parts. */
  readonly singleCopyBytes: number;
  /** Key up to which an earlier attempt came; all before it is done. */
  readonly after?: string | undefined;
  /** The changes that a scan has just found; absent: they are listed. */
  readonly found?: readonly MediaAction[] | null;
  /** Absent: whatever is to be done. */
  readonly bounds?: MediaBounds;
  readonly signal?: AbortSignal;
  /** Called after each object that was changed, in the order of keys. */
  readonly report?: (done: number, key: string) => void;
  /** Told of each part of its description that an object was copied without. */
  readonly leftOut?: (trait: LostTrait) => void;
}

/**
 * Carries out what is to be done now. Started again after a kill, it begins at `after` and touches nothing that is right
 * already, so that nothing is copied twice.
 * @throws RepriseError `partly-done` where single objects were refused, after all others were done; what a network does at once; `plan-stale` beyond the bounds
 */
export async function applyAll(
  work: MediaRun,
  { concurrency, singleCopyBytes, after, found, bounds, signal, report, leftOut }: ApplyOptions,
): Promise<Readonly<Record<MediaChange, MediaCount>>> {
  const done = Object.fromEntries(mediaChanges.map((name) => [name, { objects: 0, bytes: 0 }])) as Record<
    MediaChange,
    { objects: number; bytes: number }
  >;
  const refused = { count: 0, first: null as RepriseError | null, keys: [] as string[] };
  let count = 0;
  const how = { singleCopyBytes, signal, leftOut };
  const one = async (action: MediaAction): Promise<MediaAction | null> => {
    signal?.throwIfAborted();
    try {
      await retryingLost(() => carryOut(work, action, how), signal);
      return action;
    } catch (error) {
      if (signal?.aborted || !isRepriseError(error) || isRetryable(error)) throw error;
      refused.first ??= error;
      if (++refused.count <= SHOWN) refused.keys.push(action.key);
      return null;
    }
  };
  const listed = found ? inTurn(found) : actionsOf(work, after);
  const actions = bounds ? within(listed, bounds) : listed;
  for await (const action of pMapIterable(changesIn(actions), one, { concurrency, backpressure: concurrency * 4 })) {
    if (action === null || !changesSomething(action.name)) continue;
    done[action.name].objects += 1;
    done[action.name].bytes += action.sizeBytes;
    report?.(++count, action.key);
  }
  if (refused.first !== null) {
    const some = refused.keys.map((key) => JSON.stringify(key)).join(', ');
    throw new RepriseError(
      'partly-done',
      `${refused.count} objects could not be changed, all others were: ${refused.first.message} (${some}${refused.count > SHOWN ? ', ...' : ''})`,
      refused.first.hint,
    );
  }
  return done;
}

async function* inTurn(actions: readonly MediaAction[]): AsyncGenerator<MediaAction> {
  yield* actions;
}

async function* changesIn(actions: AsyncIterable<MediaAction>): AsyncGenerator<MediaAction> {
  for await (const action of actions) if (changesSomething(action.name)) yield action;
}

/** What was just listed exists: where a server does not find it for a moment, as after a broken connection, it is tried again. */
async function retryingLost(change: () => Promise<void>, signal?: AbortSignal): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await change();
    } catch (error) {
      if (tries >= LOST_TRIES || !isRepriseError(error) || error.code !== 'not-found') throw error;
      await sleep(LOST_PAUSE_MS, undefined, { signal });
    }
  }
}
