import type { Held, LeaseAnswer, LeaseClaim, LeaseRule, Waiting } from './lease.js';

export type LockKind = 'backup' | 'rotation' | 'recovery' | 'drill' | 'table-repair' | 'media';

/** What a lock's conflict depends on. */
export interface LockClaim {
  readonly kind: LockKind;
  readonly policy: string;
  readonly engine: string;
  readonly repository: string;
}

/** Whether two holders of one cluster exclude each other, as the table of docs/decisions/0002-locks-are-a-workflow.md says; symmetric. */
export function conflicts(one: LockClaim, other: LockClaim): boolean {
  const kinds = new Set([one.kind, other.kind]);
  if (kinds.has('drill')) return kinds.size === 1;
  if (kinds.has('recovery')) return true;
  if (kinds.has('table-repair')) return kinds.size === 1;
  if (kinds.has('rotation') && kinds.size === 1) return true;
  // Backups and rotations meet in the repository: two engines keep apart, one engine does not.
  return one.engine === other.engine && (one.repository === other.repository || one.policy === other.policy);
}

/** What a backup or a rotation of a policy claims. */
export function policyClaim(
  kind: LockKind,
  { name, engine, repository }: { readonly name: string; readonly engine: string; readonly repository: string },
): LockClaim {
  return { kind, policy: name, engine, repository };
}

/** What the recovery of a plan claims: the whole cluster. */
export function recoveryClaim({ policy, engine }: { readonly policy: string; readonly engine: string }): LockClaim {
  return { kind: 'recovery', policy, engine, repository: '*' };
}

/** What the repair of a table claims: one repair of a cluster at a time, and no recovery meanwhile. */
export const repairClaim: LockClaim = { kind: 'table-repair', policy: 'table-repair', engine: 'table', repository: '' };

/** What a plan for media claims: the place it changes. */
export function mediaClaim({
  media,
  into,
}: {
  readonly media: string;
  readonly into: { readonly repository: string };
}): LockClaim {
  return { kind: 'media', policy: media, engine: 'media', repository: into.repository };
}

/** A claim with its owner, as the lock of a cluster takes it. */
export type OwnedClaim = LockClaim & LeaseClaim;
/** A grant: what an operation shows to its host with each step, so that the host can refuse it where it knows a later one that conflicts. */
export type LockGrant = Held<OwnedClaim>;

export function sameClaim(one: LockClaim, other: LockClaim): boolean {
  return (
    one.kind === other.kind &&
    one.policy === other.policy &&
    one.engine === other.engine &&
    one.repository === other.repository
  );
}
/** What is in the way of a claim: it holds or, without a token, it waits and comes first. */
export type LockHolder = Waiting<OwnedClaim> & { readonly token?: number };
export type LockAnswer = LeaseAnswer<OwnedClaim>;

/** What an operation has of the lock of its cluster; answer of the query `lock`. */
export interface LockView {
  readonly grant: LockGrant | null;
  readonly waits: boolean;
}

/** For people: who is in the way. */
export function holderText(cluster: string, { kind, policy, since, token }: LockHolder): string {
  return `${kind} of policy ${policy} ${token === undefined ? 'waits for' : 'holds'} ${cluster} since ${since}`;
}

/** The lock of a cluster as a lease: any number of holders that do not exclude each other. */
export const clusterLockRule: LeaseRule<OwnedClaim> = { capacity: () => Infinity, conflicts, same: sameClaim };
