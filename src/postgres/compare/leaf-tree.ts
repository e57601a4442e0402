/**
 * Rows of a table by leaves: the highest bits of the hash of a row's key choose its leaf. Of each leaf we know the number of rows, and their
 * hashes folded into 64 bits: by XOR where a unique key tells rows apart, else by their sum, since equal rows would cancel each other. So
 * only leaves that differ are read row by row. By hash and not by order: the two sides may sort text differently, and a table may have no
 * key that can be sorted.
 */
export class LeafTree {
  readonly rows: Float64Array;
  readonly folds: BigUint64Array;

  constructor(
    readonly bits: number,
    /** Rows in the asked scope; all where there is none. */
    public inScope = 0,
    /** Bytes of a row as COPY writes it, on average; 0: not known. */
    public rowBytes = 0,
  ) {
    this.rows = new Float64Array(2 ** bits);
    this.folds = new BigUint64Array(2 ** bits);
  }

  set(leaf: number, rows: number, fold: bigint): void {
    this.rows[leaf] = rows;
    this.folds[leaf] = fold;
  }

  /** Leaves whose rows are not the same in the other tree, in their order. */
  differing(other: LeafTree): readonly number[] {
    const found: number[] = [];
    for (let leaf = 0; leaf < this.rows.length; leaf++)
      if (this.rows[leaf] !== other.rows[leaf] || this.folds[leaf] !== other.folds[leaf]) found.push(leaf);
    return found;
  }

  /** As bytes to be kept; {@link readLeafTree} reads them. */
  toBytes(): Buffer {
    const head = Buffer.alloc(16);
    head.writeUInt32LE(this.bits, 0);
    head.writeUInt32LE(this.rowBytes, 4);
    head.writeDoubleLE(this.inScope, 8);
    return Buffer.concat([head, Buffer.from(this.rows.buffer), Buffer.from(this.folds.buffer)]);
  }
}

/** Null for what is no tree. */
export function readLeafTree(bytes: Buffer): LeafTree | null {
  const bits = bytes.length < 16 ? -1 : bytes.readUInt32LE(0);
  if (bits < 1 || bits > 24 || bytes.length !== 16 + 16 * 2 ** bits) return null;
  const tree = new LeafTree(bits, bytes.readDoubleLE(8), bytes.readUInt32LE(4));
  for (let leaf = 0; leaf < tree.rows.length; leaf++) {
    tree.rows[leaf] = bytes.readDoubleLE(16 + 8 * leaf);
    tree.folds[leaf] = bytes.readBigUInt64LE(16 + 8 * (tree.rows.length + leaf));
  }
  return tree;
}

/** A set of leaves as the server's `get_bit` reads it. */
export function leafBitmap(bits: number, leaves: readonly number[]): Buffer {
  const bitmap = Buffer.alloc(Math.max(2 ** bits / 8, 1));
  for (const leaf of leaves) bitmap[leaf >> 3] = (bitmap[leaf >> 3] ?? 0) | (1 << (leaf & 7));
  return bitmap;
}

/** Hashes of keys, each with that of its row; where equal rows are counted, with their number. Grows as it is filled. */
export class PairList {
  length = 0;
  private keysOf = new BigUint64Array(1024);
  private valuesOf = new BigUint64Array(1024);

  add(key: bigint, value: bigint): void {
    if (this.length === this.keysOf.length) {
      this.keysOf = grown(this.keysOf);
      this.valuesOf = grown(this.valuesOf);
    }
    this.keysOf[this.length] = key;
    this.valuesOf[this.length++] = value;
  }

  get keys(): BigUint64Array {
    return this.keysOf.subarray(0, this.length);
  }

  get values(): BigUint64Array {
    return this.valuesOf.subarray(0, this.length);
  }
}

function grown(from: BigUint64Array): BigUint64Array<ArrayBuffer> {
  const to = new BigUint64Array(from.length * 2);
  to.set(from);
  return to;
}

/** Odd, so that no two keys become one. */
const SPREAD = 0x9e3779b97f4a7c15n;

/** Hashes of the keys that are not with the same value, or not as often, in both lists; each once, in their order. */
export function differingKeys(left: PairList, right: PairList): BigUint64Array {
  const [mixedLeft, mixedRight] = [mixed(left), mixed(right)];
  const single = unmatched(mixedLeft.toSorted(), mixedRight.toSorted());
  const keys = new BigUint64Array(left.length + right.length);
  let count = 0;
  if (single.length > 0)
    for (const [list, mix] of [
      [left, mixedLeft],
      [right, mixedRight],
    ] as const)
      for (let at = 0; at < mix.length; at++) if (isIn(single, mix[at] ?? 0n)) keys[count++] = list.keys[at] ?? 0n;
  const sorted = keys.subarray(0, count).sort();
  return sorted.filter((key, at) => at === 0 || key !== sorted[at - 1]);
}

function isIn(sorted: BigUint64Array, value: bigint): boolean {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0n) < value) low = middle + 1;
    else high = middle;
  }
  return sorted[low] === value;
}

function mixed(list: PairList): BigUint64Array {
  const { keys, values } = list;
  const mix = new BigUint64Array(list.length);
  for (let at = 0; at < mix.length; at++) mix[at] = (keys[at] ?? 0n) * SPREAD + (values[at] ?? 0n);
  return mix;
}

/** What is not as often in one of two sorted lists as in the other, in its order. */
function unmatched(left: BigUint64Array, right: BigUint64Array): BigUint64Array {
  const found = new BigUint64Array(left.length + right.length);
  let [l, r, count] = [0, 0, 0];
  while (l < left.length || r < right.length) {
    const [one, other] = [left[l], right[r]];
    if (one === other) {
      l++;
      r++;
    } else if (other === undefined || (one !== undefined && one < other)) {
      found[count++] = one ?? 0n;
      l++;
    } else {
      found[count++] = other;
      r++;
    }
  }
  return found.subarray(0, count);
}

/** The first hash of a key that is there twice; null: none is. */
export function repeatedKey({ keys }: PairList): bigint | null {
  const sorted = keys.toSorted();
  for (let at = 1; at < sorted.length; at++) if (sorted[at] === sorted[at - 1]) return sorted[at] ?? null;
  return null;
}
