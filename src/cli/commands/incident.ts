import * as decisions from '../../client/decide.js';
import { Option } from 'commander';
import type { Command } from 'commander';
import { RepriseError } from '../../domain/errors.js';
import type { Diagnosis, IncidentLine, IncidentView } from '../../domain/operation/inspections.js';
import type { IncidentOutput } from '../../workflows/api.js';
import { runInspection } from '../../client/inspect.js';
import type { TemporalSession } from '../../client/connect.js';
import { startIncident } from '../../client/start.js';
import type { Cli } from '../cli-context.js';
import { byOption, reasonOption } from '../common-options.js';
import { define, group } from '../define-command.js';
import type { CommonOptions } from '../define-command.js';
import { facts, instant, type Screen, screenTable } from '../terminal/tables.js';
import { detached, detachedText, waitFor } from '../long-operation.js';
import { OPEN_EXECUTIONS } from '../../domain/operation/executions.js';
import { workflowTypes } from '../../domain/operation/names.js';

const SCENARIOS = ['instance-loss'] as const;
const id = 'incident/mairie/instance-loss/20261121-083600-a1b2c3';
const idHelp = { id: 'as `incident list` shows it; its last part is enough' };

/** `reprise incident ...` */
export function registerIncident(program: Command, cli: Cli): void {
  const incident = group(program, 'incident', 'open, confirm, follow and close incidents');
  defineStart(incident, cli);
  defineSignals(incident, cli);
  defineReads(incident, cli);
}

function defineStart(parent: Command, cli: Cli): void {
  define<{ cluster: string; by?: string }>(parent, cli, {
    usage: 'start <scenario>',
    summary: 'open an incident: diagnose it, plan the recovery, wait for approval',
    description: `Scenarios: ${SCENARIOS.join(', ')}. Nothing is changed before its recovery's plan is approved.`,
    argumentHelp: { scenario: SCENARIOS.join(', ') },
    examples: [
      'incident start instance-loss --cluster mairie',
      'incident start instance-loss --cluster mairie --detach --json',
    ],
    options: [new Option('--cluster <name>', 'cluster it concerns').makeOptionMandatory(), byOption()],
    changes: true,
    long: true,
    run: async (self, [given = ''], options) => {
      const scenario = await scenarioOf(given);
      await self.cluster(options.cluster);
      if (options.dryRun) {
        const { cluster } = options;
        const diagnosis = await self.withTemporal((session) =>
          runInspection<'diagnose'>(session, { kind: 'diagnose', cluster }),
        );
        return self.print(
          { dryRun: true, scenario, cluster, diagnosis },
          (view, screen) =>
            `would open ${scenario} for ${cluster}; the diagnosis is:\n${diagnosisText(view.diagnosis, screen)}`,
        );
      }
      await self.withTemporal(async (session) => {
        const operation = await startIncident(session, {
          cluster: options.cluster,
          scenario,
          requester: self.person(options.by),
        });
        if (options.detach) return self.print(await detached(self, session, operation.workflowId), detachedText);
        const result = await waitFor<IncidentOutput>(self, session, operation, options);
        await self.print(
          { workflowId: operation.workflowId, ...result },
          (view) => `${view.workflowId}: ${view.state}${view.recovery === null ? '' : `, by ${view.recovery}`}`,
        );
      });
    },
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
  simple('close', 'close an incident whose recovery failed or was rejected; deletes nothing', 'closed');
  define<{ by?: string }>(parent, cli, {
    usage: 'note <id> <text...>',
    summary: 'add a line to the incident document',
    argumentHelp: { ...idHelp, text: 'what happened, or what was decided' },
    examples: [
      `incident note ${id} "business contacts told by phone"`,
      `incident note ${id} --by ops switched the site to its fallback page`,
    ],
    options: [byOption()],
    changes: true,
    run: async (self, [given = '', ...words], options) => {
      const text = words.join(' ').trim();
      if (text === '') throw new RepriseError('usage', 'the note is empty', 'write what happened after the id');
      await self.withTemporal(async (session) => {
        const incident = await findIncident(session, given);
        const entry = { by: self.person(options.by), text };
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
      await self.print({ incidents: answer.incidents }, ({ incidents }, screen) => incidentTable(incidents, screen));
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
    options: [new Option('--html', 'as one HTML file, for a browser or paper: of the repair of a table')],
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

function incidentTable(incidents: readonly IncidentLine[], screen: Screen): string {
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

/**
 * Workflow id of an open incident; its last part is enough.
 * @throws `not-found`, `conflict` where several end so.
 */
async function findIncident(session: TemporalSession, given: string): Promise<string> {
  if (given.startsWith('incident/')) return given;
  const query = `WorkflowType = '${workflowTypes.incident}' AND ${OPEN_EXECUTIONS}`;
  const found: string[] = [];
  for await (const { workflowId } of session.client.workflow.list({ query })) {
    if (workflowId.endsWith(`/${given}`)) found.push(workflowId);
  }
  const [first, second] = found;
  if (first === undefined)
    throw new RepriseError('not-found', `no open incident is called ${given}`, 'see `reprise incident list`');
  if (second !== undefined)
    throw new RepriseError('conflict', `${given} is ambiguous: ${found.join(' or ')}`, 'write the whole id');
  return first;
}
