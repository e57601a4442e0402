import { RepriseError } from '../../domain/errors.js';
import type { RepairOrder } from '../../domain/operation/orders.js';
import type { StoredColumn } from '../../postgres/repair/table-facts.js';
import { readJson, replaceJson } from '../../records/state-files.js';
import type { RepairFiles } from '../../records/repair-files.js';
import { shellWord } from '../../domain/text/text.js';

type ColumnThen = Pick<StoredColumn, 'name' | 'type'>;

/** In the order in which the rows have them. */
export function noteColumns(
  files: RepairFiles,
  names: readonly string[],
  columns: readonly ColumnThen[],
): Promise<void> {
  const then = names.map((name) => ({ name, type: columns.find((one) => one.name === name)?.type ?? '' }));
  return replaceJson(files.columns, then);
}

/**
 * Names of the columns of the rows that were read, in their order.
 * @throws RepriseError `capability-missing` where the table has other columns, or of other types, by now
 */
export async function readColumnsThen(
  files: RepairFiles,
  { database }: RepairOrder,
  now: readonly ColumnThen[],
): Promise<readonly string[]> {
  const then = ((await readJson(files.columns)) ?? []) as readonly ColumnThen[];
  const isAmong = ({ name, type }: ColumnThen, columns: readonly ColumnThen[]): boolean =>
    columns.some((one) => one.name === name && one.type === type);
  const other = [...then.filter((one) => !isAmong(one, now)), ...now.filter((one) => !isAmong(one, then))];
  if (other.length === 0) return then.map(({ name }) => name);
  const names = [...new Set(other.map(({ name }) => JSON.stringify(name)))].join(', ');
  throw new RepriseError(
    'capability-missing',
    `the table has other columns than at the time of the damage (${names}), so that its rows cannot be put back as they were`,
    `undo the change of the definition first, or recover the database: reprise recover CLUSTER --database ${shellWord(database)} --to TIME`,
  );
}
