import { Option } from 'commander';
import type { Command } from 'commander';
import { RepriseError } from '../../domain/errors.js';
import type { Diagnosis } from '../../domain/operation/inspections.js';
import type { IncidentOutput } from '../../workflows/api.js';
import { runInspection } from '../../client/inspect.js';
import { toRepriseError } from '../../client/errors.js';
import { startIncident } from '../../client/start.js';
import type { Cli } from '../cli-context.js';
import { byOption, timeOption } from '../common-options.js';
import { define } from '../define-command.js';
import type { CommonOptions } from '../define-command.js';
import { facts, instant, type Screen, screenTable } from '../terminal/tables.js';
import { detached, detachedText, interruptible, waitFor } from '../long-operation.js';
import { migrationTimeText } from '../../domain/incident/migration-text.js';
import type { MigrationIncidentOrder, TableIncidentOrder } from '../../domain/operation/orders.js';
import { isNowhere, type KnownTable, nowhereText } from '../../domain/table/known-table.js';
import { formatTableName, parseTableName, type TableName } from '../../domain/table/table-name.js';
import { visible } from '../../domain/text/text.js';
import type { TableSurvey } from '../../domain/table/incident.js';
import { incidentTable, surveyText } from '../../domain/table/incident-text.js';

const SCENARIOS = ['instance-loss', 'table-corruption', 'bad-migration'] as const;

interface StartOptions {
  readonly cluster: string;
  readonly database?: string;
  readonly table?: string;
  readonly at?: string;
  readonly policy?: string;
  readonly foundAt?: string;
  readonly cause?: string;
  readonly hold?: boolean;
  readonly by?: string;
}

/** `reprise incident start` */
export function defineStart(parent: Command, cli: Cli): void {
  define<StartOptions>(parent, cli, {
    usage: 'start <scenario>',
    summary: 'open an incident: look what is wrong, and wait for a person',
    description: [
      'instance-loss: the server is diagnosed, its recovery is planned, and the plan waits for approval.',
      'table-corruption: the rows are compared with those of the backups, the WAL is read for large transactions, and a person confirms it and chooses the repair (`reprise table repair ... --incident`).',
      'bad-migration: the state before the migration is restored into a temporary instance and compared with production, and a person chooses the whole database (`reprise recover ... --incident`) or single tables (`reprise table repair ... --incident`).',
      'Nothing is changed before a plan is approved.',
    ].join('\n'),
    argumentHelp: { scenario: 'what happened' },
    argumentOffers: { scenario: SCENARIOS },
    examples: [
      'incident start instance-loss --cluster mairie',
      'incident start table-corruption --cluster mairie --database mairie --table metier.demandes_rdv --detach',
      'incident start bad-migration --cluster mairie --database mairie --at 2026-11-21T02:15:00Z --detach',
    ],
    options: [
      new Option('--cluster <name>', 'cluster it concerns').makeOptionMandatory(),
      new Option(
        '--database <name>',
        'table-corruption: database of the table; bad-migration: the one that was migrated',
      ),
      new Option('--table <name>', 'table-corruption: schema.table, as PostgreSQL reads it'),
      timeOption('--at <time>', 'bad-migration: when the migration began (default: as its migration table says)'),
      new Option('--policy <name>', 'bad-migration: whose backups have the state before it'),
      timeOption('--found-at <time>', 'when the damage was found (default: now); not of instance-loss'),
      new Option('--cause <text>', 'not of instance-loss: the probable cause; `incident note --cause` enters it later'),
      new Option(
        '--hold',
        'table-corruption: ask for the writes to be blocked at once, and not when it is confirmed; that has its own approval',
      ),
      byOption(),
    ],
    changes: true,
    long: true,
    run: async (self, [given = ''], options) => {
      const scenario = await scenarioOf(given);
      refuseForeign(scenario, options);
      refuseFuture(options);
      if (scenario === 'table-corruption') return startTable(self, options);
      return scenario === 'bad-migration' ? startMigration(self, options) : startInstanceLoss(self, options);
    },
  });
}

/** Options of one scenario alone, as they are typed. */
const ONLY_OF: readonly (readonly [name: keyof StartOptions, typed: string, scenarios: readonly string[]])[] = [
  ['database', '--database', ['table-corruption', 'bad-migration']],
  ['foundAt', '--found-at', ['table-corruption', 'bad-migration']],
  ['cause', '--cause', ['table-corruption', 'bad-migration']],
  ['table', '--table', ['table-corruption']],
  ['hold', '--hold', ['table-corruption']],
  ['at', '--at', ['bad-migration']],
  ['policy', '--policy', ['bad-migration']],
];

function refuseForeign(scenario: string, options: StartOptions): void {
  for (const [name, typed, scenarios] of ONLY_OF)
    if (options[name] !== undefined && !scenarios.includes(scenario))
      throw new RepriseError(
        'usage',
        `${typed} is for ${scenarios.join(' and ')}`,
        `omit it, or start ${scenarios.join(' or ')}`,
      );
}

/** Clocks of two hosts may differ by so much. */
const CLOCKS_DIFFER_MS = 60_000;

function refuseFuture({ at, foundAt }: StartOptions): void {
  for (const [typed, time] of Object.entries({ '--at': at, '--found-at': foundAt }))
    if (time !== undefined && Date.parse(time) > Date.now() + CLOCKS_DIFFER_MS)
      throw new RepriseError(
        'usage',
        `${typed} is in the future: ${time}`,
        'name a time that has passed, with its zone',
      );
}

async function startMigration(cli: Cli, options: StartOptions & CommonOptions): Promise<void> {
  const scenario = 'bad-migration';
  const { cluster, database, at, policy, foundAt, cause } = options;
  if (database === undefined)
    throw new RepriseError('usage', 'it is not said which database was migrated', 'add --database NAME');
  await cli.cluster(cluster);
  if (policy !== undefined) await cli.policy(cluster, policy);
  const order: MigrationIncidentOrder = {
    database,
    ...(at === undefined ? {} : { at }),
    ...(policy === undefined ? {} : { policy }),
    ...(foundAt === undefined ? {} : { foundAt }),
    ...(cause === undefined ? {} : { cause }),
  };
  await requireKnown(cli, cluster, { database });
  if (options.dryRun) {
    const { time } = await cli.withTemporal((session) =>
      interruptible(
        (signal) => runInspection<'migration-time'>(session, { kind: 'migration-time', cluster, order }, signal),
        options,
      ),
    );
    return cli.print(
      { dryRun: true, scenario, cluster, order, time },
      (view) => `would open ${scenario} for ${visible(database)} of ${cluster}: ${migrationTimeText(view.time)}`,
    );
  }
  await open(cli, { cluster, scenario, requester: cli.person(options.by), order }, options);
}

async function startInstanceLoss(cli: Cli, options: StartOptions & CommonOptions): Promise<void> {
  const scenario = 'instance-loss';
  const { cluster } = options;
  await cli.cluster(cluster);
  if (options.dryRun) {
    const diagnosis = await cli.withTemporal((session) =>
      interruptible((signal) => runInspection<'diagnose'>(session, { kind: 'diagnose', cluster }, signal), options),
    );
    return cli.print(
      { dryRun: true, scenario, cluster, diagnosis },
      (view, screen) =>
        `would open ${scenario} for ${cluster}; the diagnosis is:\n${diagnosisText(view.diagnosis, screen)}`,
    );
  }
  await open(cli, { cluster, scenario, requester: cli.person(options.by) }, options);
}

async function startTable(cli: Cli, options: StartOptions & CommonOptions): Promise<void> {
  const scenario = 'table-corruption';
  const { cluster, database, foundAt, cause, hold } = options;
  if (database === undefined || options.table === undefined)
    throw new RepriseError(
      'usage',
      'it is not said which table the incident is about',
      'add --database NAME --table SCHEMA.TABLE',
    );
  const table = parseTableName(options.table);
  await cli.cluster(cluster);
  const order: TableIncidentOrder = {
    ...{ database, table },
    ...(foundAt === undefined ? {} : { foundAt }),
    ...(cause === undefined ? {} : { cause }),
    ...(hold === true ? { hold } : {}),
  };
  await requireKnown(cli, cluster, { database, table });
  if (options.dryRun) {
    const { survey } = await cli.withTemporal((session) =>
      interruptible(
        (signal) => runInspection<'table-survey'>(session, { kind: 'table-survey', cluster, order }, signal),
        options,
      ),
    );
    return cli.print({ dryRun: true, scenario, cluster, order, survey }, (view, screen) =>
      [
        `would open ${scenario} for ${visible(incidentTable(order))} of ${cluster}`,
        surveyTable(view.survey, screen),
      ].join('\n\n'),
    );
  }
  await open(cli, { cluster, scenario, requester: cli.person(options.by), order }, options);
}

/**
 * Before people are told: what is neither in production nor in a backup is a name that is written in another way. Where nobody can be
 * asked, the incident is opened all the same, and that is said.
 * @throws RepriseError `not-found`, with the names that were probably meant
 */
async function requireKnown(
  cli: Cli,
  cluster: string,
  named: { readonly database: string; readonly table?: TableName },
): Promise<void> {
  const question = { kind: 'known' as const, cluster, ...named };
  const known = await cli.withTemporal((session) =>
    interruptible((signal) => runInspection<'known'>(session, question, signal)).then(
      (answer) => answer.known,
      notAsked,
    ),
  );
  const { database, table } = named;
  if (isNowhere(known))
    throw new RepriseError(
      'not-found',
      [nowhereText(known, database, table), ...known.problems].join('; '),
      known.near.length === 0
        ? 'nothing like it is there: see \\l and \\dt *.* in psql'
        : `did you mean ${known.near.join(', or ')}?`,
    );
  const isFound = known.production === true || known.backups === true;
  if (isFound || !cli.showsProgress) return;
  const what = table === undefined ? `database ${database}` : formatTableName(table);
  cli.say(`warning: it is not known whether ${what} is there: ${known.problems.join('; ') || 'no backup says'}`);
}

/** Whoever waits no longer opens nothing; everything else is no reason to open none. */
function notAsked(error: unknown): KnownTable {
  const { code, message } = toRepriseError(error);
  if (code === 'interrupted') throw error;
  return { production: null, backups: null, database: null, near: [], problems: [message] };
}

async function open(cli: Cli, request: Parameters<typeof startIncident>[1], options: CommonOptions): Promise<void> {
  await cli.withTemporal(async (session) => {
    const operation = await startIncident(session, request);
    if (options.detach) return cli.print(await detached(cli, session, operation.workflowId), detachedText);
    const result = await waitFor<IncidentOutput>(cli, session, operation, options);
    const done = result.recovery ?? result.repair ?? null;
    await cli.print(
      { workflowId: operation.workflowId, ...result },
      (view) => `${view.workflowId}: ${view.state}${done === null ? '' : `, by ${done}`}`,
    );
  });
}

async function scenarioOf(given: string): Promise<(typeof SCENARIOS)[number]> {
  const found = SCENARIOS.find((scenario) => scenario === given);
  if (found !== undefined) return found;
  const { didYouMean } = await import('../../config/suggest.js');
  throw new RepriseError(
    'usage',
    `there is no scenario "${given}" in this version`,
    didYouMean(given, SCENARIOS, 'scenarios'),
  );
}

/** Rows in the backups and now. */
function surveyTable(survey: TableSurvey, screen: Screen): string {
  const lines = survey.history.map(({ backupId, at, rows, suspicion }) => [
    backupId,
    instant(at),
    String(rows),
    suspicion === null ? '' : 'SUSPICIOUS',
  ]);
  const now = ['production', 'now', survey.rowsNow === null ? 'not known' : String(survey.rowsNow)];
  lines.push([...now, survey.suspicion === null ? '' : 'SUSPICIOUS']);
  return [screenTable(['backup', 'finished', 'rows', '!'], lines, screen), visible(surveyText(survey))].join('\n\n');
}

function diagnosisText({ answers, layer, reason, dataDirectory, walReadable }: Diagnosis, screen: Screen): string {
  const pairs: readonly (readonly [string, string | null])[] = [
    ['answers', answers ? 'yes' : 'no'],
    ['layer', layer],
    ['reason', reason],
    ['data directory', dataDirectory],
    ['old WAL', walReadable ? 'can be read' : 'cannot be read'],
  ];
  return facts(pairs, screen);
}
