/**
 * Leases with a queue: the whole state machine, pure. The workflow that serves a resource (`workflows/lock/`) feeds it
 * requests, releases and closed executions, and keeps the state that comes back.
 *
 * How many may hold at once, and who excludes whom, says a {@link LeaseRule}. The lock of a cluster has no capacity and excludes
 * by `conflicts` of `locks.ts`. Slots of a host are the other case: those of `slots.ts`.
 *
 * A lease belongs to an execution, not to an id: {@link LeaseOwner}. Only its own release, or the end of that execution, takes a
 * lease away: whoever calls {@link leave} for another owner has seen that it is closed.
 */

/** Who holds or waits. A workflow id can be reused; the run id of its first execution survives Reset and continue-as-new. */
export interface LeaseOwner {
  readonly workflowId: string;
  /** `workflowInfo().firstExecutionRunId`. */
  readonly runId: string;
}

export interface LeaseClaim extends LeaseOwner {
  readonly operationId: string;
  /** Its place is before all that have no intent, and nothing that it excludes is granted before it. */
  readonly intent?: boolean;
}

/** One that waits, since then (UTC ISO-8601). */
export type Waiting<C> = C & { readonly since: string };
/** One that holds, since then. The token grows with every grant. */
export type Held<C> = Waiting<C> & { readonly token: number };

export interface LeaseRule<C> {
  /** How many may hold at once, by what the claim knows of it; Infinity where only conflicts count. */
  capacity(claim: C): number;
  /** Whether two owners exclude each other; symmetric. */
  conflicts(one: C, other: C): boolean;
  /** Whether an owner claims what it already has: then it keeps its token. */
  same(one: C, other: C): boolean;
}

export interface LeaseState<C> {
  readonly holders: readonly Held<C>[];
  /** In the order in which they are granted, as far as they exclude each other. */
  readonly queue: readonly Waiting<C>[];
  readonly lastToken: number;
}

export interface LeaseRequest<C> {
  readonly claim: C;
  /** Where it cannot be granted it takes a place in the queue; absent: it gives way. */
  readonly waits?: boolean;
  /** A host refused this token, because it knows a later grant that conflicts: the claim needs a new one. */
  readonly lost?: number;
}

/** `holder` is what is in the way: it holds or, without a token, it waits and comes first. */
export type LeaseAnswer<C> =
  | { readonly granted: true; readonly token: number }
  | { readonly granted: false; readonly holder: Waiting<C> & { readonly token?: number } };

/** A change, and who was granted by it from the queue: they wait to be told. */
export interface LeaseChange<C> {
  readonly state: LeaseState<C>;
  readonly granted: readonly Held<C>[];
}

export const noLeases = { holders: [], queue: [], lastToken: 0 } as const;

export function sameOwner(one: LeaseOwner, other: LeaseOwner): boolean {
  return one.workflowId === other.workflowId && one.runId === other.runId;
}

/** Asks for a lease; asked again, it answers the same. `now` in ms since the epoch. */
export function request<C extends LeaseClaim>(
  rule: LeaseRule<C>,
  state: LeaseState<C>,
  { claim, waits, lost }: LeaseRequest<C>,
  now: number,
): LeaseChange<C> & { readonly answer: LeaseAnswer<C> } {
  const before = lost === undefined ? state : withoutLost(state, claim, lost);
  const own = before.holders.find((holder) => isOwn(rule, holder, claim));
  if (own) return { state: before, granted: [], answer: grantOf(own) };

  const place = before.queue.findIndex((waiting) => isOwn(rule, waiting, claim));
  const mine: Waiting<C> = { ...claim, since: before.queue[place]?.since ?? new Date(now).toISOString() };
  const queue = place < 0 ? [...before.queue, mine] : before.queue.with(place, mine);
  const change = grantWaiting(rule, { ...before, queue: intentsFirst(queue) }, now);
  const granted = change.granted.find((holder) => isOwn(rule, holder, claim));
  if (granted) {
    // The answer tells this one; the others are told by whoever serves the resource.
    return { ...change, granted: change.granted.filter((one) => one !== granted), answer: grantOf(granted) };
  }
  const answer = { granted: false as const, holder: obstacle(rule, change.state, mine) ?? mine };
  if (waits) return { ...change, answer };
  return { ...change, state: { ...change.state, queue: change.state.queue.filter((one) => one !== mine) }, answer };
}

/**
 * The owner released what it held and waits no longer, or its execution is closed. `token`: what was granted after it stays,
 * because a release whose answer was lost is repeated and may come late.
 */
export function leave<C extends LeaseClaim>(
  rule: LeaseRule<C>,
  { holders, queue, lastToken }: LeaseState<C>,
  owner: LeaseOwner,
  now: number,
  token = Infinity,
): LeaseChange<C> {
  return grantWaiting(
    rule,
    {
      holders: holders.filter((holder) => !sameOwner(holder, owner) || holder.token > token),
      queue: queue.filter((waiting) => !sameOwner(waiting, owner)),
      lastToken,
    },
    now,
  );
}

/**
 * Holders that the records of a host, or the running operations themselves, name to a resource that has lost its state: they
 * keep what they were granted, with their tokens. Of two that exclude each other the later grant counts. Called before anything
 * is granted.
 */
export function restore<C extends LeaseClaim>(
  rule: LeaseRule<C>,
  state: LeaseState<C>,
  found: readonly Held<C>[],
): LeaseState<C> {
  const latestFirst = [...state.holders, ...found].sort((one, other) => other.token - one.token);
  const holders = latestFirst.reduce<readonly Held<C>[]>((kept, one) => {
    const known = kept.some((holder) => isOwn(rule, holder, one) || isExcluded(rule, holder, one));
    return known ? kept : [...kept, one];
  }, []);
  return { ...state, holders, lastToken: Math.max(state.lastToken, ...found.map(({ token }) => token)) };
}

/** Grants what can be granted: first come, first served among those that exclude each other. */
function grantWaiting<C extends LeaseClaim>(rule: LeaseRule<C>, state: LeaseState<C>, now: number): LeaseChange<C> {
  let { holders, lastToken } = state;
  const queue: Waiting<C>[] = [];
  const granted: Held<C>[] = [];
  for (const waiting of state.queue) {
    if (obstacle(rule, { holders, queue }, waiting)) {
      queue.push(waiting);
      continue;
    }
    // From the clock: tokens that were lost, with the workflow or with the whole server, are followed by greater ones.
    lastToken = Math.max(lastToken + 1, now);
    const holder = { ...waiting, since: new Date(now).toISOString(), token: lastToken };
    holders = [...holders, holder];
    granted.push(holder);
  }
  return { state: { holders, queue, lastToken }, granted };
}

/** What keeps a claim from being granted: a holder, else one that comes before it in the queue. */
function obstacle<C extends LeaseClaim>(
  rule: LeaseRule<C>,
  { holders, queue }: Pick<LeaseState<C>, 'holders' | 'queue'>,
  claim: Waiting<C>,
): Waiting<C> | undefined {
  const excludes = (other: Waiting<C>): boolean => isExcluded(rule, other, claim);
  const place = queue.indexOf(claim);
  const earlier = place < 0 ? queue : queue.slice(0, place);
  return (
    holders.find(excludes) ??
    (holders.length >= rule.capacity(claim) ? holders[0] : undefined) ??
    earlier.find(excludes)
  );
}

function withoutLost<C extends LeaseClaim>(state: LeaseState<C>, owner: LeaseOwner, lost: number): LeaseState<C> {
  return {
    ...state,
    holders: state.holders.filter((holder) => !sameOwner(holder, owner) || holder.token > lost),
    lastToken: Math.max(state.lastToken, lost),
  };
}

function isExcluded<C extends LeaseClaim>(rule: LeaseRule<C>, one: C, other: C): boolean {
  return !sameOwner(one, other) && rule.conflicts(one, other);
}

function isOwn<C extends LeaseClaim>(rule: LeaseRule<C>, one: C, claim: C): boolean {
  return sameOwner(one, claim) && rule.same(one, claim);
}

function grantOf<C>({ token }: Held<C>): LeaseAnswer<C> {
  return { granted: true, token };
}

/** In each group, who came first. */
function intentsFirst<C extends LeaseClaim>(queue: readonly Waiting<C>[]): readonly Waiting<C>[] {
  return [...queue.filter(({ intent }) => intent), ...queue.filter(({ intent }) => !intent)];
}
