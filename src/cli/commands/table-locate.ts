import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import { startLocate } from '../../client/start.js';
import { RepriseError } from '../../domain/errors.js';
import type { LocateOrder } from '../../domain/operation/orders.js';
import { conditionText, type LocateProbe, locateText, type TableCondition } from '../../domain/table/locate.js';
import { formatTableName, parseTableName } from '../../domain/table/table-name.js';
import { compareInstants } from '../../domain/target/instant.js';
import { visible } from '../../domain/text/text.js';
import type { LocateOutput } from '../../workflows/api.js';
import type { Cli } from '../cli-context.js';
import { parseCount, policyOption, timeOption } from '../common-options.js';
import { type CommonOptions, define } from '../define-command.js';
import { tableArguments } from '../table-options.js';
import { detached, detachedText, waitFor } from '../long-operation.js';
import { facts, instant, type Screen, screenTable, wrapped } from '../terminal/tables.js';

interface LocateOptions {
  readonly minRows?: number;
  readonly invariant?: string;
  readonly key?: { readonly column: string; readonly value: string };
  readonly from?: string;
  readonly to?: string;
  readonly policy?: string;
  readonly timeline?: number;
}

/** `reprise table locate` */
export function defineTableLocate(table: Command, cli: Cli): void {
  define<LocateOptions>(table, cli, {
    usage: 'locate <cluster> <database> <table>',
    summary: 'find the newest coherent state of a table, and the transaction that broke it',
    description: [
      'Looks into the middle one of the backups that are left, in a temporary instance, until two neighbours are found; then replays the WAL between them once, stopped after commits that touched the table. Nothing is changed, and production is read once.',
      'Say what is coherent by --min-rows, --key or --invariant: a query that the configuration has for this table, run read-only and by no superuser.',
    ].join('\n'),
    argumentHelp: tableArguments,
    examples: [
      'table locate mairie mairie metier.demandes_rdv --min-rows 100000',
      'table locate mairie mairie metier.demandes_rdv --min-rows 100000 --from -7d',
      'table locate mairie mairie metier.demandes_rdv --invariant enough',
      'table locate mairie mairie metier.demandes_rdv --key id=4711 --json',
    ],
    options: [
      new Option('--min-rows <count>', 'there are at least so many rows').argParser(parseCount),
      new Option('--key <column=value>', 'there is a row with this value, as PostgreSQL writes it').argParser(keyOf),
      new Option('--invariant <name>', 'this query of the configuration gives true'),
      timeOption('--from <time>', 'only backups that hold this time or a later one'),
      timeOption('--to <time>', 'only what was committed until then (default: now)'),
      policyOption('the one that archives WAL, and dumps from before it'),
      new Option(
        '--timeline <number>',
        'the history to search, of one that a recovery has left (default: the newest)',
      ).argParser(parseCount),
    ],
    long: true,
    run: locate,
  });
}

function keyOf(text: string): { column: string; value: string } {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('It is COLUMN=VALUE, e.g. id=4711.');
  return { column: text.slice(0, at), value: text.slice(at + 1) };
}

async function locate(
  cli: Cli,
  [cluster = '', database = '', name = '']: readonly string[],
  options: LocateOptions & CommonOptions,
): Promise<void> {
  await cli.cluster(cluster);
  const { from, to, policy, timeline } = options;
  if (policy !== undefined) await cli.policy(cluster, policy);
  if (from !== undefined && to !== undefined && compareInstants(from, to) > 0)
    throw new RepriseError('usage', `--from ${from} is after --to ${to}`, 'exchange them');
  const table = parseTableName(name);
  const order: LocateOrder = { database, table, condition: conditionOf(options), from, to, policy, timeline };
  const request = { cluster, requester: cli.person(undefined), order };
  await cli.withTemporal(async (session) => {
    const operation = await startLocate(session, request);
    const { workflowId } = operation;
    if (options.detach) return cli.print(await detached(cli, session, workflowId), detachedText);
    const result = await waitFor<LocateOutput>(cli, session, operation, options);
    await cli.print({ workflowId, cluster, ...result }, resultText);
  });
}

/** @throws RepriseError `usage` where there is not exactly one */
function conditionOf({ minRows, key, invariant }: LocateOptions): TableCondition {
  const given: TableCondition[] = [
    ...(minRows === undefined ? [] : [{ kind: 'min-rows' as const, rows: minRows }]),
    ...(key === undefined ? [] : [{ kind: 'key' as const, ...key }]),
    ...(invariant === undefined ? [] : [{ kind: 'invariant' as const, name: invariant }]),
  ];
  const [only] = given;
  if (only !== undefined && given.length === 1) return only;
  throw new RepriseError(
    'usage',
    only === undefined ? 'it is not said what is coherent' : 'several conditions are given, and one is searched for',
    'name one: --min-rows COUNT, --key COLUMN=VALUE or --invariant NAME',
  );
}

function resultText(view: LocateOutput & { readonly cluster: string }, screen: Screen): string {
  const { table, database, cluster, condition, transaction, restores, replays, notes, next, probes } = view;
  const damage =
    transaction === null
      ? []
      : [
          [
            'it did',
            [
              ...transaction.actions,
              `${transaction.deleted} deleted, ${transaction.updated} updated, ${transaction.inserted} inserted`,
            ].join(', '),
          ] as const,
        ];
  const rows = probes.map(({ what, id, at, holds, figure }) => [
    at === null ? 'now' : instant(at),
    named(what, id),
    holds === null ? '?' : holds ? 'yes' : 'NO',
    figure,
  ]);
  const columns = screen.columns ?? Infinity;
  return [
    facts(
      [
        ['table', `${visible(formatTableName(table))} of ${visible(database)}, cluster ${cluster}`],
        ['searched', conditionText(condition)],
        ['found', locateText(view)],
        ...damage,
        ['cost', `${restores} restores, ${replays} replays of WAL`],
      ],
      screen,
    ),
    screenTable(['state of', 'after', 'holds', 'seen'], rows, screen),
    ...(notes.length === 0 ? [] : [notes.flatMap((note) => wrapped(visible(note), columns)).join('\n')]),
    // To be copied: never broken.
    ...(next === null ? [] : [`next: ${next}`]),
  ].join('\n\n');
}

function named(what: LocateProbe['what'], id: string | null): string {
  return what === 'production' ? 'production' : what === 'commit' ? `commit of ${id ?? ''}` : (id ?? '');
}
