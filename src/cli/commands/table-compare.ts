import { readFile } from 'node:fs/promises';
import { Option } from 'commander';
import type { Command } from 'commander';
import { runInspection } from '../../client/inspect.js';
import { newOperationId, startTableComparison } from '../../client/start.js';
import { RepriseError } from '../../domain/errors.js';
import { instanceText } from '../../domain/explore/instance.js';
import type { ComparisonOrder } from '../../domain/operation/orders.js';
import { parseBreakdown } from '../../domain/table/compare.js';
import type {
  BreakdownBy,
  BreakdownLine,
  ComparedRows,
  RowDifference,
  SchemaDifference,
} from '../../domain/table/compare.js';
import { formatTableName, parseTableName } from '../../domain/table/table-name.js';
import { formatTarget, type RecoveryTarget } from '../../domain/target/target.js';
import { visible } from '../../domain/text/text.js';
import type { CompareTableOutput } from '../../workflows/api.js';
import type { Cli } from '../cli-context.js';
import { collect, countBetween, policyOption, targetOption } from '../common-options.js';
import { type CommonOptions, define } from '../define-command.js';
import { detached, detachedText, interruptible, waitFor } from '../long-operation.js';
import { columnNames, type ScopeFlags, scopeOf, scopeOptions, tableArguments } from '../table-options.js';
import { facts, type Screen, screenTable } from '../terminal/tables.js';

interface CompareOptions extends ScopeFlags {
  readonly backup?: string;
  readonly to?: RecoveryTarget;
  readonly policy?: string;
  readonly key?: readonly string[];
  readonly column?: readonly string[];
  readonly by?: BreakdownBy;
  readonly samples: number;
}

/** `reprise table compare` */
export function defineTableCompare(table: Command, cli: Cli): void {
  define<CompareOptions>(table, cli, {
    usage: 'compare <cluster> <database> <table>',
    summary: 'compare a table of production with a backup or an instant, row by row',
    description: [
      'The good side is restored into a temporary instance, which is removed afterwards. Nothing is changed; exit 0 means that it was compared, equal or not.',
      'Rows are told apart by the primary key, or another unique one that both sides have; without one, equal rows are counted.',
    ].join('\n'),
    argumentHelp: tableArguments,
    examples: [
      'table compare mairie mairie metier.demandes_rdv --backup mairie:logical:mairie_full_20261121_021500',
      'table compare mairie mairie metier.demandes_rdv --to 2026-11-21T02:10:00Z --by day:date_rdv',
      'table compare mairie mairie metier.demandes_rdv --to before-xid:1234 --where-range "date_rdv=2026-11-01..2026-12-01" --json',
    ],
    options: [
      new Option('--backup <id>', 'the good side: this backup'),
      targetOption(),
      policyOption('the first that leads to the target'),
      new Option('--key <column>', 'tells rows apart, instead of the key of the table; repeat it').argParser(collect),
      new Option('--column <column>', 'compare only this column and the key; repeat it').argParser(collect),
      ...scopeOptions(),
      new Option('--by <column>', 'count what differs by the values of a column, or by day:COLUMN').argParser(
        parseBreakdown,
      ),
      new Option('--samples <count>', 'rows that differ and are shown').argParser(countBetween(0, 10_000)).default(20),
    ],
    changes: true,
    long: true,
    takesYes: true,
    run: compare,
  });
}

async function compare(
  cli: Cli,
  [cluster = '', database = '', name = '']: readonly string[],
  options: CompareOptions & CommonOptions,
): Promise<void> {
  await cli.cluster(cluster);
  const { policy, samples } = options;
  if (policy !== undefined) await cli.policy(cluster, policy);
  const order: ComparisonOrder = {
    ...{ database, table: parseTableName(name), good: goodSide(options), policy, samples },
    ...{ key: columnNames(options.key), columns: columnNames(options.column), scope: scopeOf(options), by: options.by },
  };
  const request = { cluster, requester: cli.person(undefined), order };
  if (options.dryRun) return showPlan(cli, request, options);
  await cli.withTemporal(async (session) => {
    const operation = await startTableComparison(session, request);
    const { workflowId } = operation;
    if (options.detach) return cli.print(await detached(cli, session, workflowId), detachedText);
    const { file, host, fileUntil, ...found } = await waitFor<CompareTableOutput>(cli, session, operation, options);
    const rows = await rowsHere(file, operation.operationId);
    const view = {
      ...{ workflowId, cluster, target: formatTarget(order.good), ...found },
      ...{ samples: rows?.samples ?? [], breakdown: rows?.breakdown ?? [] },
      file: { host, path: file, until: fileUntil, shown: rows !== null },
    };
    await cli.print(view, comparisonText);
  });
}

/** @throws RepriseError `usage`: the state of now would show no difference, whatever happened */
function goodSide({ backup, to }: CompareOptions): RecoveryTarget {
  if ((backup === undefined) === (to === undefined))
    throw new RepriseError(
      'usage',
      backup === undefined
        ? 'it is not said what production is compared with'
        : '--backup and --to cannot both be the good side',
      'name one: --backup ID (reprise backup list), or --to TARGET, such as --to 2026-11-21T02:10:00Z or --to before-xid:1234',
    );
  return to ?? { kind: 'backup', id: backup ?? '' };
}

async function showPlan(
  cli: Cli,
  { cluster, requester, order }: { cluster: string; requester: string; order: ComparisonOrder },
  options: CommonOptions,
): Promise<void> {
  const { good: target, policy, database } = order;
  const question = {
    ...{ kind: 'explore-plan' as const, cluster, requester, operationId: newOperationId() },
    order: { target, policy, databases: [database], only: [order.table] },
  };
  const { plan } = await cli.withTemporal((session) =>
    interruptible((signal) => runInspection<'explore-plan'>(session, question, signal), options),
  );
  await cli.print({ dryRun: true, workflowId: null, plan, order }, (view, screen) =>
    facts(
      [
        ['would compare', `${database}, ${formatTableName(order.table)}`],
        ['with', instanceText(view.plan)],
        ['on host', view.plan.host],
        ...view.plan.warnings.map((text) => ['warning', text] as const),
      ],
      screen,
    ),
  );
}

/** Rows are never in Temporal's history: on the host itself, whoever may read its file sees them. */
async function rowsHere(file: string, operationId: string): Promise<ComparedRows | null> {
  try {
    const rows = JSON.parse(await readFile(file, 'utf8')) as ComparedRows;
    return rows.operationId === operationId ? rows : null;
  } catch {
    return null;
  }
}

interface ComparisonView extends Omit<CompareTableOutput, 'file' | 'fileUntil' | 'host'> {
  readonly cluster: string;
  readonly target: string;
  readonly samples: readonly RowDifference[];
  readonly breakdown: readonly BreakdownLine[];
  readonly file: { readonly host: string; readonly path: string; readonly until: string; readonly shown: boolean };
}

function comparisonText(view: ComparisonView, screen: Screen): string {
  const { table, database, cluster, key, missing, changed, extra, same, changedColumns, file, backups } = view;
  const columns = Object.entries(changedColumns).map(([name, rows]) => `${visible(name)} ${rows}`);
  const parts = [
    facts(
      [
        ['table', `${visible(formatTableName(table))} of ${visible(database)}, cluster ${cluster}`],
        ['with', `${view.target} (${backups.join(', ')}); ${view.reached}`],
        ['by', key.length === 0 ? 'no key: equal rows are counted' : key.map((name) => visible(name)).join(', ')],
        ...byTextFacts(view),
        ['missing', `${missing} (in the backup, not in production)`],
        ['changed', `${changed}${columns.length === 0 ? '' : `: ${columns.join(', ')}`}`],
        ['extra', `${extra} (in production only)`],
        ['same', String(same)],
        ['seconds', String(view.seconds)],
        ['rows in', `${file.path} on host ${file.host}, until ${file.until}`],
      ],
      screen,
    ),
    schemaText(view.schema, screen),
    breakdownText(view.breakdown, screen),
    samplesText(view, screen),
  ];
  return parts.filter(Boolean).join('\n\n');
}

const byTextFacts = ({ keysByText = [] }: ComparisonView): readonly (readonly [string, string])[] =>
  keysByText.length === 0
    ? []
    : [
        [
          'by text',
          `${keysByText.map((name) => visible(name)).join(', ')}: equal values that are written in another way count as one missing and one extra row`,
        ],
      ];

function schemaText(schema: readonly SchemaDifference[], screen: Screen): string {
  if (schema.length === 0) return '';
  return screenTable(
    ['differs in', 'column', 'good', 'production'],
    schema.map(({ what, column, left, right }) => [what, shown(column), shown(left), shown(right)]),
    screen,
  );
}

function breakdownText(breakdown: readonly BreakdownLine[], screen: Screen): string {
  if (breakdown.length === 0) return '';
  return screenTable(
    ['value', 'missing', 'changed', 'extra'],
    breakdown.map(({ value, missing, changed, extra }) => [value ?? 'NULL', missing, changed, extra].map(String)),
    screen,
  );
}

function samplesText({ samples, columns, file }: ComparisonView, screen: Screen): string {
  if (!file.shown) return `The rows themselves can be seen on host ${file.host} alone, by the owner of that file.`;
  if (samples.length === 0) return '';
  return screenTable(
    ['row', 'key', 'good', 'production'],
    samples.map(({ kind, key, before, after, columns: differ }) => {
      const text = (row: RowDifference['before']): string =>
        row === null ? '-' : columns.flatMap((name, at) => cell(name, row[at] ?? null, differ)).join(' ');
      return [kind, key.map((value) => shown(value)).join(', ') || '-', text(before), text(after)];
    }),
    screen,
  );
}

const LONGEST = 40;

/** Of a changed row only what differs. */
function cell(name: string, value: string | null, differ: readonly string[]): readonly string[] {
  if (differ.length > 0 && !differ.includes(name)) return [];
  const text = shown(value);
  return [`${visible(name)}=${text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text}`];
}

const shown = (value: string | null): string => (value === null ? 'NULL' : visible(value));
