import type { RowText } from '../../domain/table/repair.js';

/** A row before the damage, after it, and now; null: it was not there. */
export interface States {
  good: RowText | null;
  bad: RowText | null;
  now: RowText | null;
}

/** Values of some columns, to look a row up by. */
export const keyText = (row: RowText, key: readonly number[]): string =>
  JSON.stringify(key.map((at) => row[at] ?? null));
