import type { MediaTask } from '../operation/orders.js';
import type { ApprovablePlan, ApprovableBinding } from '../plan/plan.js';

/** What may be done with one object: `right` and `keep` touch nothing. */
export const mediaActionNames = ['undelete', 'overwrite', 'copy', 'remove', 'keep', 'right'] as const;
export type MediaActionName = (typeof mediaActionNames)[number];

/** Those that change something: they are approved, and counted in the plan's digest. */
export const mediaChanges = ['undelete', 'overwrite', 'copy', 'remove'] as const satisfies readonly MediaActionName[];
export type MediaChange = (typeof mediaChanges)[number];

export function changesSomething(name: MediaActionName): name is MediaChange {
  return (mediaChanges as readonly string[]).includes(name);
}

/** What may describe an object, and not come with a copy of it. */
export const lostTraits = [
  'acl',
  'grants',
  'tags',
  'class',
  'encryption',
  'expires',
  'redirect',
  'lock',
  'metadata',
] as const;
export type LostTrait = (typeof lostTraits)[number];

export interface MediaCount {
  readonly objects: number;
  readonly bytes: number;
}

/** One folder of one repository. */
export interface MediaPlaceName {
  readonly repository: string;
  /** Empty, or with a slash at its end. */
  readonly folder: string;
}

export interface MediaBinding extends ApprovableBinding {
  readonly action: 'media-recover' | 'media-sync';
  readonly media: string;
  readonly task: MediaTask;
  readonly from: MediaPlaceName;
  readonly into: MediaPlaceName;
  readonly counts: Readonly<Record<MediaChange, MediaCount>>;
  /** SHA-256 (hex) over all changes in the order of their keys. */
  readonly changes: string;
}

export interface MediaPlan extends ApprovablePlan {
  readonly binding: MediaBinding;
  readonly observed: {
    readonly untouched: Readonly<Record<'right' | 'keep', MediaCount>>;
    /** The first of each kind, to look at. */
    readonly samples: readonly { readonly action: MediaChange; readonly key: string }[];
    readonly approval: { readonly approvers: number; readonly from: readonly string[] } | null;
    readonly warnings: readonly string[];
  };
}

export function isMediaPlan(plan: ApprovablePlan): plan is MediaPlan {
  return plan.binding.action === 'media-recover' || plan.binding.action === 'media-sync';
}

/** Whether both are about the same media and change the same place. */
export function isSameMedia({ binding: one }: MediaPlan, { binding: other }: MediaPlan): boolean {
  return (
    one.media === other.media && one.into.repository === other.into.repository && one.into.folder === other.into.folder
  );
}

/** What a plan came to. */
export interface MediaOutcome {
  /** As planned; what was right before an interrupted attempt went on is counted with it. */
  readonly done: Readonly<Record<MediaChange, MediaCount>>;
  /** Changes that a scan afterwards found still to be made: 0, unless something wrote meanwhile. */
  readonly left: number;
  readonly untouched: Readonly<Record<'right' | 'keep', MediaCount>>;
  /** Copies that were made without a part of what describes them; absent where none was. */
  readonly lost?: Readonly<Partial<Record<LostTrait, number>>>;
  /** Key of the report in the catalogue. */
  readonly report: string;
}

export interface MediaVerdict {
  readonly objects: number;
  readonly bytes: number;
  /** Objects read whole, as long as they are listed, and equal to their checksum where there is one to compare with. */
  readonly read: number;
  /** Of these, those without one (uploaded in parts, encrypted with a key of one's own, in a directory): damaged content would not show. */
  readonly unchecked: number;
  /** Images decoded for real. */
  readonly decoded: number;
  readonly problems: number;
  /** The first of them. */
  readonly samples: readonly { readonly key: string; readonly problem: string }[];
}
