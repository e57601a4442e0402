import { storageClasses } from './storage-classes.js';
import type { ThawTier } from './storage-classes.js';

/** Amazon counts a GB as so many bytes (its price list says GB). */
const GB = 2 ** 30;

/** What the place costs, as the config has it: nobody else's figures are believed. */
export interface Prices {
  readonly currency: string;
  /** By storage class, a month; `DISK` for what has no class. */
  readonly perGbMonth: Readonly<Record<string, number>>;
  /** By storage class and tier of the thaw. */
  readonly thawPerGb: Readonly<Record<string, Readonly<Partial<Record<ThawTier, number>>>>>;
}

export type VolumeState = 'current' | 'noncurrent' | 'unfinished';

/** One thing that takes room: an object, a version of it that is no longer current, or what is left of an upload. */
export interface StoredVolume {
  readonly key: string;
  readonly sizeBytes: number;
  readonly storageClass: string;
  readonly state: VolumeState;
}

/** What all objects of one cluster, class and state come to. */
export interface UsageRow {
  /** First part of the key; null for what belongs to no cluster of the config. */
  readonly cluster: string | null;
  readonly storageClass: string;
  readonly state: VolumeState;
  readonly objects: number;
  readonly bytes: number;
  /** Null where the config names no price for the class. */
  readonly monthlyCost: number | null;
}

export interface StorageUsage {
  readonly repository: string;
  readonly host: string;
  /** Null without a price table. */
  readonly currency: string | null;
  readonly rows: readonly UsageRow[];
  readonly total: { readonly objects: number; readonly bytes: number; readonly monthlyCost: number | null };
}

/** Class of what is in a storage that knows none. */
export const NO_CLASS = 'DISK';

/** Adds up what takes room, one row for each cluster, class and state: a million objects need no more memory than one. */
export class UsageSums {
  private readonly rows = new Map<
    string,
    {
      cluster: string | null;
      storageClass: string;
      state: VolumeState;
      objects: number;
      bytes: number;
      charged: number;
    }
  >();
  private readonly clusters: ReadonlySet<string>;

  constructor(
    clusters: Iterable<string>,
    private readonly prices: Prices | null,
  ) {
    this.clusters = new Set(clusters);
  }

  add({ key, sizeBytes, storageClass, state }: StoredVolume): void {
    const first = key.slice(0, Math.max(0, key.indexOf('/')));
    // Names of others are not rows of their own: there may be as many as objects.
    const cluster = this.clusters.has(first) ? first : null;
    const name = JSON.stringify([cluster, storageClass, state]);
    const row = this.rows.get(name) ?? { cluster, storageClass, state, objects: 0, bytes: 0, charged: 0 };
    this.rows.set(name, row);
    row.objects += 1;
    row.bytes += sizeBytes;
    row.charged += chargedBytes(storageClass, sizeBytes, state);
  }

  usage(repository: string, host: string): StorageUsage {
    const order = ({ cluster, storageClass, state }: UsageRow) =>
      `${cluster ?? '\uffff'}\u0000${storageClass}\u0000${state}`;
    const rows = [...this.rows.values()]
      .map(({ charged, ...row }): UsageRow => ({ ...row, monthlyCost: this.cost(row.storageClass, charged) }))
      .sort((left, right) => (order(left) < order(right) ? -1 : 1));
    const costs = rows.map(({ monthlyCost }) => monthlyCost);
    const total = {
      objects: rows.reduce((sum, { objects }) => sum + objects, 0),
      bytes: rows.reduce((sum, { bytes }) => sum + bytes, 0),
      // A sum with a hole in it is no sum.
      monthlyCost:
        this.prices === null || costs.includes(null) ? null : costs.reduce<number>((sum, cost) => sum + (cost ?? 0), 0),
    };
    return { repository, host, currency: this.prices?.currency ?? null, rows, total };
  }

  private cost(storageClass: string, bytes: number): number | null {
    const price = this.prices?.perGbMonth[storageClass];
    return price === undefined ? null : (bytes / GB) * price;
  }
}

/** Small objects are charged as bigger ones in some classes; parts of an upload are charged as they are. */
function chargedBytes(storageClass: string, bytes: number, state: VolumeState): number {
  const { minimumBytes = 0, overheadBytes = 0 } = state === 'unfinished' ? {} : (storageClasses[storageClass] ?? {});
  return Math.max(bytes, minimumBytes) + overheadBytes;
}

/** What the thaw of so many bytes costs; null where the config names no price for it. */
export function thawPrice(
  prices: Prices | undefined,
  storageClass: string,
  tier: ThawTier,
  bytes: number,
): number | null {
  const price = prices?.thawPerGb[storageClass]?.[tier];
  return price === undefined ? null : (bytes / GB) * price;
}
