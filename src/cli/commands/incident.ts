import * as decisions from '../../client/decide.js';
import { Option } from 'commander';
import type { Command } from 'commander';
import { RepriseError } from '../../domain/errors.js';
import type { Diagnosis, IncidentLine, IncidentView } from '../../domain/operation/inspections.js';
import type { IncidentOutput } from '../../workflows/api.js';
import { runInspection } from '../../client/inspect.js';
import type { TemporalSession } from '../../client/connect.js';
import { toRepriseError } from '../../client/errors.js';
import { findIncident } from '../../client/incidents.js';
import { startIncident } from '../../client/start.js';
import type { Cli } from '../cli-context.js';
import { byOption, reasonOption, timeOption } from '../common-options.js';
import { define, group } from '../define-command.js';
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
const id = 'incident/mairie/instance-loss/20261121-083600-a1b2c3';
const idHelp = { id: 'as `incident list` shows it; its last part is enough' };

/** `reprise incident ...` */
export function registerIncident(program: Command, cli: Cli): void {
  const incident = group(program, 'incident', 'open, confirm, follow and close incidents');
  defineStart(incident, cli);
  defineSignals(incident, cli);
  defineReads(incident, cli);
}

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

function defineStart(parent: Command, cli: Cli): void {
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

function defineSignals(parent: Command, cli: Cli): void {
  const simple = (name: 'confirm' | 'close', summary: string, done: string): void =>
    define<{ reason?: string; by?: string }>(parent, cli, {
      usage: `${name} <id>`,
      summary,
      argumentHelp: idHelp,
      examples: [`incident ${name} ${id}`, `incident ${name} ${id} --by dba --reason "seen on site"`],
      options: [reasonOption(false), byOption()],
      changes: true,
      run: (self, [given = ''], options) => send(self, given, options, name, options.reason ?? 'none given', done),
    });
  simple('confirm', 'say that an incident is real', 'confirmed');
  define<{ reason: string; by?: string }>(parent, cli, {
    usage: 'dismiss <id>',
    summary: 'say that it was a false alarm',
    argumentHelp: idHelp,
    examples: [
      `incident dismiss ${id} --reason "planned restart"`,
      `incident dismiss ${id} --by dba --reason "network maintenance"`,
    ],
    options: [reasonOption(), byOption()],
    changes: true,
    run: (self, [given = ''], options) => send(self, given, options, 'dismiss', options.reason, 'dismissed'),
  });
  simple('close', 'close an incident without a recovery or repair that succeeded; deletes nothing', 'closed');
  define<{ by?: string; cause?: string }>(parent, cli, {
    usage: 'note <id> [text...]',
    summary: 'add a line, or the probable cause, to the incident document',
    argumentHelp: { ...idHelp, text: 'what happened, or what was decided' },
    examples: [
      `incident note ${id} "business contacts told by phone"`,
      `incident note ${id} --cause "the purge of old rows ran with the wrong date"`,
    ],
    options: [new Option('--cause <text>', 'the probable cause; the last one entered counts'), byOption()],
    changes: true,
    run: async (self, [given = '', ...words], { cause, ...options }) => {
      const noted = words.join(' ').trim();
      if (cause !== undefined && noted !== '')
        throw new RepriseError('usage', 'a note is a line or the cause', 'send them one after the other');
      const text = cause?.trim() ?? noted;
      if (text === '') throw new RepriseError('usage', 'the note is empty', 'write what happened after the id');
      await self.withTemporal(async (session) => {
        const incident = await findIncident(session, given);
        const entry = { by: self.person(options.by), text, ...(cause === undefined ? {} : { cause: true as const }) };
        if (options.dryRun) return self.print({ dryRun: true, incident, ...entry }, () => `would note: ${text}`);
        await decisions.note(session, incident, entry);
        await self.print({ incident, ...entry }, () => `noted in ${incident}`);
      });
    },
  });
}

function defineReads(parent: Command, cli: Cli): void {
  define<{ cluster?: string }>(parent, cli, {
    usage: 'list',
    summary: 'list incidents, open ones first',
    examples: ['incident list', 'incident list --cluster mairie --json'],
    options: [new Option('--cluster <name>', 'only of this cluster')],
    run: async (self, _args, { cluster }) => {
      if (cluster !== undefined) await self.cluster(cluster);
      const answer = await self.withTemporal((session) =>
        runInspection<'incidents'>(session, { kind: 'incidents', cluster }),
      );
      await self.print({ incidents: answer.incidents }, ({ incidents }, screen) => incidentsTable(incidents, screen));
    },
  });
  define(parent, cli, {
    usage: 'show <id>',
    summary: 'show an incident with its journal',
    argumentHelp: idHelp,
    examples: [`incident show ${id}`, `incident show ${id} --json`],
    run: async (self, [given = '']) => {
      const view = await self.withTemporal((session) =>
        runInspection<'incident'>(session, { kind: 'incident', id: given }),
      );
      await self.print({ ...view }, incidentText);
    },
  });
  define<{ html?: true }>(parent, cli, {
    usage: 'report <id>',
    summary: 'print the incident document (Markdown)',
    argumentHelp: { id: 'of the incident, of a recovery or of the repair of a table' },
    examples: [
      `incident report ${id}`,
      `incident report ${id} > incident.md`,
      'incident report table-repair/mairie/20261121-021500-a1b2c3 --html > repair.html',
    ],
    options: [
      new Option(
        '--html',
        'as one HTML file, for a browser or paper: of a repair, or of an incident of a table or a migration',
      ),
    ],
    run: async (self, [given = ''], { html }) => {
      const format = html === true ? { format: 'html' as const } : {};
      const report = await self.withTemporal((session) =>
        runInspection<'report'>(session, { kind: 'report', id: given, ...format }),
      );
      await self.print({ id: given, ...report }, (view) => view.html ?? view.markdown);
    },
  });
}

async function send(
  cli: Cli,
  given: string,
  options: CommonOptions & { by?: string },
  name: 'confirm' | 'dismiss' | 'close',
  reason: string,
  done: string,
): Promise<void> {
  await cli.withTemporal(async (session: TemporalSession) => {
    const incident = await findIncident(session, given);
    const decision = { by: cli.person(options.by), reason };
    if (options.dryRun)
      return cli.print({ dryRun: true, incident, ...decision }, () => `would send ${name} to ${incident}`);
    await decisions.signal(session, incident, name, decision);
    await cli.print(
      { incident, ...decision, sent: name },
      () => `${done}: ${incident}\n  follow it: ${cli.command('watch', incident)}`,
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

function incidentsTable(incidents: readonly IncidentLine[], screen: Screen): string {
  if (incidents.length === 0) return 'no incidents';
  const rows = incidents.map((one) => [one.id, one.state, instant(one.openedAt), instant(one.closedAt)]);
  return screenTable(['incident', 'state', 'opened', 'closed'], rows, screen);
}

function incidentText({ incident, records, outcome }: IncidentView, screen: Screen): string {
  const journal = records.map((record) => [
    instant(record.at),
    record.by,
    'text' in record ? record.text : record.kind,
  ]);
  return [
    facts(
      [
        ['incident', incident.id],
        ['state', incident.state],
        ['opened', instant(incident.openedAt)],
        ['closed', instant(incident.closedAt)],
        ['recovered to', outcome?.target.reached],
        ['report', outcome?.report],
      ],
      screen,
    ),
    journal.length > 0 ? screenTable(['at', 'by', 'what'], journal, screen) : 'its journal is empty',
  ].join('\n\n');
}
