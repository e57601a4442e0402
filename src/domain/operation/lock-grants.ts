import { type LockClaim, type LockGrant, conflicts, sameClaim } from './locks.js';

/** A grant that steps have shown to this host, with the claim as the host knows it. */
export interface KnownGrant extends LockClaim, Pick<LockGrant, GrantFacts> {
  readonly operationId: string;
  readonly workflowId: string;
  readonly releasedAt: string | null;
}

type GrantFacts = 'token' | 'runId' | 'since';

/** What a step is about to do, and the grant that it shows; null: none. */
export interface ShownGrant {
  readonly claim: LockClaim;
  readonly operationId: string;
  readonly workflowId: string;
  readonly grant: Pick<LockGrant, GrantFacts> | null;
}

/** A grant as the host tells it to a lock workflow that has lost its state. */
export interface ActiveGrant extends KnownGrant {
  /** A tool of this operation is running on the host. */
  readonly running: boolean;
}

/** What a host knows of the lock of one cluster. */
export interface LockKnowledge {
  /** Grants that were not released, and released ones of operations whose tools still run. */
  readonly active: readonly ActiveGrant[];
  /** The greatest token that any step has shown; 0: none. */
  readonly lastToken: number;
}

/**
 * Why a step may not run: the known grant that is later than its own and conflicts with it, or its own where that was
 * released. A later grant refuses also once it was released: the lock was lost in between. A step that shows no grant gives
 * way to whoever holds a conflicting one.
 */
export function refusingGrant(known: readonly KnownGrant[], shown: ShownGrant): KnownGrant | null {
  const { claim, operationId, grant } = shown;
  const refuses = (other: KnownGrant): boolean => {
    if (grant === null) return other.operationId !== operationId && !other.releasedAt && conflicts(other, claim);
    if (other.operationId !== operationId) return other.token >= grant.token && conflicts(other, claim);
    return other.releasedAt !== null && other.token >= grant.token && sameClaim(other, claim);
  };
  return known.find(refuses) ?? null;
}

/**
 * The grants known once this one was shown. Of one claim only the latest is kept: a claim conflicts with itself, so an earlier
 * one is refused by the later one anyway.
 */
export function rememberGrant(known: readonly KnownGrant[], shown: ShownGrant): readonly KnownGrant[] {
  const { claim, operationId, workflowId, grant } = shown;
  if (!grant || known.some((other) => sameClaim(other, claim) && other.token >= grant.token)) return known;
  const { kind, policy, engine, repository } = claim;
  const { token, runId, since } = grant;
  return [
    ...known.filter((other) => !sameClaim(other, claim)),
    { kind, policy, engine, repository, operationId, workflowId, runId, token, since, releasedAt: null },
  ];
}

/** The grants known once a workflow has released those of its operation. */
export function forgetGrants(
  known: readonly KnownGrant[],
  { operationId, workflowId }: Pick<ShownGrant, 'operationId' | 'workflowId'>,
  at: string,
): readonly KnownGrant[] {
  const isReleased = (grant: KnownGrant): boolean =>
    grant.operationId === operationId && grant.workflowId === workflowId && grant.releasedAt === null;
  return known.some(isReleased)
    ? known.map((grant) => (isReleased(grant) ? { ...grant, releasedAt: at } : grant))
    : known;
}
