import { freeMemory } from '../../files/free-memory.js';

const BLOCK_BYTES = 256 * 1024;

/** Rows as COPY writes them, each with the hash of its key: many in few objects. */
export class RowList {
  length = 0;
  private readonly blocks: Buffer[] = [];
  private free = 0;
  private highs = new Uint32Array(1024);
  private lows = new Uint32Array(1024);
  /** Block, start and length of each. */
  private places = new Uint32Array(3 * 1024);

  /** Keeps a copy of a row. */
  add(key: bigint, line: Buffer): void {
    if (this.length === this.highs.length) this.grow();
    if (this.blocks.length === 0 || this.free < line.length) {
      this.free = Math.max(BLOCK_BYTES, line.length);
      this.blocks.push(Buffer.allocUnsafeSlow(this.free));
    }
    const block = this.blocks.length - 1;
    const start = (this.blocks[block]?.length ?? 0) - this.free;
    line.copy(this.blocks[block] as Buffer, start);
    this.free -= line.length;
    this.places.set([block, start, line.length], 3 * this.length);
    this.highs[this.length] = Number(key >> 32n);
    this.lows[this.length++] = Number(BigInt.asUintN(32, key));
  }

  /** Places of the rows in the list, by the hashes of their keys. */
  sorted(): Uint32Array {
    const { highs, lows } = this;
    const order = Uint32Array.from({ length: this.length }, (_, index) => index);
    const high = (index: number): number => highs[index] ?? 0;
    return order.sort((a, b) => high(a) - high(b) || (lows[a] ?? 0) - (lows[b] ?? 0) || a - b);
  }

  line(index: number): Buffer {
    const [block = 0, start = 0, length = 0] = this.places.subarray(3 * index, 3 * index + 3);
    return (this.blocks[block] as Buffer).subarray(start, start + length);
  }

  /** Negative where the key of a row is before that of a row of another list, 0 where it is the same. */
  compare(index: number, other: RowList, otherIndex: number): number {
    const [one, two] = [this.highs[index] ?? 0, other.highs[otherIndex] ?? 0];
    return one === two ? (this.lows[index] ?? 0) - (other.lows[otherIndex] ?? 0) : one - two;
  }

  /** Nothing of it is used any more. */
  clear(): void {
    this.blocks.forEach(freeMemory);
    this.blocks.length = 0;
    this.length = 0;
  }

  private grow(): void {
    const grown = (from: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> => {
      const to = new Uint32Array(from.length * 2);
      to.set(from);
      return to;
    };
    this.highs = grown(this.highs);
    this.lows = grown(this.lows);
    this.places = grown(this.places);
  }
}

/** Rows of two sides whose keys have one hash. */
export interface SameHash {
  readonly before: readonly Buffer[];
  readonly after: readonly Buffer[];
}

/** Goes through two lists together, by the hashes of the keys. */
export function* byHash(left: RowList, right: RowList): Generator<SameHash, void, undefined> {
  const [ofLeft, ofRight] = [left.sorted(), right.sorted()];
  let [l, r] = [0, 0];
  while (l < ofLeft.length || r < ofRight.length) {
    const order = comesFirst(left, ofLeft[l], right, ofRight[r]);
    const [before, after]: [Buffer[], Buffer[]] = [[], []];
    const [firstLeft, firstRight] = [l, r];
    if (order <= 0)
      while (l < ofLeft.length && left.compare(ofLeft[l] ?? 0, left, ofLeft[firstLeft] ?? 0) === 0)
        before.push(left.line(ofLeft[l++] ?? 0));
    if (order >= 0)
      while (r < ofRight.length && right.compare(ofRight[r] ?? 0, right, ofRight[firstRight] ?? 0) === 0)
        after.push(right.line(ofRight[r++] ?? 0));
    yield { before, after };
  }
}

function comesFirst(left: RowList, one: number | undefined, right: RowList, other: number | undefined): number {
  if (one === undefined) return 1;
  return other === undefined ? -1 : left.compare(one, right, other);
}
