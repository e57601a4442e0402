import {
  keepsRows,
  missingWalText,
  type WalTableChange,
  type WalTransaction,
  type WalTransactionsAnswer,
} from '../../domain/operation/wal-transactions.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { visible } from '../../domain/text/text.js';
import { counted, instant, type Screen, screenTable, wrapped } from './tables.js';

/** Transactions as a table, and below it what of the question they do not answer. */
export function walTransactionsText(answer: WalTransactionsAnswer, screen: Screen): string {
  const { transactions, more, committed, range } = answer;
  const isOne = new Set(transactions.flatMap(databasesOf)).size < 2;
  const rows = transactions.map((transaction) => [
    instant(transaction.committedAt),
    transaction.xid,
    transaction.lsn,
    ...[transaction.deleted, transaction.updated, transaction.inserted].map((count) => number(count, transaction)),
    [...actionsText(transaction, isOne), ...tablesText(transaction, isOne)].join(', '),
  ]);
  const header = ['committed', 'xid', 'lsn', 'deleted', 'updated', 'inserted', 'tables'];
  const table =
    rows.length === 0
      ? `no transaction changed rows from ${instant(range.from)} to ${instant(range.to)}`
      : screenTable(header, rows, screen);
  const notes = [
    `${counted(committed, 'transaction')} committed from ${instant(range.from)} to ${instant(range.to)}, on timeline ${range.timeline}${more > 0 ? `; ${more} more match: --limit lists them` : ''}`,
    ...answer.missing.map((one) => `missing: ${missingWalText(one)}`),
    ...namesText(answer),
    ...openText(answer),
    ...(transactions.some(({ atLeast }) => atLeast === true)
      ? ['≥: it was under way where the WAL begins that could be read, and changed at least so many']
      : []),
    'not shown: what was rolled back, unlogged and temporary tables, sequences',
  ];
  const lines = notes.flatMap((note) => wrapped(visible(note), screen.columns ?? Infinity));
  return `${table}\n\n${lines.join('\n')}`;
}

function number(count: number, { atLeast }: WalTransaction): string {
  return atLeast === true ? `≥${count}` : String(count);
}

function databasesOf({ tables, actions }: WalTransaction): (string | null)[] {
  return [...tables, ...actions].map(({ database }) => database);
}

function actionsText({ actions }: WalTransaction, isOne: boolean): string[] {
  return actions.map((one) =>
    one.action === 'database dropped'
      ? `database ${one.database ?? one.number} DROPPED`
      : `${nameText(one, isOne)} ${keepsRows(one.action) ? one.action : one.action.toUpperCase()}`,
  );
}

/** Partitions under the name of their table. */
function tablesText({ tables, moreTables }: WalTransaction, isOne: boolean): string[] {
  const names = new Set(
    tables.map((one) => nameText(one.partitionOf === undefined ? one : { ...one, ...one.partitionOf }, isOne)),
  );
  return [...names, ...(moreTables === undefined ? [] : [`and ${moreTables} more`])];
}

function nameText(
  { database, schema, table, number: file }: Pick<WalTableChange, 'database' | 'schema' | 'table' | 'number'>,
  isOne: boolean,
): string {
  const name = schema === null || table === null ? `number ${file}` : formatTableName({ schema, table });
  return isOne || database === null ? name : `${database}:${name}`;
}

function namesText({ names: { from, reason, at }, transactions }: WalTransactionsAnswer): string[] {
  const unnamed = transactions.some(({ tables, actions }) =>
    [...tables, ...actions].some(({ table }) => table === null),
  );
  if (from === 'nowhere') return [`tables are shown by their file numbers: ${reason ?? 'nothing names them'}`];
  if (!unnamed) return [];
  return from === 'instance'
    ? [`number N: a table that neither the server has any more, nor the copy at ${at ?? 'the earlier time'} had`]
    : ['number N: a table that the server does not have any more; --names-at TARGET names it by a copy of then'];
}

function openText({ open }: WalTransactionsAnswer): string[] {
  if (open.length === 0) return [];
  const named = open.slice(0, 3).map(({ xid, rows }) => `${xid} (${counted(rows, 'row')})`);
  const rest = open.length > named.length ? ` and ${open.length - named.length} more` : '';
  return [`not ended by then: ${named.join(', ')}${rest}`];
}
