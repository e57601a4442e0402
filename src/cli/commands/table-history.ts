import type { Command } from 'commander';
import { runInspection } from '../../client/inspect.js';
import { percent, type TableHistoryLine } from '../../domain/table/history.js';
import { formatTableName, parseTableName, type TableName } from '../../domain/table/table-name.js';
import { sizeInWords, visible } from '../../domain/text/text.js';
import type { Cli } from '../cli-context.js';
import { define } from '../define-command.js';
import { tableArguments } from '../table-options.js';
import { interruptible } from '../long-operation.js';
import { instant, type Screen, screenTable, wrapped } from '../terminal/tables.js';

/** `reprise table history` */
export function defineTableHistory(table: Command, cli: Cli): void {
  define(table, cli, {
    usage: 'history <cluster> <database> <table>',
    summary: 'show how many rows a table had in each backup, and what is suspicious',
    description:
      'Reads the records that each backup makes: nothing is restored, and production is not needed. A change is suspicious where it is ' +
      'abnormal against the backup before and against what is usual; with fewer than three backups before, nothing is.',
    argumentHelp: tableArguments,
    examples: [
      'table history mairie mairie metier.demandes_rdv',
      'table history mairie mairie \'metier."Visits"\' --json',
    ],
    run: showHistory,
  });
}

async function showHistory(cli: Cli, [cluster = '', database = '', name = '']: readonly string[]): Promise<void> {
  await cli.cluster(cluster);
  const table = parseTableName(name);
  const question = { kind: 'table-history' as const, cluster, database, table };
  const { history } = await cli.withTemporal((session) =>
    interruptible((signal) => runInspection<'table-history'>(session, question, signal)),
  );
  await cli.print({ cluster, database, table, history }, historyText);
}

interface HistoryView {
  readonly database: string;
  readonly table: TableName;
  readonly history: readonly TableHistoryLine[];
}

/** The newest last, because it is read first. */
function historyText({ history, table, database }: HistoryView, screen: Screen): string {
  const named = `${visible(formatTableName(table))} of ${visible(database)}`;
  if (history.length === 0) return `no backup recorded rows of ${named}`;
  const sizes = history.some(({ bytes }) => bytes !== null);
  const header = ['finished', 'rows', 'change', 'of median', ...(sizes ? ['size'] : []), 'policy', '!'];
  const lines = history.map(({ at, rows, bytes, change, median, policy, suspicion }) => [
    instant(at),
    String(rows),
    change === null ? '-' : change > 0 ? `+${change}` : String(change),
    median === null ? '-' : percent(rows, median),
    ...(sizes ? [bytes === null ? '-' : sizeInWords(bytes)] : []),
    policy,
    suspicion === null ? '' : 'SUSPICIOUS',
  ]);
  const notes = history.flatMap(({ backupId, suspicion }) =>
    suspicion === null ? [] : [`suspicious: ${backupId}: ${suspicion}`],
  );
  const text = notes.flatMap((note) => wrapped(visible(note), screen.columns ?? Infinity));
  return [screenTable(header, lines, screen), ...(text.length === 0 ? [] : [text.join('\n')])].join('\n\n');
}
