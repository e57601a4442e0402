import pg from 'pg';
import { RepriseError } from '../../domain/errors.js';
import type { ChangeSetHeader, ConflictReason, RowChange } from '../../domain/table/repair.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { workMoved } from '../../files/work-signs.js';
import { sqlState } from '../connection/database-errors.js';
import { isFreezeTrigger } from './freeze-triggers.js';
import { asItIs, leftNow, loadChanges, type Work, workOf } from './change-table.js';
import {
  heldRows,
  identityMoves,
  isOwnKey,
  missingParents,
  type Need,
  noteGoing,
  otherRules,
  ownReferences,
  referenceNeeds,
  sameValues,
  valueNeeds,
} from './dependent-changes.js';
import { mergeRenamed } from './equal-keys.js';
import { refersByText, type TableFacts } from './table-facts.js';

/** What the server would have against changes, before any is made. */
export interface PlanConflicts {
  /** By the numbers of the changes; null: the row is not as the change set has it. */
  readonly reasons: ReadonlyMap<number, ConflictReason | null>;
  /** Changes that can only be made together with others of them. */
  readonly together: ReadonlySet<number>;
  /** Rows that go and come with keys that are equal, in another text: which insert is the new version of which deleted row. */
  readonly renamed: ReadonlyMap<number, number>;
}

/**
 * Looks up each change in the table by the server's own rules: which rows are not as the change set has them, which would come up against a
 * unique index, an exclusion constraint, a check or a foreign key, and which of the others need each other. Changes nothing.
 * @param client as for `applyChanges`
 */
export async function planConflicts(
  client: pg.Client,
  header: ChangeSetHeader,
  facts: TableFacts,
  changes: AsyncIterable<RowChange> | Iterable<RowChange>,
  { fireTriggers }: { readonly fireTriggers: boolean },
): Promise<PlanConflicts> {
  const work = workOf(header, facts);
  return asItIs(client, work, async () => {
    await loadChanges(client, work, changes, 0);
    await requireChangeable(client, work);
    const { renamed } = await mergeRenamed(client, work);
    const found = new Map<number, ConflictReason | null>();
    for (const n of await leftNow(client, work)) found.set(n, null);
    await client.query(
      'DELETE FROM pg_temp.reprise_changes c USING (SELECT unnest($1::bigint[]) AS n) AS gone WHERE c.n = gone.n',
      [[...found.keys()]],
    );
    for (const n of await notAllowed(client, work)) found.set(n, 'not-allowed');
    await noteGoing(client, work);
    const waits = new Waits(found);
    await waitForValues(client, work, waits, fireTriggers && facts.triggers.some(({ name }) => !isFreezeTrigger(name)));
    for (const key of facts.referencedBy) {
      waits.add((await unlessHidden(client, () => referenceNeeds(client, work, key))) ?? [], 'referenced');
      waits.add(await ownReferences(client, work, key), 'refers-to-missing');
      workMoved();
    }
    for (const key of facts.foreignKeys) {
      // A key of the table itself to its own rows is among those that refer to it.
      if (key.condition !== null) waits.add(await ownReferences(client, work, key), 'refers-to-missing');
      if (refersByText(facts, key) || isOwnKey(key, work)) continue;
      for (const n of (await unlessHidden(client, () => missingParents(client, work, key))) ?? [])
        waits.block(n, 'refers-to-missing');
      workMoved();
    }
    return { ...waits.end(), renamed };
  });
}

/**
 * The server takes such changes of the table at all: not where it is published and has no replica identity, say. Each is planned by the server and not
 * carried out, so that no trigger fires.
 * @throws RepriseError `capability-missing`
 */
async function requireChangeable(client: pg.Client, { table, header, columns }: Work): Promise<void> {
  const { rows } = await client.query<{ op: string }>('SELECT DISTINCT op::text AS op FROM pg_temp.reprise_changes');
  const [first] = columns;
  const name = pg.escapeIdentifier(first?.name ?? '');
  const statements: Readonly<Record<string, string>> = {
    d: `DELETE FROM ${table} WHERE ctid = '(0,0)'`,
    ...(first?.alwaysIdentity === false && { u: `UPDATE ${table} SET ${name} = ${name} WHERE ctid = '(0,0)'` }),
  };
  for (const { op } of rows) {
    const statement = statements[op];
    if (statement === undefined) continue;
    await client.query('SAVEPOINT changeable');
    try {
      await client.query(`EXPLAIN ${statement}`);
    } catch (error) {
      if (!NOT_CHANGEABLE.includes(sqlState(error) ?? '')) throw error;
      const { message, hint } = error as { readonly message: string; readonly hint?: string };
      throw new RepriseError(
        'capability-missing',
        `the server takes no such changes of ${formatTableName(header.table)}: ${message.split('\n')[0]}`,
        hint ?? 'see \\d of the table in psql, and its publications',
      );
    } finally {
      await client.query('ROLLBACK TO SAVEPOINT changeable');
    }
  }
}

/** `object_not_in_prerequisite_state`, `invalid_column_reference`, `feature_not_supported`. */
const NOT_CHANGEABLE: readonly string[] = ['55000', '42P10', '0A000'];

async function waitForValues(client: pg.Client, work: Work, waits: Waits, triggersFire: boolean): Promise<void> {
  const moves = new Set(
    await numbers(client, `SELECT c.n FROM pg_temp.reprise_changes c WHERE ${identityMoves(work)}`),
  );
  for (const rule of await otherRules(client, work)) {
    const needs = await valueNeeds(client, work, rule);
    for (const { n, isMove } of needs) if (isMove) moves.add(n);
    waits.add(needs, 'not-unique');
    for (const n of await sameValues(client, work, rule)) waits.block(n, 'not-unique');
    workMoved();
  }
  if (moves.size === 0) return;
  // Such rows are deleted and made again: nothing may go with them, and no trigger may take it for what it says.
  const held = triggersFire
    ? moves
    : ((await unlessHidden(client, () => heldRows(client, work, work.facts, "c.op = 'u'"))) ?? moves);
  for (const n of held) if (moves.has(n)) waits.block(n, triggersFire ? 'not-unique' : 'referenced');
}

const INSUFFICIENT_PRIVILEGE = '42501';

/**
 * Looks at tables that refer to this one; null where policies of one hide its rows from the owner of this one. What cannot be seen so is found by the
 * foreign key, which sees all.
 */
async function unlessHidden<T>(client: pg.Client, look: () => Promise<T>): Promise<T | null> {
  await client.query('SAVEPOINT referring');
  try {
    return await look();
  } catch (error) {
    if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error;
    await client.query('ROLLBACK TO SAVEPOINT referring');
    return null;
  } finally {
    await client.query('RELEASE SAVEPOINT referring').catch(() => undefined);
  }
}

/** Which changes wait for which others; what waits for one that is not made is not made either. */
class Waits {
  private readonly waiting = new Map<number, { readonly n: number; readonly reason: ConflictReason }[]>();

  constructor(private readonly reasons: Map<number, ConflictReason | null>) {}

  add(needs: readonly Need[], reason: ConflictReason): void {
    for (const { n, needs: other } of needs) {
      if (other === null) this.block(n, reason);
      else if (other !== n) this.waiting.set(other, [...(this.waiting.get(other) ?? []), { n, reason }]);
    }
  }

  block(n: number, reason: ConflictReason): void {
    if (!this.reasons.has(n)) this.reasons.set(n, reason);
  }

  end(): Omit<PlanConflicts, 'renamed'> {
    const blocked = [...this.reasons.keys()];
    for (const one of blocked)
      for (const { n, reason } of this.waiting.get(one) ?? [])
        if (!this.reasons.has(n)) {
          this.reasons.set(n, reason);
          blocked.push(n);
        }
    const together = new Set<number>();
    for (const [other, all] of this.waiting)
      for (const { n } of all) if (!this.reasons.has(n)) together.add(n).add(other);
    return { reasons: this.reasons, together };
  }
}

async function numbers(client: pg.Client, statement: string): Promise<readonly number[]> {
  const { rows } = await client.query<{ n: string }>(statement);
  return rows.map(({ n }) => Number(n));
}

/** Rows that a check, a domain or a column that takes no NULL does not take any more. */
async function notAllowed(client: pg.Client, work: Work): Promise<readonly number[]> {
  const { columns, facts } = work;
  const nulls = columns.flatMap(({ notNull }, at) => (notNull ? [`c.a${at} IS NULL`] : []));
  const stored = columns.map(({ name }, at) => `c.a${at} AS ${pg.escapeIdentifier(name)}`).join(', ');
  const computed = facts.generatedColumns.map(
    ({ name, expression, type }) => `, (${expression})::${type} AS ${pg.escapeIdentifier(name)}`,
  );
  const failed = facts.checks.map((check) => `(${check}) IS FALSE`);
  const tests = [
    ...nulls,
    ...(failed.length === 0
      ? []
      : [`(SELECT ${failed.join(' OR ')} FROM (SELECT r.*${computed.join('')} FROM (SELECT ${stored}) AS r) AS r)`]),
  ];
  const found =
    tests.length === 0
      ? []
      : await numbers(
          client,
          `SELECT c.n FROM pg_temp.reprise_changes c WHERE c.op IN ('i', 'u') AND (${tests.join(' OR ')})`,
        );
  const domains = columns.flatMap(({ domain }, at) => (domain === null ? [] : [`(c.a${at}::${domain}) IS NULL`]));
  return domains.length === 0 ? found : [...found, ...(await refusedByDomain(client, domains))];
}

/** Its check raises: the rows are told apart by halving. */
async function refusedByDomain(client: pg.Client, casts: readonly string[]): Promise<readonly number[]> {
  const all = await numbers(client, "SELECT c.n FROM pg_temp.reprise_changes c WHERE c.op IN ('i', 'u') ORDER BY c.n");
  const refused: number[] = [];
  const parts: (readonly [from: number, end: number])[] = [[0, all.length]];
  for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
    const [from, end] = part;
    if (end <= from || (await takes(client, casts, all[from] ?? 0, all[end - 1] ?? 0))) continue;
    const middle = (from + end) >> 1;
    if (end - from === 1) refused.push(all[from] ?? 0);
    else parts.push([from, middle], [middle, end]);
    workMoved();
  }
  return refused;
}

const REFUSED_BY_DOMAIN = ['23514', '23502'];

async function takes(client: pg.Client, casts: readonly string[], from: number, to: number): Promise<boolean> {
  await client.query('SAVEPOINT values');
  try {
    await client.query(
      `SELECT count(*) FILTER (WHERE ${casts.join(' OR ')}) FROM pg_temp.reprise_changes c WHERE c.op IN ('i', 'u') AND c.n BETWEEN $1 AND $2`,
      [from, to],
    );
    return true;
  } catch (error) {
    if (!REFUSED_BY_DOMAIN.includes(sqlState(error) ?? '')) throw error;
    return false;
  } finally {
    await client.query('ROLLBACK TO SAVEPOINT values');
  }
}
