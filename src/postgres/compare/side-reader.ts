import type { ComparisonTerms } from '../../domain/table/compare.js';
import type { LeafTree, PairList } from './leaf-tree.js';
import type { TableSide } from './table-side.js';

/** What is read of each side, in the same form on both. */
export interface ReadTerms extends ComparisonTerms {
  readonly bits: number;
  /** Whether the hash of a key is that of its one value; else that of all its values as a record. */
  readonly plainKey: boolean;
  readonly scope: SideScope | null;
}

/** Which rows count as asked for: by a condition on the server, and by the values of a row. */
export interface SideScope {
  readonly sql: string;
  readonly holds: (row: readonly (string | null)[]) => boolean;
}

/** Given a row as COPY writes it, in bytes that it must copy. */
export type UseRow = (key: bigint, line: Buffer) => void;

/** Reads one side, all in its snapshot. Hashes are those of the server. */
export interface SideReader {
  leaves(): Promise<LeafTree>;
  /** Every row of the leaves in the bitmap. */
  pairs(bitmap: Buffer): Promise<PairList>;
  /** The rows of the leaves in the bitmap whose key has one of these hashes; null: all. */
  rows(bitmap: Buffer, keys: ReadonlySet<bigint> | null, use: UseRow): Promise<void>;
}

const PLAIN =
  /^(smallint|integer|bigint|oid|uuid|text|date|numeric(\(.*\))?|character varying(\(.*\))?|timestamp(\(\d\))? with(out)? time zone)$/;

/** Whether the hash of a key can be that of its one value: never NULL, and of a type whose cast to text is its output. */
export function isPlainKey(sides: readonly TableSide[], { key }: ComparisonTerms): boolean {
  const [name] = key;
  return (
    key.length === 1 &&
    sides.every(({ shape }) =>
      shape.columns.some((column) => column.name === name && column.notNull && PLAIN.test(column.type)),
    )
  );
}
