import pg from 'pg';
import { RepriseError } from '../../domain/errors.js';
import type { ScopeTerm } from '../../domain/operation/orders.js';
import { comparisonTerms, leafBits, planSlices, schemaDifferences } from '../../domain/table/compare.js';
import type { ComparisonTerms, RowDifference, SchemaDifference } from '../../domain/table/compare.js';
import { rangeOrderOf, scopeTest } from '../../domain/table/scope.js';
import type { TableName } from '../../domain/table/table-name.js';
import { visible } from '../../domain/text/text.js';
import { shortValuesOf, valuesOf } from './copied-lines.js';
import { EqualKeys } from './equal-keys.js';
import { differingKeys, leafBitmap, repeatedKey } from './leaf-tree.js';
import type { LeafTree } from './leaf-tree.js';
import { CopyReader } from './read-by-copy.js';
import { QueryReader } from './read-by-query.js';
import { byHash, RowList } from './row-list.js';
import { scopeAsWritten } from './scope-values.js';
import { isPlainKey } from './side-reader.js';
import type { ReadTerms, SideReader, SideScope } from './side-reader.js';
import { withTableSide } from './table-side.js';
import type { TableSide } from './table-side.js';

/** Keeps the tree of a side that never changes, such as a backup. */
export interface TreeStore {
  /** @param terms what the tree was made by, besides the side itself */
  read(terms: string): Promise<LeafTree | null>;
  write(terms: string, tree: LeafTree): Promise<void>;
}

export interface ComparisonRequest {
  /** The good side; a client without a transaction, which is used by nobody else meanwhile. */
  readonly left: pg.ClientBase;
  /** Production; the same. */
  readonly right: pg.ClientBase;
  readonly table: TableName;
  /** By which rows are told apart; absent: a key of both sides, and equal rows are counted where there is none. */
  readonly key?: readonly string[] | undefined;
  /** What is compared; absent: every column that is stored on both sides and not generated. */
  readonly columns?: readonly string[] | undefined;
  /** Differences count where all of these hold for the row of one side. */
  readonly scope?: readonly ScopeTerm[] | undefined;
  readonly leftTree?: TreeStore | undefined;
  /** Wide values are cut, see {@link shortValuesOf}; where the two sides have different encodings they are not. */
  readonly cutsValues?: true;
  readonly signal: AbortSignal;
  readonly report?: ((progress: ComparisonProgress) => void) | undefined;
}

export interface ComparisonProgress {
  readonly phase: 'hashing' | 'reading';
  /** Leaves that differ, of which so many were read. */
  readonly done: number;
  readonly total: number;
}

/** So many pairs of hashes are in memory at once, and so many keys whose rows are read at once. */
const [MOST_PAIRS, MOST_KEYS] = [600_000, 150_000];
/** Bytes of rows that are in memory at once; each takes so many besides. */
const [MOST_BYTES, ROW_BYTES] = [32 * 1024 * 1024, 24];
/** More rows in one leaf have a key that does not tell them apart. */
const MOST_IN_LEAF = 200_000;

/**
 * Compares a table on two servers, each in one snapshot, and gives the result to a function while both are open. Whose code runs: where the
 * role of a client is a superuser, the table is copied out whole and nothing is planned, so that none of its owner runs; where it is not,
 * the server hashes the rows in a query, with the rights of that role and read-only. Columns are found by name.
 * @throws RepriseError as {@link withTableSide}; `usage` for a key, columns or scope that the tables do not have, or a key that is not unique
 */
export async function withComparison<T>(
  request: ComparisonRequest,
  fn: (comparison: Comparison) => Promise<T>,
): Promise<T> {
  request.signal.throwIfAborted();
  return withTableSide(request.left, request.table, 'on the good side', (left) =>
    withTableSide(request.right, request.table, 'in production', async (right) =>
      fn(await Comparison.of(request, left, right)),
    ),
  );
}

interface Readers {
  readonly left: SideReader;
  readonly right: SideReader;
}

/** Two open sides of a table. */
export class Comparison {
  readonly schema: readonly SchemaDifference[];
  /** Rows of the good side within the scope; known when {@link differences} has begun to give some. */
  leftRows = 0;
  rightRows = 0;
  /** Columns of the key in which equal values may have counted as other ones; known when {@link differencesByServer} has ended. */
  keysByText: readonly string[] = [];

  private constructor(
    private readonly request: ComparisonRequest,
    private readonly left: TableSide,
    private readonly right: TableSide,
    readonly terms: ComparisonTerms,
    /** As `format_type` writes them, for {@link ComparisonTerms.columns}, on the good side. */
    readonly types: readonly string[],
    private readonly scope: SideScope | null,
  ) {
    this.schema = schemaDifferences(left.shape, right.shape);
  }

  static async of(request: ComparisonRequest, left: TableSide, right: TableSide): Promise<Comparison> {
    const terms = comparisonTerms(left.shape, right.shape, request);
    const typeOf = (name: string): string => left.shape.columns.find((column) => column.name === name)?.type ?? '';
    const types = terms.columns.map(typeOf);
    const scope = await scopeOf(request, left, terms, types);
    return new Comparison(request, left, right, terms, types, scope);
  }

  /** Rows that are not the same on both sides and in scope, always in the same order: by the hash of the key. Keys are equal where their text is. */
  async *differences(): AsyncGenerator<RowDifference, void, undefined> {
    for await (const row of this.found()) if (this.isInScope(row)) yield row;
  }

  /** The same, with keys that are equal to the server of production, as far as {@link keysByText} does not say otherwise. */
  async *differencesByServer(): AsyncGenerator<RowDifference, void, undefined> {
    const keys = new EqualKeys(this.right.client, this.request.table, this.terms);
    for await (const row of keys.pair(this.found())) if (this.isInScope(row)) yield row;
    this.keysByText = keys.byText;
  }

  private async *found(): AsyncGenerator<RowDifference, void, undefined> {
    const { signal, report } = this.request;
    report?.({ phase: 'hashing', done: 0, total: 0 });
    const stored = (await this.request.leftTree?.read(this.treeTerms)) ?? null;
    const isCopied = ![this.left, this.right].every((side) => side.plansQueries);
    const rows = Math.max(this.left.estimatedRows, this.right.estimatedRows);
    const bits = stored?.bits ?? leafBits(rows, isCopied);
    const plainKey = isPlainKey([this.left, this.right], this.terms);
    const read: ReadTerms = { ...this.terms, bits, plainKey, scope: this.scope };
    const readerOf = (side: TableSide): SideReader =>
      side.plansQueries ? new QueryReader(side, read, signal) : new CopyReader(side, read, signal);
    const readers = { left: readerOf(this.left), right: readerOf(this.right) };
    const [left, right] = await both(stored ?? readers.left.leaves(), readers.right.leaves());
    if (stored === null) await this.request.leftTree?.write(this.treeTerms, left);
    [this.leftRows, this.rightRows] = [left.inScope, right.inScope];
    const differing = left.differing(right);
    const rowsOf = (leaf: number): number => (left.rows[leaf] ?? 0) + (right.rows[leaf] ?? 0);
    this.refuseWideLeaf(differing.map(rowsOf));
    const rowBytes = Math.max(left.rowBytes, right.rowBytes) + ROW_BYTES;
    const bytes = rowBytes * differing.reduce((sum, leaf) => sum + rowsOf(leaf), 0);
    // Each further look would copy both tables out once more.
    const all = isCopied && bytes <= MOST_BYTES ? await this.lookAt(readers, leafBitmap(bits, differing), null) : null;
    if (all === null) yield* this.byPairs(readers, bits, planSlices(differing, rowsOf, MOST_PAIRS));
    else yield* this.differing(all);
    report?.({ phase: 'reading', done: differing.length, total: differing.length });
  }

  /** Hashes of the rows of these leaves tell which of them differ; only those are read. */
  private async *byPairs(
    readers: Readers,
    bits: number,
    slices: readonly (readonly number[])[],
  ): AsyncGenerator<RowDifference, void, undefined> {
    const total = slices.reduce((sum, slice) => sum + slice.length, 0);
    let [keys, leaves, done]: [Set<bigint>, number[], number] = [new Set(), [], 0];
    for (const slice of slices) {
      this.request.report?.({ phase: 'reading', done, total });
      const found = await this.keysIn(readers, leafBitmap(bits, slice));
      for (let at = 0; at < found.length; at += MOST_KEYS) {
        const some = found.subarray(at, at + MOST_KEYS);
        if (keys.size > 0 && keys.size + some.length > MOST_KEYS) {
          yield* this.rowsOf(readers, leafBitmap(bits, leaves), keys);
          [keys, leaves] = [new Set(), []];
        }
        for (const key of some) keys.add(key);
        leaves.push(...slice);
      }
      done += slice.length;
    }
    if (keys.size > 0) yield* this.rowsOf(readers, leafBitmap(bits, leaves), keys);
  }

  /** What a stored tree must have been made by. */
  private get treeTerms(): string {
    return JSON.stringify([
      this.terms,
      this.types,
      isPlainKey([this.left, this.right], this.terms),
      this.request.scope ?? [],
    ]);
  }

  private refuseWideLeaf(rows: readonly number[]): void {
    if (this.terms.unique || this.terms.key.length === 0) return;
    if (rows.some((count) => count > MOST_IN_LEAF)) throw this.notUnique();
  }

  private notUnique(): RepriseError {
    return new RepriseError(
      'usage',
      `several rows have the same ${this.terms.key.map((name) => visible(name)).join(', ')}: it is no key`,
      'name more columns that tell rows apart, or none: equal rows are counted then',
    );
  }

  private async keysIn(readers: Readers, bitmap: Buffer): Promise<BigUint64Array> {
    const [one, other] = await both(readers.left.pairs(bitmap), readers.right.pairs(bitmap));
    if (!this.terms.unique && this.terms.key.length > 0 && (repeatedKey(one) ?? repeatedKey(other)) !== null)
      throw this.notUnique();
    return differingKeys(one, other);
  }

  /** Reads the rows of these keys; in halves, where they are too many bytes. */
  private async *rowsOf(
    readers: Readers,
    bitmap: Buffer,
    keys: ReadonlySet<bigint>,
  ): AsyncGenerator<RowDifference, void, undefined> {
    const rows = await this.lookAt(readers, bitmap, keys);
    if (rows !== null) return yield* this.differing(rows);
    const sorted = [...keys].toSorted(ascending);
    const half = Math.ceil(sorted.length / 2);
    yield* this.rowsOf(readers, bitmap, new Set(sorted.slice(0, half)));
    yield* this.rowsOf(readers, bitmap, new Set(sorted.slice(half)));
  }

  /** The rows of these leaves with these keys, or all; null where they are too many bytes. */
  private async lookAt(
    { left, right }: Readers,
    bitmap: Buffer,
    keys: ReadonlySet<bigint> | null,
  ): Promise<readonly [RowList, RowList] | null> {
    const budget = { bytes: MOST_BYTES, isLeast: keys?.size === 1 };
    const [before, after] = await both(collect(left, bitmap, keys, budget), collect(right, bitmap, keys, budget));
    if (budget.bytes >= 0 || budget.isLeast) return [before, after];
    before.clear();
    after.clear();
    return null;
  }

  private *differing([left, right]: readonly [RowList, RowList]): Generator<RowDifference, void, undefined> {
    const sameBytes = this.left.encoding === this.right.encoding;
    try {
      for (const { before, after } of byHash(left, right)) {
        if (!this.terms.unique && this.terms.key.length > 0 && Math.max(before.length, after.length) > 1)
          throw this.notUnique();
        const [one, other] = [before[0], after[0]];
        const isSame = before.length === 1 && after.length === 1 && one !== undefined && other?.equals(one) === true;
        if (isSame && sameBytes) continue;
        yield* this.resolve(before, after);
      }
    } finally {
      left.clear();
      right.clear();
    }
  }

  private read(line: Buffer, { decode }: TableSide): (string | null)[] {
    const isCut = this.request.cutsValues === true && this.left.encoding === this.right.encoding;
    return (isCut ? shortValuesOf : valuesOf)(line, this.terms.columns.length, decode);
  }

  private isInScope({ before, after }: RowDifference): boolean {
    const holds = this.scope?.holds;
    return holds === undefined || (before !== null && holds(before)) || (after !== null && holds(after));
  }

  /** Whether a row was counted among {@link leftRows}. */
  isCounted({ before }: RowDifference): boolean {
    return before !== null && (this.scope === null || this.scope.holds(before));
  }

  /** What differs among the rows whose keys have one hash: nearly always one key. */
  private resolve(before: readonly Buffer[], after: readonly Buffer[]): readonly RowDifference[] {
    return this.terms.key.length === 0 ? this.countEqual(before, after) : this.pair(before, after);
  }

  private pair(before: readonly Buffer[], after: readonly Buffer[]): readonly RowDifference[] {
    const { columns, key } = this.terms;
    const at = key.map((name) => columns.indexOf(name));
    const sameBytes = this.left.encoding === this.right.encoding;
    const found = new Map<string, RowDifference>();
    const keyOf = (row: readonly (string | null)[]): (string | null)[] => at.map((index) => row[index] ?? null);
    for (const line of before) {
      const row = this.read(line, this.left);
      const values = keyOf(row);
      const [id, times] = [JSON.stringify(values), 1];
      found.set(id, { kind: 'missing', key: values, before: row, after: null, columns: [], times });
    }
    for (const line of after) {
      const row = this.read(line, this.right);
      const [values, times] = [keyOf(row), 1];
      const id = JSON.stringify(values);
      const good = found.get(id)?.before ?? null;
      if (good === null) {
        found.set(id, { kind: 'extra', key: values, before: null, after: row, columns: [], times });
        continue;
      }
      const differ = columns.filter((_name, index) => good[index] !== row[index]);
      if (differ.length === 0 && !(sameBytes && !before.some((one) => one.equals(line)))) found.delete(id);
      else found.set(id, { kind: 'changed', key: values, before: good, after: row, columns: differ, times });
    }
    return [...found.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
  }

  private countEqual(before: readonly Buffer[], after: readonly Buffer[]): readonly RowDifference[] {
    const counts = new Map<string, { row: (string | null)[]; left: number; right: number }>();
    const count = (line: Buffer, side: 'left' | 'right'): void => {
      const row = this.read(line, this[side]);
      const id = JSON.stringify(row);
      const known = counts.get(id) ?? { row, left: 0, right: 0 };
      known[side] += 1;
      counts.set(id, known);
    };
    for (const line of before) count(line, 'left');
    for (const line of after) count(line, 'right');
    return [...counts.entries()]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([, { row, left, right }]): RowDifference[] => {
        if (left === right) return [];
        const times = Math.abs(left - right);
        return left > right
          ? [{ kind: 'missing', key: [], before: row, after: null, columns: [], times }]
          : [{ kind: 'extra', key: [], before: null, after: row, columns: [], times }];
      });
  }
}

const ascending = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);

/** The rows of these keys, or all; none any more once the budget is used up. */
async function collect(
  reader: SideReader,
  bitmap: Buffer,
  keys: ReadonlySet<bigint> | null,
  budget: { bytes: number; readonly isLeast: boolean },
): Promise<RowList> {
  const rows = new RowList();
  await reader.rows(bitmap, keys, (key, line) => {
    budget.bytes -= line.length + ROW_BYTES;
    if (budget.bytes >= 0 || budget.isLeast) rows.add(key, line);
    else rows.clear();
  });
  return rows;
}

/** Both at once; a failure is told when the other has ended too, so that nothing reads on unseen. */
async function both<L, R>(left: L | Promise<L>, right: R | Promise<R>): Promise<[L, R]> {
  const [one, other] = await Promise.allSettled([left, right]);
  if (one.status === 'rejected') throw one.reason;
  if (other.status === 'rejected') throw other.reason;
  return [one.value, other.value];
}

async function scopeOf(
  { scope = [] }: ComparisonRequest,
  left: TableSide,
  { columns }: ComparisonTerms,
  types: readonly string[],
): Promise<SideScope | null> {
  if (scope.length === 0) return null;
  const described = columns.map((name, index) => ({ name, type: types[index] ?? '' }));
  // Refused before the server is asked to read values of a type that has no ranges.
  scopeTest(scope, described);
  const typeOf = (term: ScopeTerm): string => types[columns.indexOf(term.column)] ?? '';
  const read = await scopeAsWritten(left.client, scope, typeOf);
  const conditions = read.map((term) => `(${conditionOf(term, typeOf(term))})`);
  return { sql: conditions.join(' AND '), holds: scopeTest(read, described) };
}

/** The same condition on the server, on the text it writes or by the order of the type. */
function conditionOf(term: ScopeTerm, type: string): string {
  const column = `t.${pg.escapeIdentifier(term.column)}`;
  if ('in' in term) {
    const values = term.in.filter((value) => value !== null).map((value) => pg.escapeLiteral(value));
    const isNull = term.in.includes(null) ? [`${column} IS NULL`] : [];
    const text = rangeOrderOf(type) === undefined ? `pg_catalog.format('%s', ${column})` : column;
    const listed = values.length === 0 ? [] : [`(${column} IS NOT NULL AND ${text} IN (${values.join(', ')}))`];
    return [...isNull, ...listed].join(' OR ') || 'false';
  }
  const bounds = [
    ...(term.from == null ? [] : [`${column} >= ${pg.escapeLiteral(term.from)}`]),
    ...(term.below == null ? [] : [`${column} < ${pg.escapeLiteral(term.below)}`]),
  ];
  return [`${column} IS NOT NULL`, ...bounds].join(' AND ');
}
