import type { ConflictRule } from '../operation/orders.js';
import type { ConflictReason, RowChange, RowConflict, RowText } from './repair.js';

/** One row by its key: before the damage, after it, and now; null: it was not there. */
export interface ThreeStates {
  readonly key: RowText;
  readonly good: RowText | null;
  readonly bad: RowText | null;
  readonly now: RowText | null;
}

/** What rows are made of, for rules that look into them. */
export interface RowColumns {
  readonly columns: readonly string[];
  /** Of values of a column: negative where `one` is older. Absent: the column has no order here. */
  readonly compare?: (one: string, other: string) => number;
  /** Whether a key is one of the rule's, which people may write in another form than the server. Absent: by its text. */
  readonly isListed?: (key: RowText) => boolean;
}

/**
 * What undoes the change from good to bad in the row as it is now: a change, a conflict, or null where nothing is left to undo. A row that
 * changed since is a conflict, and becomes a change where the rule says so.
 */
export function undoRow(
  states: ThreeStates,
  rule: ConflictRule,
  of: RowColumns,
): RowChange | (RowConflict & { readonly op: 'conflict' }) | null {
  const { good, bad, now } = states;
  if (sameRow(good, bad) || sameRow(now, good)) return null;
  if (sameRow(now, bad)) return toGood(states);
  const reason = reasonOf(states);
  return takesGood(states, rule, of) ? toGood(states) : { op: 'conflict', reason, ...states };
}

function reasonOf({ bad, now }: ThreeStates): ConflictReason {
  if (now === null) return 'deleted-since';
  return bad === null ? 'there-again' : 'changed-since';
}

function toGood({ good, now }: ThreeStates): RowChange | null {
  if (good === null) return now === null ? null : { op: 'delete', before: now };
  return now === null ? { op: 'insert', after: good } : { op: 'update', before: now, after: good };
}

function takesGood(
  { key, good, now }: ThreeStates,
  rule: ConflictRule,
  { columns, compare, isListed }: RowColumns,
): boolean {
  switch (rule.rule) {
    case 'keep':
      return false;
    case 'take':
      return true;
    case 'keys':
      return isListed?.(key) ?? rule.keys.some((one) => sameRow(one, key));
    case 'newest': {
      const at = columns.indexOf(rule.column);
      const [ours, theirs] = [good?.[at] ?? null, now?.[at] ?? null];
      // What has no such value on one side is no newer: it stays as people have it now.
      return ours !== null && theirs !== null && (compare ?? byText)(ours, theirs) > 0;
    }
  }
}

const byText = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);

/** Equal text of every column: rows are compared in PostgreSQL's own words, under fixed settings. */
export function sameRow(one: RowText | null, other: RowText | null): boolean {
  if (one === null || other === null) return one === other;
  return one.length === other.length && one.every((value, at) => value === other[at]);
}
