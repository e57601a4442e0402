import * as decisions from '../../client/decide.js';
import { Option } from 'commander';
import type { Command } from 'commander';
import { RepriseError } from '../../domain/errors.js';
import type { CatalogueRecord } from '../../domain/backup/records.js';
import type { IncidentLine, IncidentView } from '../../domain/operation/inspections.js';
import { runInspection } from '../../client/inspect.js';
import type { TemporalSession } from '../../client/connect.js';
import { findIncident, withUnrecordedEnds } from '../../client/incidents.js';
import type { Cli } from '../cli-context.js';
import { byOption, reasonOption } from '../common-options.js';
import { define, group } from '../define-command.js';
import type { CommonOptions } from '../define-command.js';
import { facts, instant, type Screen, screenTable } from '../terminal/tables.js';
import { defineStart } from './incident-start.js';

const id = 'incident/mairie/instance-loss/20261121-083600-a1b2c3';
const idHelp = { id: 'as `incident list` shows it; its last part is enough' };

/** `reprise incident ...` */
export function registerIncident(program: Command, cli: Cli): void {
  const incident = group(program, 'incident', 'open, confirm, follow and close incidents');
  defineStart(incident, cli);
  defineSignals(incident, cli);
  defineReads(incident, cli);
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
      const incidents = await self.withTemporal(async (session) =>
        withUnrecordedEnds(
          session,
          (await runInspection<'incidents'>(session, { kind: 'incidents', cluster })).incidents,
        ),
      );
      await self.print({ incidents }, (shown, screen) => incidentsTable(shown.incidents, screen));
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
      await self.print({ ...view }, (shown, screen) => incidentText(self, shown, screen));
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

function incidentsTable(incidents: readonly IncidentLine[], screen: Screen): string {
  if (incidents.length === 0) return 'no incidents';
  const rows = incidents.map((one) => [one.id, one.state, instant(one.openedAt), instant(one.closedAt)]);
  return screenTable(['incident', 'state', 'opened', 'closed'], rows, screen);
}

/** Records that only the evidence needs: nobody reads them in a journal. */
const NOT_TOLD: ReadonlySet<string> = new Set(['pin', 'unpin', 'plan-used']);

function toldIn(record: CatalogueRecord): string {
  switch (record.kind) {
    case 'incident':
      return `incident ${record.state}: ${record.text}`;
    case 'journal':
      return `${record.step}: ${record.text}`;
    case 'approval':
      return `approved plan ${record.digest.slice(0, 12)}: ${record.approval.reason}`;
    case 'refusal':
      return `refused: ${record.reason}`;
    case 'outcome':
      return `recovered to ${record.outcome.target.reached}`;
    default:
      return record.kind;
  }
}

function incidentText(cli: Cli, { incident, records, outcome }: IncidentView, screen: Screen): string {
  const journal = records
    .filter(({ kind }) => !NOT_TOLD.has(kind))
    .map((record) => [instant(record.at), record.by, toldIn(record)]);
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
    ...(incident.closedAt === null
      ? [`what it waits for, and what to type next, is shown by:\n  ${cli.command('status', incident.id)}`]
      : []),
  ].join('\n\n');
}
