import type { TableCount } from '../backup/backup.js';
import { visible } from '../text/text.js';

/** What a table holds, read whole. */
export interface TableContent extends TableCount {
  /** Of its rows, whatever their order; decimal. Equal rows count as often as they are there. */
  readonly hash: string;
  /** The partitioned table to which its rows belong. */
  readonly root?: { readonly schema: string; readonly table: string };
}

/** A table as it was recorded, and as it is; rows of partitions belong to their root. */
export interface ComparedTable {
  readonly database: string;
  readonly schema: string;
  readonly table: string;
  readonly unlogged: boolean;
  readonly recorded: number;
  /** Null: it is not there. */
  readonly found: number | null;
  /** Of the rows, as far as they were recorded and found. */
  readonly hashes: { readonly recorded: string; readonly found: string };
}

/** Recorded tables beside those that were read. Rows may have come into other partitions than before: of those the root is compared. */
export function compareContent(recorded: readonly TableCount[], found: readonly TableContent[]): ComparedTable[] {
  const rootOf = new Map(found.map((one) => [keyOf(one), one.root]));
  const of = grouped(recorded, (one) => keyOf({ ...one, ...rootOf.get(keyOf(one)) }));
  const present = grouped(found, (one) => keyOf({ ...one, ...one.root }));
  return [...of].map(([key, parts]) => {
    const [database, schema, table] = JSON.parse(key) as [string, string, string];
    const there = present.get(key);
    return {
      ...{ database, schema, table },
      unlogged: parts.every(({ unlogged }) => unlogged === true),
      recorded: rowsOf(parts),
      found: there === undefined ? null : rowsOf(there),
      hashes: { recorded: addHashes(parts), found: addHashes(there ?? []) },
    };
  });
}

function grouped<T>(all: readonly T[], keyOfOne: (one: T) => string): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) {
    const key = keyOfOne(one);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [one]);
    else group.push(one);
  }
  return groups;
}

const rowsOf = (all: readonly TableCount[]): number => all.reduce((sum, { rows }) => sum + rows, 0);

/** Hashes are sums over rows: that of a whole is the sum of its parts. */
function addHashes(all: readonly { readonly hash?: string }[]): string {
  return String(
    BigInt.asUintN(
      64,
      all.reduce((sum, { hash }) => sum + BigInt(hash ?? 0), 0n),
    ),
  );
}

type TableKey = Pick<TableCount, 'database' | 'schema' | 'table'>;

const keyOf = ({ database, schema, table }: TableKey): string => JSON.stringify([database, schema, table]);

/** Whether both mean the same table. */
export const isSame = (one: TableKey, other: TableKey): boolean => keyOf(one) === keyOf(other);

/** A table's name as people read it. */
export function nameOf({ database, schema, table }: TableKey): string {
  return visible(`${database}: ${schema}.${table}`);
}
