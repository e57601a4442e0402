import { RepriseError } from '../errors.js';
import { visible } from '../text/text.js';
import type { RowText } from './repair.js';
import type { TableName } from './table-name.js';

/** A column that is stored and not generated, as the catalogue of one side has it. */
export interface ComparedColumn {
  readonly name: string;
  /** As `format_type` writes it, with its schema where it is not PostgreSQL's own. */
  readonly type: string;
  /** Labels of an enum in their order; null for other types. */
  readonly labels: readonly string[] | null;
  readonly collation: string | null;
  readonly notNull: boolean;
  /** `ALWAYS` or `BY DEFAULT`; null: no identity column. */
  readonly identity: string | null;
  /** What it is generated from; null: it is not. Generated columns are compared by this alone. */
  readonly generated: string | null;
}

/** A primary key or another unique index that tells all rows apart. */
export interface TableKey {
  readonly columns: readonly string[];
  readonly primary: boolean;
}

/** What the catalogue of one side says of the table. */
export interface TableShape {
  readonly columns: readonly ComparedColumn[];
  readonly keys: readonly TableKey[];
  /** How its rows are divided; null: they are not. */
  readonly partitioned: string | null;
}

/** One difference between the two definitions; null: that side has none. `left` is the good side, `right` is production. */
export interface SchemaDifference {
  readonly what:
    'column' | 'type' | 'labels' | 'collation' | 'not-null' | 'identity' | 'generated' | 'key' | 'partitions';
  readonly column: string | null;
  readonly left: string | null;
  readonly right: string | null;
}

const keyText = ({ keys }: TableShape): string | null =>
  keys
    .find(({ primary }) => primary)
    ?.columns.map((name) => visible(name))
    .join(', ') ?? null;

/** In what the definitions differ. The order of columns is no difference. */
export function schemaDifferences(left: TableShape, right: TableShape): readonly SchemaDifference[] {
  const found: SchemaDifference[] = [];
  const names = new Set([...left.columns, ...right.columns].map(({ name }) => name));
  for (const name of names) found.push(...columnDifferences(name, columnOf(left, name), columnOf(right, name)));
  const differs = (what: 'key' | 'partitions', one: string | null, other: string | null): void => {
    if (one !== other) found.push({ what, column: null, left: one, right: other });
  };
  differs('key', keyText(left), keyText(right));
  differs('partitions', left.partitioned, right.partitioned);
  return found;
}

const columnOf = (shape: TableShape, name: string): ComparedColumn | undefined =>
  shape.columns.find((column) => column.name === name);

function columnDifferences(
  column: string,
  left: ComparedColumn | undefined,
  right: ComparedColumn | undefined,
): readonly SchemaDifference[] {
  if (left === undefined || right === undefined)
    return [{ what: 'column', column, left: left?.type ?? null, right: right?.type ?? null }];
  const yesNo = (is: boolean): string => (is ? 'NOT NULL' : 'NULL');
  const facts = [
    ['type', left.type, right.type],
    ['labels', left.labels?.join(', ') ?? null, right.labels?.join(', ') ?? null],
    ['collation', left.collation, right.collation],
    ['not-null', yesNo(left.notNull), yesNo(right.notNull)],
    ['identity', left.identity, right.identity],
    ['generated', left.generated, right.generated],
  ] as const;
  return facts.flatMap(([what, one, other]) => (one === other ? [] : [{ what, column, left: one, right: other }]));
}

/** What is compared, and by what rows are told apart. */
export interface ComparisonTerms {
  /** Stored columns that both sides have and that were asked for, in the order of the good side; those of the key among them. */
  readonly columns: readonly string[];
  /** Empty: equal rows are counted, as in a table without a key. */
  readonly key: readonly string[];
  /** Whether an index of both sides sees to it that the key is unique. */
  readonly unique: boolean;
}

/**
 * Chooses the key: the one asked for; else the primary key or another unique one that both sides have; else none.
 * @throws RepriseError `usage` for columns that are not stored on both sides
 */
export function comparisonTerms(
  left: TableShape,
  right: TableShape,
  asked: { readonly key?: readonly string[] | undefined; readonly columns?: readonly string[] | undefined },
): ComparisonTerms {
  const isStored = (shape: TableShape, name: string): boolean => columnOf(shape, name)?.generated === null;
  const common = left.columns.map(({ name }) => name).filter((name) => isStored(left, name) && isStored(right, name));
  for (const name of [...(asked.key ?? []), ...(asked.columns ?? [])])
    if (!common.includes(name))
      throw new RepriseError(
        'usage',
        `column ${visible(name)} is not stored on both sides`,
        `choose among ${common.map((one) => visible(one)).join(', ')}`,
      );
  const isKeyOf = (shape: TableShape, columns: readonly string[]): boolean =>
    shape.keys.some((key) => sameNames(key.columns, columns));
  const shared = left.keys.filter(
    ({ columns }) => columns.every((name) => common.includes(name)) && isKeyOf(right, columns),
  );
  const own = shared.find(({ primary }) => primary) ?? shared[0];
  const key = [...new Set(asked.key ?? own?.columns ?? [])];
  const wanted = asked.columns === undefined ? common : common.filter((name) => asked.columns?.includes(name));
  return {
    columns: common.filter((name) => wanted.includes(name) || key.includes(name)),
    key,
    unique: key.length > 0 && isKeyOf(left, key) && isKeyOf(right, key),
  };
}

const sameNames = (one: readonly string[], other: readonly string[]): boolean =>
  one.length === other.length && one.every((name) => other.includes(name));

/** `missing`: on the good side, not in production; `extra`: the reverse. */
export type DifferenceKind = 'missing' | 'changed' | 'extra';

/** A row that is not the same on both sides. */
export interface RowDifference {
  readonly kind: DifferenceKind;
  readonly key: RowText;
  /** The whole row on the good side, in the order of the compared columns; null for an extra one. */
  readonly before: RowText | null;
  /** The whole row in production; null for a missing one. */
  readonly after: RowText | null;
  /** Names of the columns that differ; of a changed row only. */
  readonly columns: readonly string[];
  /** More than 1 where equal rows are counted. */
  readonly times: number;
}

/** What came of a comparison, without a value of any row: it is in Temporal's history. */
export interface TableComparison {
  readonly database: string;
  readonly table: TableName;
  /** In what the definitions differ. */
  readonly schema: readonly SchemaDifference[];
  /** By which rows were told apart; empty: equal rows were counted. */
  readonly key: readonly string[];
  readonly columns: readonly string[];
  /** Columns of the key in which equal values of another text count as other rows: some missing and extra rows may be one row that changed. */
  readonly keysByText?: readonly string[];
  /** In the backup, not in production. */
  readonly missing: number;
  readonly changed: number;
  readonly extra: number;
  readonly same: number;
  /** In how many changed rows each column differs. */
  readonly changedColumns: Readonly<Record<string, number>>;
  readonly seconds: number;
  /** File of the host with samples and breakdown, its owner's alone. */
  readonly file: string;
  /** When that is removed, UTC ISO-8601. */
  readonly fileUntil: string;
}

/** What the file of a comparison has. */
export interface ComparedRows {
  readonly operationId: string;
  /** UTC ISO-8601. */
  readonly until: string;
  /** In the order of the columns: `key` of {@link RowDifference.key}, `columns` of its rows. */
  readonly key: readonly string[];
  readonly columns: readonly string[];
  readonly samples: readonly RowDifference[];
  readonly breakdown: readonly BreakdownLine[];
}

/** How many differences have one value, or one day, in a column. */
export interface BreakdownLine {
  /** Null: NULL. */
  readonly value: string | null;
  readonly missing: number;
  readonly changed: number;
  readonly extra: number;
}

/** A column, and whether its values are counted by day. */
export interface BreakdownBy {
  readonly column: string;
  readonly day: boolean;
}

/** Reads `COLUMN` or `day:COLUMN`. */
export function parseBreakdown(text: string): BreakdownBy {
  return text.startsWith('day:') ? { column: text.slice('day:'.length), day: true } : { column: text, day: false };
}

/** So many values are told apart in a breakdown; further ones are counted together. */
export const MOST_VALUES = 1000;
export const OTHER_VALUES = '(other values)';

/** Counts differences, keeps the first few, and counts them by the values of a column. */
export class DifferenceCounter {
  readonly samples: RowDifference[] = [];
  readonly counts = { missing: 0, changed: 0, extra: 0 };
  readonly changedColumns = new Map<string, number>();
  private readonly lines = new Map<string | null, { missing: number; changed: number; extra: number }>();
  private readonly at: number | null;

  constructor(
    columns: readonly string[],
    private readonly by: BreakdownBy | null,
    private readonly sampleLimit: number,
  ) {
    this.at = by === null ? null : columns.indexOf(by.column);
    if (this.at === -1)
      throw new RepriseError(
        'usage',
        `column ${visible(by?.column ?? '')} is not compared, so that differences cannot be counted by it`,
        `choose among ${columns.map((name) => visible(name)).join(', ')}`,
      );
  }

  add(row: RowDifference): void {
    this.counts[row.kind] += row.times;
    for (const name of row.columns) this.changedColumns.set(name, (this.changedColumns.get(name) ?? 0) + 1);
    if (this.samples.length < this.sampleLimit) this.samples.push(shortened(row));
    if (this.at === null) return;
    const value = shortText((row.before ?? row.after)?.[this.at] ?? null);
    this.lineOf(this.by?.day === true ? dayOf(value) : value)[row.kind] += row.times;
  }

  /** By value; null first. */
  breakdown(): readonly BreakdownLine[] {
    return [...this.lines]
      .map(([value, counts]) => ({ value, ...counts }))
      .toSorted((a, b) => ((a.value ?? '') < (b.value ?? '') ? -1 : 1));
  }

  private lineOf(value: string | null): { missing: number; changed: number; extra: number } {
    const name = this.lines.has(value) || this.lines.size < MOST_VALUES ? value : OTHER_VALUES;
    const line = this.lines.get(name) ?? { missing: 0, changed: 0, extra: 0 };
    this.lines.set(name, line);
    return line;
  }
}

/** Longer values are not kept whole: a row may have a gigabyte. */
const MOST_CHARACTERS = 10_000;

const shortened = (row: RowDifference): RowDifference => ({
  ...row,
  before: row.before?.map(shortText) ?? null,
  after: row.after?.map(shortText) ?? null,
});

function shortText(value: string | null): string | null {
  if (value === null || value.length <= MOST_CHARACTERS) return value;
  // As bytes and back: a part of a text would keep all of it in memory.
  const begin = Buffer.from(value.slice(0, MOST_CHARACTERS)).toString();
  return `${begin}… (${value.length} characters)`;
}

/** The day, in UTC where the value has a time zone, of a date or timestamp in ISO form; other text as it is. */
const dayOf = (value: string | null): string | null => value?.replace(/^(\d+-\d\d-\d\d)[ T].*?( BC)?$/, '$1$2') ?? null;

/** A tree has so many rows in a leaf, where the table is evenly spread; the fewer, where each look copies the whole table out. */
const [LEAF_ROWS, COPIED_LEAF_ROWS] = [200, 20];
const [FEWEST_BITS, MOST_BITS] = [4, 18];

/**
 * How many bits of a key's hash choose the leaf.
 * @param isCopied whether a side is copied out
 */
export function leafBits(estimatedRows: number, isCopied: boolean): number {
  const wanted = isCopied ? COPIED_LEAF_ROWS : LEAF_ROWS;
  const bits = Math.ceil(Math.log2(Math.max(estimatedRows, 1) / wanted));
  return Math.min(Math.max(bits, FEWEST_BITS), MOST_BITS);
}

/**
 * Divides leaves that differ, in their order, into pieces of at most so many rows; a leaf is never divided.
 * @param rowsOf both sides' together
 */
export function planSlices(
  leaves: readonly number[],
  rowsOf: (leaf: number) => number,
  most: number,
): readonly (readonly number[])[] {
  const slices: number[][] = [];
  let rows = Number.POSITIVE_INFINITY;
  for (const leaf of leaves) {
    rows += rowsOf(leaf);
    if (rows > most) {
      slices.push([]);
      rows = rowsOf(leaf);
    }
    slices.at(-1)?.push(leaf);
  }
  return slices;
}
