import pg from 'pg';
import { eachLine, valuesOf } from './copied-lines.js';
import { LeafTree, PairList } from './leaf-tree.js';
import { RowHasher } from './row-hasher.js';
import type { ServerHash } from './server-hash.js';
import type { ReadTerms, SideReader, UseRow } from './side-reader.js';
import type { TableSide } from './table-side.js';

const TWO_TO_32 = 2 ** 32;

/**
 * Copies the whole table out for each question, and hashes it here: COPY of a table plans nothing, so that no code of its owner runs with
 * the rights of the session.
 */
export class CopyReader implements SideReader {
  private readonly hasher: RowHasher;

  constructor(
    private readonly side: TableSide,
    private readonly terms: ReadTerms,
    private readonly signal: AbortSignal,
  ) {
    const { columns, key, plainKey } = terms;
    this.hasher = new RowHasher(
      columns.length,
      key.map((name) => columns.indexOf(name)),
      plainKey,
    );
  }

  async leaves(): Promise<LeafTree> {
    const { bits, scope, unique } = this.terms;
    const tree = new LeafTree(bits);
    const [high, low] = [new Uint32Array(2 ** bits), new Uint32Array(2 ** bits)];
    const { key, row } = this.hasher;
    const isCounted = this.terms.key.length === 0;
    const folded = isCounted ? key : row;
    let [rows, size] = [0, 0];
    await this.each((bytes, start, end) => {
      if (!isCounted) this.hasher.hashRow(bytes, start, end);
      rows++;
      size += end - start;
      const leaf = this.leafOf(key);
      tree.rows[leaf] = (tree.rows[leaf] ?? 0) + 1;
      if (unique) {
        low[leaf] = (low[leaf] ?? 0) ^ folded.low;
        high[leaf] = (high[leaf] ?? 0) ^ folded.high;
      } else {
        const sum = (low[leaf] ?? 0) + folded.low;
        low[leaf] = sum;
        high[leaf] = (high[leaf] ?? 0) + folded.high + (sum >= TWO_TO_32 ? 1 : 0);
      }
      if (scope === null || scope.holds(this.valuesOf(bytes.subarray(start, end)))) tree.inScope++;
    });
    for (let leaf = 0; leaf < high.length; leaf++)
      tree.folds[leaf] = (BigInt(high[leaf] ?? 0) << 32n) | BigInt(low[leaf] ?? 0);
    tree.rowBytes = rows === 0 ? 0 : Math.ceil(size / rows);
    return tree;
  }

  async pairs(bitmap: Buffer): Promise<PairList> {
    const list = new PairList();
    const { key, row } = this.hasher;
    const counts = new Map<bigint, bigint>();
    const isCounted = this.terms.key.length === 0;
    await this.each((bytes, start, end) => {
      if (!isIn(bitmap, this.leafOf(key))) return;
      const hash = unsigned(key);
      if (isCounted) counts.set(hash, (counts.get(hash) ?? 0n) + 1n);
      else {
        this.hasher.hashRow(bytes, start, end);
        list.add(hash, unsigned(row));
      }
    });
    for (const [hash, count] of counts) list.add(hash, count);
    return list;
  }

  async rows(bitmap: Buffer, keys: ReadonlySet<bigint> | null, use: UseRow): Promise<void> {
    const { key } = this.hasher;
    await this.each((bytes, start, end) => {
      if (!isIn(bitmap, this.leafOf(key))) return;
      const hash = unsigned(key);
      if (keys === null || keys.has(hash)) use(hash, bytes.subarray(start, end));
    });
  }

  private leafOf(key: ServerHash): number {
    return key.high >>> (32 - this.terms.bits);
  }

  private valuesOf(line: Buffer): (string | null)[] {
    return valuesOf(line, this.terms.columns.length, this.side.decode);
  }

  private async each(use: (bytes: Buffer, start: number, end: number) => void): Promise<void> {
    const names = this.terms.columns.map((name) => pg.escapeIdentifier(name)).join(', ');
    for (const leaf of this.side.leaves) {
      const source = names === '' ? leaf : `${leaf} (${names})`;
      await eachLine(this.side.client, source, this.signal, (bytes, start, end) => {
        this.hasher.hashKey(bytes, start, end);
        use(bytes, start, end);
      });
    }
    this.hasher.rest();
  }
}

const unsigned = ({ high, low }: ServerHash): bigint => (BigInt(high) << 32n) | BigInt(low);

const isIn = (bitmap: Buffer, leaf: number): boolean => ((bitmap[leaf >> 3] ?? 0) & (1 << (leaf & 7))) !== 0;
