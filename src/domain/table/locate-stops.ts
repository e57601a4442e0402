import { keepsRows } from '../operation/wal-transactions.js';
import type { TableChange, TableCondition } from './locate.js';

/** So many stops a replay makes at most: each is a restart of about a second. */
export const MOST_STOPS = 64;

/**
 * After which commits one forward replay stops, by index and in order: a replay never goes back. All of them where they are few; else the
 * most damaging ones and those just before them, so that one of them is told at once, and others evenly between: a second replay looks at
 * what is left between two stops. The last is always one.
 * @param weights how much each commit may have damaged
 */
export function chooseStops(weights: readonly number[], most: number = MOST_STOPS): readonly number[] {
  const count = weights.length;
  if (count <= most) return weights.map((_, index) => index);
  const even = Math.floor(most / 2);
  const stops = new Set<number>([count - 1]);
  for (let step = 1; step <= even; step++) stops.add(Math.ceil((step * count) / even) - 1);
  const worst = weights.map((weight, index) => ({ weight, index })).toSorted((a, b) => b.weight - a.weight);
  for (const { index } of worst.slice(0, Math.floor(most / 4))) {
    stops.add(index);
    if (index > 0) stops.add(index - 1);
  }
  return [...stops].toSorted((a, b) => a - b);
}

/** How much a commit may have broken the condition: a row that must exist is broken by no INSERT. */
export function weightOf(condition: TableCondition, { inserted, updated, deleted, actions }: TableChange): number {
  if (actions.length > 0) return Number.MAX_SAFE_INTEGER;
  if (condition.kind === 'min-rows') return Math.max(0, deleted - inserted);
  return condition.kind === 'key' ? updated + deleted : inserted + updated + deleted;
}

/** Whether a commit can have broken the condition at all. */
export function mayBreak(condition: TableCondition, change: TableChange): boolean {
  return condition.kind === 'invariant' || weightOf(condition, change) > 0;
}

/** A commit with its place among those that can have broken the condition. */
interface Placed<C> {
  readonly commit: C;
  readonly index: number;
}

/** After which commits one replay stops. */
export interface Stops<C> {
  /** How many commits can have broken the condition. */
  readonly total: number;
  /** In order. */
  readonly stops: readonly Placed<C>[];
  /**
   * The stop after which the condition cannot hold, as the WAL says. Where it does hold there, another row has come, and it is reckoned
   * again from there. Null: by what the WAL says it holds to the end; absent: the WAL was not asked, and the replay alone tells.
   */
  readonly reckoned?: C | null;
}

/** Stops among all commits that can have broken the condition. */
export function stopsFor<C extends TableChange>(condition: TableCondition, commits: readonly C[]): Stops<C> {
  const suspects = commits.filter((commit) => mayBreak(condition, commit));
  const places = chooseStops(suspects.map((commit) => weightOf(condition, commit)));
  return {
    total: suspects.length,
    stops: places.flatMap((index) => {
      const commit = suspects[index];
      return commit === undefined ? [] : [{ commit, index }];
    }),
  };
}

/** What a commit did to the rows that have the value that is searched for. */
export interface FollowedChange {
  /** Whether it changed one of them. */
  readonly touched: boolean;
  /** Whether each UPDATE of them was a HOT one: a column with an index kept its value. */
  readonly isHot: boolean;
  /** How many of them are there after it. */
  readonly left: number;
}

/** So many commits that changed the row that is searched for are told apart. */
const MOST_TOUCHING = 20_000;
/** So many of them a replay stops at, with the commit just before each. */
const MOST_TOUCHING_STOPS = MOST_STOPS / 2;

/**
 * Reckons which commit broke a condition, from what the WAL says of each, in order: rows are counted, or the row that must be there is
 * followed. What is reckoned is seen to be so, or not, by a look just before that commit and one just after it.
 */
export class Reckoning<C extends TableChange> {
  private suspects = 0;
  private last: Placed<C> | null = null;
  private found: Suspect<C> | null = null;
  private readonly touching: (Suspect<C> & { readonly weight: number })[] = [];

  /** @param rows at the beginning: of the table, or those with the value; null: not known */
  constructor(
    private readonly condition: TableCondition,
    private rows: number | null,
  ) {}

  /** @param followed null: no row is followed */
  add(commit: C, followed: FollowedChange | null): void {
    const isBroken = this.found === null && this.breaks(commit, followed);
    if (!mayBreak(this.condition, commit)) return;
    const before = this.last;
    const here = { commit, index: this.suspects++ };
    this.last = here;
    if (isBroken) this.found = { ...here, before };
    else if (this.found === null && followed?.touched === true && this.touching.length <= MOST_TOUCHING)
      this.touching.push({ ...here, before, weight: followed.isHot ? 1 : 2 });
  }

  private breaks({ inserted, deleted, actions }: C, followed: FollowedChange | null): boolean {
    const { condition, rows } = this;
    if (rows === null || condition.kind === 'invariant') return false;
    if (condition.kind === 'key') return followed?.left === 0 || actions.includes('database dropped');
    this.rows = rows + inserted - deleted;
    // How many rows a TRUNCATE or a DROP took, the WAL does not say.
    return this.rows < condition.rows || actions.some((action) => !keepsRows(action));
  }

  /** Null: nothing can be reckoned. */
  get stops(): Stops<C> | null {
    const { suspects: total, found, touching, last } = this;
    if (found !== null) {
      const stops = inPlaces([found.before, found, last]);
      return { total, stops, reckoned: found.commit };
    }
    if (this.rows === null || this.condition.kind !== 'key' || touching.length > MOST_TOUCHING) return null;
    const weights = touching.map(({ weight }) => weight);
    const chosen = chooseStops(weights, MOST_TOUCHING_STOPS).map((at) => touching[at] as Suspect<C>);
    return { total, stops: inPlaces(chosen.flatMap((one) => [one.before, one])), reckoned: null };
  }
}

/** One with the one before it. */
interface Suspect<C> extends Placed<C> {
  readonly before: Placed<C> | null;
}

/** Each once. */
function inPlaces<C>(stops: readonly (Placed<C> | null)[]): readonly Placed<C>[] {
  const byPlace = new Map(stops.flatMap((one) => (one === null ? [] : [[one.index, one.commit] as const])));
  return [...byPlace].map(([index, commit]) => ({ commit, index })).toSorted((a, b) => a.index - b.index);
}
