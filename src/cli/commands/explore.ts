import { existsSync } from 'node:fs';
import { Option } from 'commander';
import type { Command } from 'commander';
import type { TemporalSession } from '../../client/connect.js';
import {
  connectExploration,
  dropExploration,
  type Exploration,
  explorationOf,
  extendExploration,
  findExploration,
  listExplorations,
  lookAt,
  moveExploration,
  type OpenExploration,
  viewOf,
} from '../../client/explore.js';
import { runInspection } from '../../client/inspect.js';
import { newOperationId, startExploration, type StartedOperation } from '../../client/start.js';
import { RepriseError } from '../../domain/errors.js';
import {
  connectionText,
  instanceText,
  type OpenedInstance,
  type PlannedInstance,
  psqlCommand,
} from '../../domain/explore/instance.js';
import { formatTarget, type RecoveryTarget } from '../../domain/target/target.js';
import type { TimelineChoice } from '../../domain/target/timeline-choice.js';
import { parseTimelineChoice } from '../../domain/target/timeline-choice.js';
import { durationInWords, sizeInWords } from '../../domain/text/text.js';
import type { ExploreView } from '../../workflows/api.js';
import { type Cli, unknownName } from '../cli-context.js';
import { byOption, parseSeconds, policyOption, targetOption } from '../common-options.js';
import { type CommonOptions, define, group } from '../define-command.js';
import { detached, detachedText, interruptible, waitUntilSeen } from '../long-operation.js';
import { facts, instant, type Screen, screenTable } from '../terminal/tables.js';

interface StartOptions {
  readonly to: RecoveryTarget;
  readonly timeline?: TimelineChoice;
  readonly policy?: string;
  readonly ttl?: number;
  readonly on?: string;
  readonly by?: string;
}

const idHelp = { id: 'as `explore list` shows it, or the id of its workflow' };
const example = '20261121-083600-a1b2c3';

/** `reprise explore ...` */
export function registerExplore(program: Command, cli: Cli): void {
  const explore = group(program, 'explore', 'look at a cluster as it was: temporary instances, read-only');
  defineStart(explore, cli);
  define(explore, cli, {
    usage: 'list [cluster]',
    summary: 'list the temporary instances that there are',
    argumentHelp: { cluster: 'only of this one (default: all)' },
    examples: ['explore list', 'explore list mairie --json'],
    run: async (self, [cluster]) => {
      if (cluster !== undefined) await self.cluster(cluster);
      const instances = await self.withTemporal((session) => listExplorations(session, cluster));
      await self.print({ instances }, (view, screen) => listText(view.instances, screen));
    },
  });
  define(explore, cli, {
    usage: 'show <id>',
    summary: 'show one: what it was restored from, where it stands, until when, how to connect',
    argumentHelp: idHelp,
    examples: [`explore show ${example}`, `explore show explore/mairie/${example} --json`],
    run: async (self, [id = '']) => {
      const found = await self.withTemporal(async (session) => lookAt(session, await find(self, session, id)));
      await self.print(found, (view, screen) => showText(self, view, screen));
    },
  });
  defineConnect(explore, cli);
  define<{ ttl: string; by?: string }>(explore, cli, {
    usage: 'extend <id>',
    summary: 'keep one for so long from now on',
    argumentHelp: idHelp,
    examples: [`explore extend ${example} --ttl 4h`, `explore extend ${example} --ttl 1d --by dba`],
    options: [
      new Option('--ttl <duration>', 'how long it stays from now on').makeOptionMandatory().argParser((text) => {
        parseSeconds(text);
        return text;
      }),
      byOption(),
    ],
    changes: true,
    run: (self, [id = ''], { ttl, by, dryRun }) =>
      changed(self, id, dryRun, `keep it for ${ttl} from now on`, (session, open) =>
        extendExploration(session, open, { by: self.person(by), ttl }),
      ),
  });
  define<{ to: RecoveryTarget; by?: string }>(explore, cli, {
    usage: 'retarget <id>',
    summary: 'move one forward to a later target, by a restart',
    description: 'It never goes back: an earlier target needs another instance. A dump cannot be moved.',
    argumentHelp: idHelp,
    examples: [`explore retarget ${example} --to 2026-11-21T02:20:00Z`, `explore retarget ${example} --to xid:1234`],
    options: [targetOption().makeOptionMandatory(), byOption()],
    changes: true,
    run: (self, [id = ''], { to, by, dryRun }) =>
      changed(self, id, dryRun, `move it to ${formatTarget(to)}`, (session, open) =>
        moveExploration(session, open, { by: self.person(by), to: formatTarget(to) }),
      ),
  });
  define<{ by?: string }>(explore, cli, {
    usage: 'drop <id>',
    summary: 'stop one and remove its files now',
    argumentHelp: idHelp,
    examples: [`explore drop ${example}`, `explore drop ${example} --dry-run`],
    options: [byOption()],
    changes: true,
    takesYes: true,
    run: (self, [id = ''], { by, dryRun = false }) =>
      self.withTemporal(async (session) => {
        const open = await find(self, session, id);
        if (!dryRun) await dropExploration(session, open, { by: self.person(by) });
        await self.print({ dryRun, id: open.id, workflowId: open.workflowId, dropped: !dryRun }, (view) =>
          view.dropped ? `removed ${view.id}` : `would remove ${view.id}`,
        );
      }),
  });
}

function defineStart(parent: Command, cli: Cli): void {
  define<StartOptions>(parent, cli, {
    usage: 'start <cluster>',
    summary: 'restore a cluster as it was at an instant into a temporary instance',
    description: [
      'Production is not touched, and nobody has to approve it. The copy is read-only, archives nothing, reaches no network, and is removed when its time is over.',
      'TARGET is as for `reprise recover`. Without --policy, the first policy that leads there is used: those that keep WAL before dumps.',
    ].join('\n'),
    argumentHelp: { cluster: 'name of the cluster in reprise.yml' },
    examples: [
      'explore start mairie --to 2026-11-21T02:15:00Z',
      'explore start mairie --to before-xid:1234 --ttl 4h',
      'explore start mairie --policy nightly-dump --to latest --on staging1 --detach',
    ],
    options: [
      targetOption().default({ kind: 'latest' }, 'latest'),
      new Option('--timeline <which>', 'N, latest or backup: the history to follow').argParser(parseTimelineChoice),
      policyOption('the first that leads to the target'),
      new Option('--ttl <duration>', 'how long it stays (default: explore.ttl of the cluster, 2h)').argParser(
        parseSeconds,
      ),
      new Option('--on <host>', 'where it is made (default: the host of the cluster)'),
      byOption(),
    ],
    changes: true,
    long: true,
    takesYes: true,
    run: async (self, [cluster = ''], options) => {
      await self.cluster(cluster);
      if (options.policy !== undefined) await self.policy(cluster, options.policy);
      await requireHost(self, options.on);
      const { to: target, timeline, policy, ttl: ttlSeconds, on: host } = options;
      const order = { target, timeline, policy, ttlSeconds, host };
      const request = { cluster, requester: self.person(options.by), order };
      if (options.dryRun) {
        const question = { kind: 'explore-plan' as const, ...request, operationId: newOperationId() };
        const { plan } = await self.withTemporal((session) =>
          interruptible((signal) => runInspection<'explore-plan'>(session, question, signal), options),
        );
        return self.print({ dryRun: true, workflowId: null, plan }, (view, screen) => planText(view.plan, screen));
      }
      await self.withTemporal(async (session) => {
        const operation = await startExploration(session, request);
        if (options.detach)
          return self.print(
            { id: operation.operationId, ...(await detached(self, session, operation.workflowId)) },
            (view, screen) => detachedText(view, screen),
          );
        const found = await untilOpen(self, session, operation, { ...options, cluster });
        await self.print(found, (view, screen) => showText(self, view, screen));
      });
    },
  });
}

/** @throws RepriseError `not-found`: nothing would ever take it up */
async function requireHost(cli: Cli, host: string | undefined): Promise<void> {
  const known = Object.keys((await cli.config()).hosts);
  if (host !== undefined && !known.includes(host))
    throw await unknownName(`there is no host "${host}"`, host, known, 'hosts');
}

async function find(cli: Cli, session: TemporalSession, id: string): Promise<OpenExploration> {
  return findExploration(session, id, Object.keys((await cli.configIfAny())?.clusters ?? {}));
}

/** Waits with progress until it runs. @throws what it failed with; `timeout`, `interrupted`: it goes on */
export async function untilOpen(
  cli: Cli,
  session: TemporalSession,
  operation: StartedOperation,
  options: CommonOptions & { readonly cluster: string },
): Promise<Exploration> {
  const { workflowId, operationId: id, handle } = operation;
  const open = { id, workflowId, cluster: options.cluster, startedAt: new Date().toISOString() };
  const found = await waitUntilSeen(cli, session, operation, options, {
    look: async () => {
      const view = await viewOf(session, handle);
      return view.instance === null ? null : explorationOf(open, view);
    },
    leave: `it continues; see it: \`${cli.command('explore', 'show', id)}\`; remove it: \`${cli.command('explore', 'drop', id)}\``,
  });
  if (found !== null) return found;
  throw new RepriseError('conflict', 'the temporary instance was dropped before it ran', 'start another one');
}

function defineConnect(parent: Command, cli: Cli): void {
  define<{ database?: string; print?: boolean; by?: string }>(parent, cli, {
    usage: 'connect <id>',
    summary: 'look at one with psql; or print how to connect',
    description:
      'On its host, at a terminal, psql is started. Elsewhere, and with --print or --json, the connection string is printed; it holds no password. Who connects is written into the journal.',
    argumentHelp: idHelp,
    examples: [`explore connect ${example}`, `explore connect ${example} --database mairie --print`],
    options: [
      new Option('--database <name>', 'database (default: the first one)'),
      new Option('--print', 'print the connection string only'),
      byOption(),
    ],
    run: (self, [id = ''], { database, print = false, by }) =>
      self.withTemporal(async (session) => {
        const open = await find(self, session, id);
        const instance = await connectExploration(session, open, { by: self.person(by) });
        if (database !== undefined && !instance.databases.includes(database))
          throw await unknownName(`it has no database "${database}"`, database, instance.databases, 'databases');
        const connection = connectionText(instance, database);
        if (print || self.format !== 'table' || !self.terminal.interactive)
          return self.print(
            { id: open.id, host: instance.host, osUser: instance.login?.osUser ?? null, connection },
            (view) => view.connection,
          );
        requireHere(instance, connection);
        if (instance.login?.note) self.say(instance.login.note);
        const exitCode = await self.services.runPsql(connection);
        if (exitCode !== 0)
          throw new RepriseError('tool-failed', `psql ended with ${exitCode}`, 'see what it said above');
      }),
  });
}

/** @throws RepriseError `not-found` where its socket is not: on another host, or as another user of the operating system */
function requireHere({ socketDir, host, login }: OpenedInstance, connection: string): void {
  if (existsSync(socketDir)) return;
  throw new RepriseError(
    'not-found',
    `the socket ${socketDir} is not to be seen here`,
    `on host ${host}, as ${login?.osUser ?? 'its owner'} or root: ${psqlCommand(connection)}`,
  );
}

/** Carries a change out, and shows how it is then. */
function changed(
  cli: Cli,
  id: string,
  dryRun: boolean | undefined,
  what: string,
  change: (session: TemporalSession, open: OpenExploration) => Promise<ExploreView>,
): Promise<void> {
  return cli.withTemporal(async (session) => {
    const open = await find(cli, session, id);
    const view = dryRun ? await lookAt(session, open) : explorationOf(open, await change(session, open));
    await cli.print({ ...(dryRun ? { dryRun } : {}), ...view }, (one, screen) =>
      dryRun ? `would ${what}: ${one.id}` : showText(cli, one, screen),
    );
  });
}

function listText(instances: readonly Exploration[], screen: Screen): string {
  if (instances.length === 0) return 'there are no temporary instances';
  return screenTable(
    ['instance', 'of', 'host', 'target', 'state', 'until', 'for'],
    instances.map(({ id, cluster, host, target, state, expiresAt, requester }) => [
      ...[id, cluster, host ?? '-', target.requested ?? '-', state, instant(expiresAt), requester ?? '-'],
    ]),
    screen,
  );
}

function showText(cli: Cli, one: Exploration, screen: Screen): string {
  const { id, cluster, host, target, state, policy, backups, databases, expiresAt, connection, requester } = one;
  return facts(
    [
      ['instance', id],
      ['of', `${cluster}${host === null ? '' : `, on host ${host}`}`],
      ['state', state],
      ['target', target.requested],
      ['reached', target.reached],
      ['from', policy === null ? null : `${backups.join(', ')} (policy ${policy})`],
      ['databases', databases.length === 0 ? null : databases.join(', ')],
      ['for', requester],
      ['until', expiresAt === null ? null : instant(expiresAt)],
      ['connection', connection],
      ['look at it', connection === null ? null : cli.command('explore', 'connect', id)],
      ['remove it', cli.command('explore', 'drop', id)],
    ],
    screen,
  );
}

function planText(plan: PlannedInstance, screen: Screen): string {
  const { host, dataDir, neededBytes, freeBytes, ttlSeconds, warnings, restore } = plan;
  return [
    facts(
      [
        ['instance', instanceText(plan)],
        ['where', `host ${host}, ${dataDir}`],
        ['room', `${sizeInWords(neededBytes)} are needed, ${sizeInWords(freeBytes)} are free`],
        ['stays', ttlSeconds === null ? null : durationInWords(ttlSeconds)],
        ['stops at', restore.recovery === undefined ? null : formatTarget(restore.recovery.stopsAt)],
      ],
      screen,
    ),
    ...warnings.map((warning) => `note: ${warning}`),
  ].join('\n');
}
