import type { Held, LeaseAnswer, LeaseClaim, LeaseRule, Waiting } from './lease.js';

/** What of a host is limited: backups, verifications and rotations; recoveries; recoveries of media. */
export type SlotKind = 'heavy' | 'recovery' | 'media';

/** One slot of a host. */
export interface HostSlot {
  readonly host: string;
  readonly kind: SlotKind;
}

/** A claim with its owner. */
export type SlotRequest = HostSlot & LeaseClaim;

/** The same as the slots of a host take it. */
export interface SlotClaim extends SlotRequest {
  /** How many there are, as the configuration said when it was asked for. */
  readonly capacity: number;
}
export type SlotAnswer = LeaseAnswer<SlotClaim>;

/** What an operation has of the slots of its host; answer of the query `slot`. */
export interface SlotView {
  /** The one that it has or waits for. */
  readonly slot: HostSlot | null;
  readonly grant: Held<SlotRequest> | null;
}

/** The slots of a host as a lease: so many operations at once, whatever they do. */
export const slotRule: LeaseRule<SlotClaim> = {
  capacity: ({ capacity }) => capacity,
  conflicts: () => false,
  same: () => true,
};

/** Keys of the configuration that say how many slots there are. */
const keys: Readonly<Record<SlotKind, string>> = {
  heavy: 'heavy_slots',
  recovery: 'recovery_slots',
  media: 'media_slots',
};

/** For people: what an operation waits for. */
export function slotText({ host, kind }: HostSlot, { workflowId, since }: Waiting<SlotClaim>): string {
  return `a free slot of host ${host} (\`${keys[kind]}\` in its configuration); ${workflowId} has one since ${since}`;
}
