import type pg from 'pg';
import type { ChangeSetHeader, RowChange } from '../../domain/table/repair.js';
import { asItIs, loadChanges, type Work, workOf } from './change-table.js';
import type { StoredColumn, TableFacts } from './table-facts.js';

/** Rows that go and rows that come whose keys are equal, in whatever text: each is one row. */
export interface EqualKeys {
  /** Which row that goes is which one that comes, by their numbers: the new version first. */
  readonly renamed: ReadonlyMap<number, number>;
  /** Rows that go whose key more than one row has, or that is the key of more than one that comes. */
  readonly unclear: ReadonlySet<number>;
}

/**
 * Finds them among changes, by the equality of the types of the key. Changes nothing.
 * @param client as for `applyChanges`
 */
export async function equalKeys(
  client: pg.Client,
  header: ChangeSetHeader,
  facts: TableFacts,
  changes: AsyncIterable<RowChange> | Iterable<RowChange>,
): Promise<EqualKeys> {
  const work = workOf(header, facts);
  return asItIs(client, work, async () => {
    await loadChanges(client, work, changes, 0);
    return mergeRenamed(client, work);
  });
}

/**
 * Makes one update of a delete and an insert whose keys are equal (1.0 and 1.00, or names of a collation that knows no case): the damage
 * changed how the key is written. Apart, the row that is there would keep the other one from coming back, and go.
 */
export async function mergeRenamed(client: pg.Client, { columns, key }: Work): Promise<EqualKeys> {
  const own = key.map((at) => ({ at, column: columns[at] as StoredColumn }));
  if (own.length === 0 || own.some(({ column: { equals } }) => equals === null))
    return { renamed: new Map(), unclear: new Set() };
  const equal = own.map(({ at, column: { equals, notNull } }) => {
    const same = `d.b${at} ${equals} i.a${at}`;
    return notNull ? same : `(${same} OR (d.b${at} IS NULL AND i.a${at} IS NULL))`;
  });
  const sets = columns.map((_, at) => `a${at} = pairs.a${at}`).join(', ');
  const { rows } = await client.query<{ made: string; gone: string; others: string }>(
    `WITH pairs AS (
       SELECT d.n AS gone, i.n AS made, ${columns.map((_, at) => `i.a${at}`).join(', ')},
              count(*) OVER (PARTITION BY d.n) + count(*) OVER (PARTITION BY i.n) AS others
         FROM pg_temp.reprise_changes d JOIN pg_temp.reprise_changes i ON ${equal.join(' AND ')} WHERE d.op = 'd' AND i.op = 'i'),
     became AS (
       UPDATE pg_temp.reprise_changes c SET op = 'u', ${sets} FROM pairs WHERE c.n = pairs.gone AND pairs.others = 2),
     merged AS (
       DELETE FROM pg_temp.reprise_changes c USING pairs WHERE c.n = pairs.made AND pairs.others = 2)
     SELECT made, gone, others FROM pairs`,
  );
  const [clear, other] = [rows.filter(({ others }) => others === '2'), rows.filter(({ others }) => others !== '2')];
  return {
    renamed: new Map(clear.map(({ made, gone }) => [Number(made), Number(gone)])),
    unclear: new Set(other.map(({ gone }) => Number(gone))),
  };
}
