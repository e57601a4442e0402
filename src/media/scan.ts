import { changesSomething } from '../domain/media/media.js';
import type { MediaAction } from './action.js';

/** More changes, or older ones, are listed again: a listing made while changing is a few pages, and so some seconds, behind. */
const MOST = 2000;
const FRESH_MS = 10_000;

/** The changes that a scan found, for a caller that makes them at once: few changes need no third listing of everything. */
export class MediaScan {
  private changes: MediaAction[] | null = [];
  private readonly begun: number;

  constructor(private readonly now: () => number = () => performance.now()) {
    this.begun = now();
  }

  /** The same actions, remembered as they pass. */
  async *over(actions: AsyncIterable<MediaAction>): AsyncGenerator<MediaAction> {
    for await (const action of actions) {
      if (changesSomething(action.name) && this.changes !== null && this.changes.push(action) > MOST)
        this.changes = null;
      yield action;
    }
  }

  /** All changes, in the order of keys; null where they were too many, or are too old. */
  get fresh(): readonly MediaAction[] | null {
    return this.now() - this.begun <= FRESH_MS ? this.changes : null;
  }
}
