import { RepriseError } from '../domain/errors.js';
import { type MediaChange, type MediaCount, changesSomething, mediaChanges } from '../domain/media/media.js';
import type { MediaAction } from './action.js';

/** What was approved: when it was scanned, and how much of each kind was to be done. */
export interface MediaBounds {
  /** UTC ISO-8601: what was written or deleted later is not touched. */
  readonly scannedAt: string;
  readonly most: Readonly<Record<MediaChange, MediaCount>>;
}

/**
 * Of actions found in a later listing, those that were approved may be: of objects that nobody wrote since, and no more
 * of a kind than there were. A source that is gone (its mount is missing) must not remove everything.
 * @throws RepriseError `plan-stale` at the first one too many
 */
export async function* within(
  actions: AsyncIterable<MediaAction>,
  { scannedAt, most }: MediaBounds,
): AsyncGenerator<MediaAction> {
  const seen = Object.fromEntries(mediaChanges.map((name) => [name, 0])) as Record<MediaChange, number>;
  for await (const action of actions) {
    const { name, presentSince } = action;
    if (changesSomething(name)) {
      if (presentSince !== undefined && Date.parse(presentSince) > Date.parse(scannedAt)) continue;
      if (++seen[name] > most[name].objects) {
        throw new RepriseError(
          'plan-stale',
          `there is more to ${name} than the ${most[name].objects} objects of the plan: the compared folders have changed`,
          'check that both folders exist and are complete (is a directory mounted?), then `reprise continue`; or `reprise reject`, and make a new plan',
        );
      }
    }
    yield action;
  }
}
