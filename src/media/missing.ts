import { sideBySide } from './ordered.js';
import { type MediaPlace, listMedia } from './place.js';

export interface NamedObjects {
  /** Rows that name an object. */
  readonly rows: number;
  /** Rows whose object is not there, and how many objects those are. */
  readonly missingRows: number;
  readonly missing: number;
}

/** Compares what rows name, in key order and relative to the folder, with what is there now. */
export async function countMissing(
  named: AsyncIterable<{ readonly key: string; readonly rows: number }>,
  place: MediaPlace,
): Promise<NamedObjects> {
  let [rows, missingRows, missing] = [0, 0, 0];
  for await (const { left, right } of sideBySide(named, listMedia(place))) {
    if (left === undefined) continue;
    rows += left.rows;
    if (right !== undefined) continue;
    missingRows += left.rows;
    missing += 1;
  }
  return { rows, missingRows, missing };
}
