import type { WalTransaction } from '../../domain/operation/wal-transactions.js';
import type { BlastRadius, DamagedRow, ReferringRows, WayBack } from '../../domain/table/blast-radius.js';
import type { ConflictReason, RowText } from '../../domain/table/repair.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { visible } from '../../domain/text/text.js';
import { counted, facts, instant, type Screen, screenTable, wrapped } from './tables.js';

/** What is printed, and what `--json` has. */
export interface BlastRadiusView extends BlastRadius {
  readonly cluster: string;
  readonly ways: readonly WayBack[];
  /** Columns that tell rows apart. */
  readonly key: readonly string[];
  readonly conflicts: readonly DamagedRow[];
  readonly samples: readonly DamagedRow[];
  readonly file: { readonly host: string; readonly path: string; readonly until: string; readonly shown: boolean };
}

/** What a transaction did, what came after it, and the ways back as a table to decide on, with their commands below. */
export function blastRadiusText(view: BlastRadiusView, screen: Screen): string {
  const { table, database, cluster, xid, committedAt, transaction, later, exact, ways, file } = view;
  const parts = [
    facts(
      [
        ['table', `${visible(formatTableName(table))} of ${visible(database)}, cluster ${cluster}`],
        ['transaction', `${xid}, committed at ${committedAt}`],
        ['rows', exact ? 'by the WAL, one by one' : 'the WAL does not tell them: two states were compared'],
        ['touched later', touchedText(later)],
        ['rows in', file.path],
        ['', `on host ${file.host}, until ${file.until}`],
      ],
      screen,
    ),
    tablesText(transaction, database, screen),
    laterText(later, screen),
    referencesText(view.references, screen),
    waysText(ways, screen),
    conflictsText(view, screen),
    samplesText(view, screen),
    notesText(view, screen),
  ];
  return parts.filter(Boolean).join('\n\n');
}

function touchedText({ rows, followed, transactions, more, atLeast }: BlastRadius['later']): string {
  const by = rows === 0 ? '' : `, by ${counted(transactions.length + more, 'transaction')}`;
  return `${atLeast ? 'at least ' : ''}${rows} of the ${counted(followed, 'row')} that it left in the table${by}`;
}

/** What it did in each table, dropped and truncated ones first. */
function tablesText(transaction: WalTransaction | null, database: string, screen: Screen): string {
  if (transaction === null) return '';
  const { tables, actions, moreTables = 0, atLeast } = transaction;
  const nameOf = (one: (typeof tables)[number] | (typeof actions)[number]): string => {
    const name =
      one.schema === null || one.table === null
        ? `number ${one.number}`
        : formatTableName({ schema: one.schema, table: one.table });
    return one.database === database || one.database === null ? name : `${one.database}:${name}`;
  };
  const figure = (count: number): string => `${atLeast === true ? '≥' : ''}${count}`;
  const rows = [
    ...actions.map((one) => [nameOf(one), one.action.toUpperCase(), '', '']),
    ...tables.map((one) => [nameOf(one), ...[one.deleted, one.updated, one.inserted].map(figure)]),
    ...(moreTables > 0 ? [[`and ${moreTables} more`, '', '', '']] : []),
  ];
  return screenTable(['it did in', 'deleted', 'updated', 'inserted'], rows, screen);
}

function laterText({ transactions, more }: BlastRadius['later'], screen: Screen): string {
  if (transactions.length === 0) return '';
  const rows = transactions.map(({ xid, committedAt, rows: touched }) => [instant(committedAt), xid, String(touched)]);
  const rest = more > 0 ? `\nand ${more} more that touched fewer rows` : '';
  return `${screenTable(['touched again', 'xid', 'rows'], rows, screen)}${rest}`;
}

const ON_DELETE: Readonly<Record<string, string>> = {
  ...{ a: 'refused', r: 'refused', c: 'deletes them', n: 'sets NULL', d: 'sets the default' },
};

function referencesText(references: readonly ReferringRows[] | null, screen: Screen): string {
  const found = (references ?? []).filter(({ rows }) => rows > 0);
  if (found.length === 0) return '';
  const rows = found.map(({ table, columns, rows: count, onDelete }) => [
    formatTableName(table),
    columns.join(', '),
    String(count),
    ON_DELETE[onDelete] ?? onDelete,
  ]);
  return screenTable(['refers to its rows', 'columns', 'rows', 'on delete'], rows, screen);
}

/** Commands are to be copied: never broken. */
function waysText(ways: readonly WayBack[], screen: Screen): string {
  const rows = ways.map(({ what, loses, leaves }, at) => [
    `${at + 1} ${what}`,
    loses.transactions === 0
      ? 'nothing later'
      : `${counted(loses.rows, 'row')}, ${counted(loses.transactions, 'transaction')}`,
    leaves,
  ]);
  const commands = ways.map(({ command }, at) => `${at + 1}  ${command}`);
  return `${screenTable(['way back', 'loses', 'leaves'], rows, screen)}\n\n${commands.join('\n')}`;
}

const REASONS: Readonly<Record<ConflictReason, string>> = {
  'changed-since': 'changed again since',
  'there-again': 'deleted, and there again',
  'deleted-since': 'deleted since',
  referenced: 'other rows refer to it',
  'refers-to-missing': 'refers to a row that is gone',
  'not-unique': 'another row has its value',
  'not-allowed': 'no check or partition takes it any more',
};

function conflictsText({ conflicts, undo, file }: BlastRadiusView, screen: Screen): string {
  const all = undo.changes?.conflicts ?? 0;
  if (all === 0) return '';
  if (!file.shown)
    return `The ${counted(all, 'conflict')} can be seen on host ${file.host} alone, by the owner of that file.`;
  const rows = conflicts.map(({ key, did, conflict }) => [
    keyText(key),
    did,
    conflict === null ? '' : REASONS[conflict],
  ]);
  const rest = all > conflicts.length ? `\nand ${all - conflicts.length} more: --samples shows them` : '';
  return `${screenTable(['conflict', 'it was', 'stays, because'], rows, screen)}${rest}`;
}

function samplesText({ samples, undo }: BlastRadiusView, screen: Screen): string {
  if (samples.length === 0) return '';
  const { changes } = undo;
  const all = changes === null ? samples.length : changes.insert + changes.update + changes.delete;
  const rows = samples.map(({ key, did }) => [keyText(key), did]);
  const rest = all > samples.length ? `\nand ${all - samples.length} more` : '';
  return `${screenTable(['row', 'it was'], rows, screen)}${rest}`;
}

const keyText = (key: RowText): string =>
  key.length === 0 ? '-' : key.map((value) => (value === null ? 'NULL' : value)).join(', ');

/** What nobody can see in WAL and in the rows, beside what was found in this case. */
function notesText({ notes }: BlastRadiusView, { columns }: Screen): string {
  const all = [
    ...notes,
    'later rows count as often as they were changed; what was rolled back, unlogged tables and sequences are not in the WAL',
    'a row that it deleted and that came back is found by its key, and not by the transaction that made it again',
    'what other tables took from the wrong rows meanwhile (reports, totals, messages that were sent) is in no figure',
  ];
  return all.flatMap((note) => wrapped(visible(note), columns ?? Infinity)).join('\n');
}
