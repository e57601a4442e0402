import { pMapIterable } from 'p-map';
import { type LostTrait, lostTraits } from '../domain/media/media.js';
import type { MediaAction } from './action.js';
import type { MediaRun } from './carry-out.js';
import { type MediaPlace, isSameServer } from './place.js';

/** So many copies are looked at: a plan says what is lost of them, and that there are more. */
const LOOKED_AT = 1000;
const CONCURRENCY = 16;

/** How many objects come without which part of what describes them. */
export type LostCounts = Readonly<Partial<Record<LostTrait, number>>>;

export interface LostOnCopy {
  readonly counts: LostCounts;
  /** Copies that were looked at, of all that there are. */
  readonly lookedAt: number;
  readonly copies: number;
}

/** Counts what cannot come with the objects that are copied, as their actions pass. */
export class LostCounter {
  private readonly counts = new Map<LostTrait, number>();
  private copies = 0;

  /** @param refused parts that the target's key may not give, so that no copy has them */
  constructor(
    private readonly work: MediaRun,
    private readonly refused: readonly LostTrait[],
    private readonly signal?: AbortSignal,
  ) {}

  /** The same actions in the same order. */
  over(actions: AsyncIterable<MediaAction>): AsyncIterable<MediaAction> {
    const from = this.work.kind === 'restore' ? this.work.place : this.work.from;
    const into = this.work.kind === 'restore' ? this.work.place : this.work.into;
    return pMapIterable(actions, (action) => this.look(action, from, into), {
      concurrency: CONCURRENCY,
      backpressure: CONCURRENCY * 4,
    });
  }

  get found(): LostOnCopy {
    const entries = lostTraits.flatMap((trait) => {
      const count = this.counts.get(trait);
      return count === undefined ? [] : [[trait, count] as const];
    });
    return { counts: Object.fromEntries(entries), lookedAt: Math.min(this.copies, LOOKED_AT), copies: this.copies };
  }

  private async look(action: MediaAction, from: MediaPlace, into: MediaPlace): Promise<MediaAction> {
    const objects = from.storage.objects;
    const isCopied = action.name === 'copy' || action.name === 'overwrite';
    if (!isCopied || action.unfit || action.irregular || objects === undefined) return action;
    if (++this.copies > LOOKED_AT) return action;
    if (into.storage.objects === undefined) {
      this.add('metadata');
      return action;
    }
    if (action.cold) return action;
    const { described, lost } = await objects.describe(from.folder + action.key, action.source.versionId, {
      elsewhere: !isSameServer(from, into),
      signal: this.signal,
    });
    const has: Partial<Record<LostTrait, boolean>> = {
      acl: Object.keys(described).some((name) => name === 'ACL' || name.startsWith('Grant')),
      tags: described.Tagging !== undefined,
    };
    for (const trait of new Set([...lost, ...this.refused.filter((one) => has[one] === true)])) this.add(trait);
    return action;
  }

  private add(trait: LostTrait): void {
    this.counts.set(trait, (this.counts.get(trait) ?? 0) + 1);
  }
}
