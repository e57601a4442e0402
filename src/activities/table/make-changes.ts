import pg from 'pg';
import { RepriseError } from '../../domain/errors.js';
import type { ConflictRule, RepairOrder } from '../../domain/operation/orders.js';
import type { ChangeSetHeader, ConflictReason, RepairEffects, RowText } from '../../domain/table/repair.js';
import { compareValues, equalText, rangeOrderOf, scopeTest, withoutModifier } from '../../domain/table/scope.js';
import { type RowColumns, undoRow } from '../../domain/table/three-way.js';
import { eachLine, valuesOf } from '../../postgres/compare/copied-lines.js';
import { scopeAsWritten } from '../../postgres/compare/scope-values.js';
import type { TableSide } from '../../postgres/compare/table-side.js';
import { isFreezeTrigger } from '../../postgres/repair/freeze-triggers.js';
import type { ChangeSetEntry } from '../../postgres/repair/change-set-file.js';
import type { TableFacts } from '../../postgres/repair/table-facts.js';
import { missingRows, referencedRows } from './referring-rows.js';
import { keyText, type States } from './row-states.js';
import { hash } from 'node:crypto';

/** So many damaged rows are in memory at once: of more, the table is read again for each part. */
export const ROWS_AT_ONCE = 150_000;
/** Types whose values are in order as their texts are. */
const ORDERED_BY_TEXT = /^(?:text|character(?: varying)?|uuid|time without time zone)$/;
const KEEP: ConflictRule = { rule: 'keep' };

/** What the changes are made from. */
export interface DamagedRows {
  readonly header: ChangeSetHeader;
  readonly order: RepairOrder;
  readonly facts: TableFacts;
  /** How many rows were damaged. */
  readonly count: number;
  /** Rows before the damage, and after it, from the beginning each time. */
  readonly good: () => AsyncIterable<RowText>;
  readonly bad: () => AsyncIterable<RowText>;
  /** Keys after the damage that are equal to one before it in another text, with that one; absent: nobody has looked. */
  readonly alike?: ReadonlyMap<string, string>;
}

/**
 * The changes that undo the damage in the table as it is, and the rows that people decide on. The table is copied out and not queried, so
 * that no code of its owner runs with our rights.
 */
export async function* changesFor(
  damaged: DamagedRows,
  side: TableSide,
  signal: AbortSignal,
): AsyncGenerator<ChangeSetEntry> {
  if (damaged.header.key.length === 0) return yield* equalRows(damaged, side, signal);
  const parts = Math.max(1, Math.ceil(damaged.count / ROWS_AT_ONCE));
  const by = { renamed: await renamedKeys(damaged, parts, signal), columns: await columnsFor(damaged, side) };
  for (let part = 0; part < parts; part++) yield* keyedRows(damaged, by, side, { part, parts }, signal);
}

/** What the rule for conflicts looks into, read once for all parts. */
async function columnsFor({ header, order, facts }: DamagedRows, side: TableSide): Promise<RowColumns> {
  const rule = order.conflicts ?? KEEP;
  const isListed = rule.rule === 'keys' ? await listedKeys(rule.keys, header, facts, side) : undefined;
  return { columns: header.columns, ...orderOf(rule, facts), ...(isListed !== undefined && { isListed }) };
}

/**
 * Whether a key is among those that people named, in whatever form they wrote its values.
 * @throws RepriseError `usage` for a key of more or fewer columns, or of what is no value of its column
 */
async function listedKeys(
  keys: readonly RowText[],
  { key }: ChangeSetHeader,
  facts: TableFacts,
  { client }: TableSide,
): Promise<(key: RowText) => boolean> {
  const other = keys.find((one) => one.length !== key.length);
  if (other !== undefined)
    throw new RepriseError(
      'usage',
      `a key of --take-key has ${other.length} ${other.length === 1 ? 'value' : 'values'}, and the rows are told apart by ${key.join(', ')}`,
      `give the values of all of them${key.length === 1 ? '' : `, as a JSON array: --take-key '["1","2"]'`}`,
    );
  const types = key.map((column) => facts.columns.find(({ name }) => name === column)?.type ?? '');
  const terms = key.map((column, at) => ({ column, in: keys.map((one) => one[at] ?? null) }));
  const written = await scopeAsWritten(client, terms, ({ column }) => types[key.indexOf(column)] ?? '');
  const orders = types.map(rangeOrderOf);
  const textOf = (values: RowText): string => JSON.stringify(values.map((value, at) => equalText(value, orders[at])));
  const listed = new Set(
    keys.map((_, row) => textOf(written.map((term) => ('in' in term ? (term.in[row] ?? null) : null)))),
  );
  return (values) => listed.has(textOf(values));
}

/**
 * Rows to which the damage gave another key, by that key, with the one that they had: the only row after the damage, and the only one before it, that
 * are equal in all other columns; and those whose keys are equal in another text. What becomes of such a row is decided once.
 */
async function renamedKeys(
  { header, good, bad, alike: equal }: DamagedRows,
  parts: number,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const key = keyPlaces(header);
  // One reading may save one for each part.
  if (parts > 1) {
    const [before, after] = [await sumOfKeys(good(), key, signal), await sumOfKeys(bad(), key, signal)];
    if (before === after || before === NO_KEYS || after === NO_KEYS) return new Map(equal);
  }
  const others = header.columns.map((_, at) => at).filter((at) => !key.includes(at));
  const renamed = new Map(equal);
  const known = new Set(renamed.values());
  for (let part = 0; part < parts && others.length > 0; part++) {
    const alike = new Map<string, Alike>();
    const note = async (rows: AsyncIterable<RowText>, state: keyof Alike): Promise<void> => {
      for await (const row of rows) {
        signal.throwIfAborted();
        const text = keyText(row, others);
        if (!isIn(text, { part, parts })) continue;
        const same = alike.get(text) ?? { good: [], bad: [] };
        // More than one of them are as good as many.
        if (same[state].length < 2) same[state].push(keyText(row, key));
        alike.set(text, same);
      }
    };
    await note(good(), 'good');
    await note(bad(), 'bad');
    for (const [before, after] of onlyPairs(alike))
      if (!renamed.has(after) && !known.has(before)) renamed.set(after, before);
  }
  return renamed;
}

const NO_KEYS = '0 0 0';

/** The same for the same keys, in whatever order they come: where none came and none went, no row has got another one. */
async function sumOfKeys(rows: AsyncIterable<RowText>, key: readonly number[], signal: AbortSignal): Promise<string> {
  let [low, high, count] = [0, 0, 0];
  for await (const row of rows) {
    signal.throwIfAborted();
    const bytes = hash('md5', keyText(row, key), 'buffer');
    low = (low + bytes.readUInt32LE(0)) >>> 0;
    high = (high + bytes.readUInt32LE(4)) >>> 0;
    count++;
  }
  return `${count} ${high} ${low}`;
}

/** Keys of rows that are equal in all other columns. */
interface Alike {
  readonly good: string[];
  readonly bad: string[];
}

/** Where there is one before the damage and one after it, and they differ. */
function onlyPairs(alike: ReadonlyMap<string, Alike>): readonly (readonly [before: string, after: string])[] {
  return [...alike.values()].flatMap(({ good: [before, ...olds], bad: [after, ...news] }) =>
    before === undefined || after === undefined || olds.length + news.length > 0 || before === after
      ? []
      : [[before, after] as const],
  );
}

function isIn(text: string, { part, parts }: { part: number; parts: number }): boolean {
  return parts === 1 || hash('md5', text, 'buffer').readUInt32LE(0) % parts === part;
}

/** Why rows of other tables do not allow a change. */
function reasonAgainst(
  entry: ChangeSetEntry,
  held: (row: RowText) => boolean,
  lacks: (row: RowText) => boolean,
): ConflictReason | null {
  if (entry.op === 'delete' && held(entry.before)) return 'referenced';
  return 'after' in entry && lacks(entry.after) ? 'refers-to-missing' : null;
}

function keyPlaces({ key, columns }: ChangeSetHeader): readonly number[] {
  const unknown = key.find((name) => !columns.includes(name));
  if (unknown !== undefined)
    throw new RepriseError(
      'usage',
      `${JSON.stringify(unknown)} is no column that the table stores`,
      `name columns that tell rows apart: ${columns.join(', ')}`,
    );
  return key.map((name) => columns.indexOf(name));
}

/**
 * How values of the column are compared by which the newer row is told.
 * @throws RepriseError `usage` for a column that is not stored, or whose values have no order here
 */
function orderOf(rule: ConflictRule, { columns }: TableFacts): Pick<RowColumns, 'compare'> {
  const ordered = rule.rule === 'newest' ? columns.find(({ name }) => name === rule.column) : undefined;
  if (rule.rule === 'newest' && ordered === undefined)
    throw new RepriseError(
      'usage',
      `${JSON.stringify(rule.column)} is no column that the table stores, so that it does not tell which row is newer`,
      `name one of its columns: ${columns.map(({ name }) => name).join(', ')}`,
    );
  if (ordered === undefined) return {};
  const order = rangeOrderOf(ordered.type);
  if (order === undefined && !ORDERED_BY_TEXT.test(withoutModifier(ordered.type)))
    throw new RepriseError(
      'usage',
      `column ${JSON.stringify(ordered.name)} is of type ${ordered.type}, whose values have no order in time, so that it does not tell which row is newer`,
      'name a column of numbers, dates, timestamps, times, intervals or text; or choose another rule with --conflicts',
    );
  return order === undefined ? {} : { compare: (one, other) => compareValues(order, one, other) };
}

/** Damaged rows of a part by their keys, as they were before and after, and as they are now. */
async function statesOf(
  { header, good, bad }: DamagedRows,
  renamed: ReadonlyMap<string, string>,
  side: TableSide,
  slice: { part: number; parts: number },
  signal: AbortSignal,
): Promise<Map<string, States>> {
  const key = keyPlaces(header);
  const states = new Map<string, States>();
  const note = async (rows: AsyncIterable<RowText>, state: keyof States): Promise<void> => {
    for await (const row of rows) {
      signal.throwIfAborted();
      const text = keyText(row, key);
      if (!isIn(renamed.get(text) ?? text, slice)) continue;
      const known = states.get(text) ?? { good: null, bad: null, now: null };
      if (known[state] !== null) throw keyRepeats(header);
      known[state] = row;
      states.set(text, known);
    }
  };
  await note(good(), 'good');
  await note(bad(), 'bad');
  await eachRow(side, header.columns, signal, (row) => {
    const known = states.get(keyText(row, key));
    if (known === undefined) return;
    if (known.now !== null) throw keyRepeats(header);
    known.now = row;
  });
  return states;
}

async function* keyedRows(
  damaged: DamagedRows,
  { renamed, columns: rowColumns }: { renamed: ReadonlyMap<string, string>; columns: RowColumns },
  side: TableSide,
  slice: { part: number; parts: number },
  signal: AbortSignal,
): AsyncGenerator<ChangeSetEntry> {
  const { header, order, facts } = damaged;
  const { columns } = header;
  const key = keyPlaces(header);
  const states = await statesOf(damaged, renamed, side, slice, signal);
  const taken = joinRenamed(states, renamed);
  const held = await referencedRows(facts, side, columns, states, signal);
  const lacks = await missingRows(facts, header, side, states, signal);
  const inScope = await scopeOf(order, facts, side, columns);
  const rule = order.conflicts ?? KEEP;
  for (const one of states.values()) {
    if (!inScope(one)) continue;
    const of = (one.good ?? one.bad ?? []) as RowText;
    const states3 = { ...one, key: key.map((at) => of[at] ?? null) };
    const entry = undoRow(states3, rule, rowColumns);
    const other = taken.get(one);
    if (entry === null) continue;
    if (entry.op === 'conflict' && other !== undefined) {
      // Another row has its old key by now, and stays: so does the row under its new key.
      states.delete(keyText(other.bad ?? [], key));
      yield { ...entry, bad: other.bad };
      continue;
    }
    const against = reasonAgainst(entry, held, lacks);
    yield against === null ? entry : { op: 'conflict', reason: against, ...states3 };
  }
}

/**
 * Makes one row of what was a row before the damage and another one after it, by {@link renamedKeys}. Where another row has the old key by now, they
 * stay two: returned by the one under the old key, before which it stands.
 */
function joinRenamed(states: Map<string, States>, renamed: ReadonlyMap<string, string>): ReadonlyMap<States, States> {
  const taken = new Map<States, States>();
  for (const [after, before] of renamed) {
    const [one, other] = [states.get(before), states.get(after)];
    if (one === undefined || other === undefined || one.bad !== null || other.good !== null) continue;
    if (one.now !== null) {
      taken.set(one, other);
      continue;
    }
    one.bad = other.bad;
    one.now = other.now;
    states.delete(after);
  }
  return taken;
}

function keyRepeats({ key }: ChangeSetHeader): RepriseError {
  return new RepriseError(
    'usage',
    `${key.join(', ')} does not tell the rows apart: more rows than one have the same`,
    'name columns that do, or none: equal rows are counted then',
  );
}

/**
 * Without a key: so many equal rows come back, and so many go, as the damage took and brought. Where one that is to go is not there any
 * more, it was changed since, and nobody can tell which of the rows that are to come back it was.
 */
async function* equalRows(
  { header, order, facts, good, bad }: DamagedRows,
  side: TableSide,
  signal: AbortSignal,
): AsyncGenerator<ChangeSetEntry> {
  const { columns } = header;
  const rows = new Map<string, { row: RowText; net: number; now: number }>();
  const add = async (of: AsyncIterable<RowText>, by: number): Promise<void> => {
    for await (const row of of) {
      signal.throwIfAborted();
      const text = JSON.stringify(row);
      const known = rows.get(text) ?? { row, net: 0, now: 0 };
      known.net += by;
      rows.set(text, known);
    }
  };
  await add(good(), 1);
  await add(bad(), -1);
  await eachRow(side, columns, signal, (row) => {
    const known = rows.get(JSON.stringify(row));
    if (known !== undefined) known.now++;
  });
  const inScope = await scopeOf(order, facts, side, columns);
  const chosen = [...rows.values()].filter(({ row }) => inScope({ good: row, bad: null, now: null }));
  const isChanged = chosen.some(({ net, now }) => now < -net);
  for (const { row, net, now } of chosen) {
    for (let left = net; left > 0; left--)
      yield isChanged ? conflictOf({ good: row, bad: null, now: null }) : { op: 'insert', after: row };
    for (let left = -net, there = now; left > 0; left--)
      yield there-- > 0 ? { op: 'delete', before: row } : conflictOf({ good: null, bad: row, now: null });
  }
}

const conflictOf = (states: States): ChangeSetEntry => ({
  op: 'conflict',
  reason: 'changed-since',
  key: [],
  ...states,
});

/** Whether a row is one that the order is for, in any of its states. */
export async function scopeOf(
  { scope = [] }: RepairOrder,
  facts: TableFacts,
  { client }: TableSide,
  columns: readonly string[],
): Promise<(states: States) => boolean> {
  if (scope.length === 0) return () => true;
  const typeOf = (column: string): string => facts.columns.find(({ name }) => name === column)?.type ?? '';
  const types = columns.map((name) => ({ name, type: typeOf(name) }));
  // Refused before the server is asked to read values of a type that has no ranges.
  scopeTest(scope, types);
  const holds = scopeTest(await scopeAsWritten(client, scope, ({ column }) => typeOf(column)), types);
  return ({ good, bad, now }) => [good, bad, now].some((row) => row !== null && holds(row));
}

/** Every row of a table, by COPY. */
async function eachRow(
  { client, leaves, decode }: TableSide,
  columns: readonly string[],
  signal: AbortSignal,
  use: (row: RowText) => void,
): Promise<void> {
  const names = columns.map((name) => pg.escapeIdentifier(name)).join(', ');
  for (const leaf of leaves)
    await eachLine(client, `${leaf} (${names})`, signal, (bytes, start, end) =>
      use(valuesOf(bytes.subarray(start, end), columns.length, decode)),
    );
}

/** What a plan says of other tables. */
export function effectsOf(facts: TableFacts): RepairEffects {
  const { referencedBy, refersTo, triggers, sequences, generated } = facts;
  const unique = (names: readonly string[]): readonly string[] => [...new Set(names)];
  return {
    referencedBy: referencedBy.map(({ table, onDelete }) => ({ table, onDelete })),
    refersTo,
    triggers: unique(triggers.map(({ name }) => name).filter((name) => !isFreezeTrigger(name))),
    sequences: unique(sequences.map(({ sequence }) => sequence)),
    generated,
  };
}
