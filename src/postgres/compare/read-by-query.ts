import pg from 'pg';
import { eachLine } from './copied-lines.js';
import { LeafTree, PairList } from './leaf-tree.js';
import type { ReadTerms, SideReader, UseRow } from './side-reader.js';
import type { TableSide } from './table-side.js';

/** Of the hash of a key, and of the hash of a row; {@link RowHasher} has the same. */
const [KEY_SEED, ROW_SEED] = [1, 0];
const [TAB, ESCAPED_X] = [0x09, 3];

/** Has the server hash and filter: only what differs is sent. Every function and operator is PostgreSQL's own, but those of types. */
export class QueryReader implements SideReader {
  private readonly key: string;
  private readonly row: string;

  constructor(
    private readonly side: TableSide,
    private readonly terms: ReadTerms,
    private readonly signal: AbortSignal,
  ) {
    const { columns, key, plainKey } = terms;
    const [single = ''] = key;
    const keyed = key.length === 0 ? columns : key;
    const text = plainKey ? `${columnOf(single)}::pg_catalog.text` : recordText(keyed);
    this.key = hashOf(text, KEY_SEED);
    this.row = hashOf(recordText(columns), ROW_SEED);
  }

  async leaves(): Promise<LeafTree> {
    const { bits, key, scope, unique } = this.terms;
    const tree = new LeafTree(bits);
    const inScope = scope === null ? 'pg_catalog.count(*)' : `pg_catalog.count(*) FILTER (WHERE s)`;
    const hashes = [
      `${this.key} AS k`,
      ...(key.length === 0 ? [] : [`${this.row} AS h`]),
      ...(scope === null ? [] : [`(${scope.sql}) AS s`]),
    ];
    // bit_xor is half the work of a sum. OFFSET 0 keeps the planner from writing the hash twice.
    const folded = `pg_catalog.${unique ? 'bit_xor' : 'sum'}(${key.length === 0 ? 'k' : 'h'})`;
    const query = `SELECT ${this.leafOf('k')}, pg_catalog.count(*), ${inScope}, ${folded}
                     FROM (SELECT ${hashes.join(', ')} FROM ${this.side.from} t${key.length === 0 ? ' OFFSET 0' : ''}) r GROUP BY 1`;
    await this.copy(query, (bytes, start, end) => {
      const [leaf, rows, counted, fold] = bytes.toString('latin1', start, end).split('\t');
      tree.set(Number(leaf), Number(rows), BigInt(fold ?? 0));
      tree.inScope += Number(counted);
    });
    return tree;
  }

  /** Many pairs in one row: a row costs more than what is in it. */
  async pairs(bitmap: Buffer): Promise<PairList> {
    const list = new PairList();
    const { key } = this.terms;
    const value = key.length === 0 ? 'pg_catalog.count(*)' : this.row;
    const grouped = key.length === 0 ? 'GROUP BY 1' : '';
    const source = `SELECT ${this.key} AS k, ${value} AS v FROM ${this.side.from} t WHERE ${this.isIn(bitmap)} ${grouped}`;
    const packed = 'pg_catalog.int8send(k) OPERATOR(pg_catalog.||) pg_catalog.int8send(v)';
    const query = `SELECT pg_catalog.string_agg(${packed}, '') FROM (${source}) p GROUP BY ${this.leafOf('k')}`;
    await this.copy(query, (bytes, start, end) => {
      // `\\x`, then two digits for each byte.
      const pairs = Buffer.from(bytes.toString('latin1', start + ESCAPED_X, end), 'hex');
      for (let at = 0; at < pairs.length; at += 16) list.add(pairs.readBigUInt64BE(at), pairs.readBigUInt64BE(at + 8));
    });
    return list;
  }

  async rows(bitmap: Buffer, keys: ReadonlySet<bigint> | null, use: UseRow): Promise<void> {
    const wanted = keys === null ? '' : ` AND ${this.key} OPERATOR(pg_catalog.=) ANY (${arrayOf(keys)})`;
    const columns = this.terms.columns.map((name) => `, ${columnOf(name)}`).join('');
    const query = `SELECT ${this.key}${columns} FROM ${this.side.from} t
                    WHERE ${this.isIn(bitmap)}${wanted}`;
    await this.copy(query, (bytes, start, end) => {
      const tab = bytes.indexOf(TAB, start);
      const keyEnd = tab === -1 || tab > end ? end : tab;
      const key = BigInt.asUintN(64, BigInt(bytes.toString('latin1', start, keyEnd)));
      use(key, bytes.subarray(Math.min(keyEnd + 1, end), end));
    });
  }

  private leafOf(key: string): string {
    const { bits } = this.terms;
    const high = `(${key} OPERATOR(pg_catalog.>>) ${64 - bits})`;
    return `(${high} OPERATOR(pg_catalog.&) ${2 ** bits - 1})::pg_catalog.int4`;
  }

  private isIn(bitmap: Buffer): string {
    const bit = `pg_catalog.get_bit('\\x${bitmap.toString('hex')}'::pg_catalog.bytea, ${this.leafOf(this.key)})`;
    return `${bit} OPERATOR(pg_catalog.=) 1`;
  }

  private copy(query: string, use: (bytes: Buffer, start: number, end: number) => void): Promise<void> {
    return eachLine(this.side.client, `(${query})`, this.signal, use);
  }
}

const arrayOf = (keys: ReadonlySet<bigint>): string =>
  `'{${Array.from(keys, (key) => BigInt.asIntN(64, key)).join(',')}}'::pg_catalog.int8[]`;

/** `record_out`, which uses the output function of each type: a cast to text could be a function of the type's owner. */
const recordText = (columns: readonly string[]): string => `ROW(${columns.map(columnOf).join(', ')})::pg_catalog.text`;

const columnOf = (name: string): string => `t.${pg.escapeIdentifier(name)}`;

const hashOf = (text: string, seed: number): string =>
  `pg_catalog.hashtextextended(${text} COLLATE pg_catalog."C", ${seed})`;
