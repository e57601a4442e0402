export const thawTierNames = ['Expedited', 'Standard', 'Bulk'] as const;
export type ThawTier = (typeof thawTierNames)[number];

/** What Amazon says of a storage class (Amazon S3 User Guide, "storage classes" and "restoring an archived object"). */
export interface ClassFacts {
  /** Whoever removes or replaces it earlier pays for so many days. */
  readonly minimumDays?: number;
  /** Smaller objects are charged as so big. */
  readonly minimumBytes?: number;
  /** Charged on top of each object. */
  readonly overheadBytes?: number;
  /** Hours until an object can be read, at the most, by tier; absent where it can be read at once. */
  readonly thawHours?: Readonly<Partial<Record<ThawTier, number>>>;
}

const archived = 40 * 1024;
const billedFrom = 128 * 1024;

/** By name. Names come from a storage's answers: without a prototype, none finds anything but these. */
export const storageClasses: Readonly<Record<string, ClassFacts>> = Object.assign(
  Object.create(null) as Record<string, ClassFacts>,
  {
    STANDARD: {},
    REDUCED_REDUNDANCY: {},
    INTELLIGENT_TIERING: {},
    STANDARD_IA: { minimumDays: 30, minimumBytes: billedFrom },
    ONEZONE_IA: { minimumDays: 30, minimumBytes: billedFrom },
    GLACIER_IR: { minimumDays: 90, minimumBytes: billedFrom },
    GLACIER: { minimumDays: 90, overheadBytes: archived, thawHours: { Expedited: 5 / 60, Standard: 5, Bulk: 12 } },
    DEEP_ARCHIVE: { minimumDays: 180, overheadBytes: archived, thawHours: { Standard: 12, Bulk: 48 } },
  },
);

/** Whether objects of a class have to be thawed before they can be read. */
export function isCold(storageClass: string): boolean {
  return storageClasses[storageClass]?.thawHours !== undefined;
}

/** The fastest that a class can be thawed, in hours; null where it needs no thaw. */
export function fastestThaw(storageClass: string): { readonly tier: ThawTier; readonly hours: number } | null {
  const tiers = Object.entries(storageClasses[storageClass]?.thawHours ?? {}) as [ThawTier, number][];
  const [fastest] = tiers.sort(([, left], [, right]) => left - right);
  return fastest === undefined ? null : { tier: fastest[0], hours: fastest[1] };
}

/** What is charged at least, in words; null for a class without such charges. */
export function minimumCharge(storageClass: string): string | null {
  const { minimumDays, minimumBytes, overheadBytes } = storageClasses[storageClass] ?? {};
  const parts = [
    ...(minimumDays === undefined ? [] : [`for at least ${minimumDays} days, however soon it is removed`]),
    ...(minimumBytes === undefined ? [] : [`as at least ${minimumBytes / 1024} KiB an object`]),
    ...(overheadBytes === undefined ? [] : [`with ${overheadBytes / 1024} KiB more for each object`]),
  ];
  return parts.length === 0 ? null : `${storageClass} is charged ${parts.join(', ')}`;
}
