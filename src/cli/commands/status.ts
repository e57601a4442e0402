import { Option } from 'commander';
import type { Command } from 'commander';
import { setTimeout as sleep } from 'node:timers/promises';
import { RepriseError } from '../../domain/errors.js';
import { lightQueue } from '../../domain/operation/names.js';
import { waitsForPerson } from '../../domain/operation/status.js';
import { heldInWords } from '../../domain/table/hold-text.js';
import { durationInWords } from '../../domain/text/text.js';
import type { TemporalSession } from '../../client/connect.js';
import {
  driftInWords,
  mixedVersions,
  mixedVersionsInWords,
  withOtherConfig,
  workerConfigs,
} from '../../client/config-drift.js';
import type { WorkerConfig } from '../../client/config-drift.js';
import { polledQueues } from '../../client/pollers.js';
import { watchOperation } from '../../client/follow-operation.js';
import { detailsOf, failureIn, isFinal, statusOf } from '../../client/status.js';
import type { StatusView } from '../../client/status.js';
import { listRunningOperations } from '../../client/running-operations.js';
import type { RunningOperation } from '../../client/running-operations.js';
import type { Cli } from '../cli-context.js';
import { remember } from '../remember.js';
import { define } from '../define-command.js';
import { detailsText } from '../terminal/details-text.js';
import { besideOrBelow, facts, instant, type Screen, screenTable } from '../terminal/tables.js';
import { interruptible, milliseconds } from '../long-operation.js';
import { parseSeconds } from '../common-options.js';
import { recoveryEndText } from '../terminal/outcome-text.js';
import { ProgressDisplay, progressLine } from '../terminal/progress.js';
import type { IncidentOutput, RecoverOutput } from '../../workflows/api.js';

const argumentHelp = { workflow: 'workflow id (default: all running operations)' };
/** Between two looks at all operations: longer where nothing changes, as Temporal Cloud counts every look. */
const POLL_MS = 2000;
const LONGEST_POLL_MS = 10_000;

/** Kinds of workflows that run all the time, or tell people beside what they are told of. */
const PERMANENT: ReadonlySet<string> = new Set(['watch', 'archive', 'notify']);

/** `reprise status` and `reprise watch` */
export function registerStatus(program: Command, cli: Cli): void {
  define(program, cli, {
    usage: 'status [workflow]',
    summary: 'show running operations and what each waits for',
    argumentHelp,
    examples: ['status', 'status recover/mairie/20261121-083600-a1b2c3 --json'],
    run: (self, [workflowId]) =>
      self.withTemporal(async (session) => {
        const workers = await reportDrift(self, session);
        if (workflowId === undefined)
          return self.print({ works: await runningOperations(self, session), ...workers }, ({ works }, screen) =>
            operationsText(self, works, screen),
          );
        const view = await statusOf(session, workflowId, { jobs: true });
        const details = await detailsToShow(session, view);
        await self.print({ ...view, ...(details === null ? {} : { details }), ...workers }, (_, screen) =>
          statusText({ ...view, details, next: whatNext(self, view) }, screen),
        );
      }),
  });
  define<{ timeout?: number }>(program, cli, {
    usage: 'watch [workflow]',
    summary: 'follow an operation until it ends, or all until none is running',
    description:
      'On a terminal: one live line for each phase. Otherwise: a line for each change, and one every 30 s while it works. With --json: one document for each change. Ctrl-C stops watching; the operation continues.',
    argumentHelp,
    examples: ['watch', 'watch backup/mairie/nightly-dump --json'],
    options: [new Option('--timeout <duration>', 'stop watching after this time (exit 124)').argParser(parseSeconds)],
    run: (self, [workflowId], options) =>
      interruptible((signal) =>
        workflowId === undefined ? watchAll(self, options, signal) : watchOne(self, workflowId, options, signal),
      ),
  });
}

/** What `status` says of workers in JSON; `versions` only where they differ. */
interface WorkerDrift {
  readonly drift: readonly Omit<WorkerConfig, 'version'>[];
  readonly versions?: Readonly<Record<string, readonly string[]>>;
}

/**
 * Workers with another configuration than ours, and workers of different versions, said to people too; without a
 * configuration here there is none to compare.
 */
async function reportDrift(cli: Cli, session: TemporalSession): Promise<WorkerDrift> {
  const config = await cli.config().catch(() => null);
  if (config === null) return { drift: [] };
  const warn = (message: string, fix: string): void => {
    if (cli.format === 'table') cli.say(`warning: ${message}\nHINT: ${fix}`);
  };
  const workers = workerConfigs(await polledQueues(session, config, (host) => [lightQueue(host)]));
  const drift = withOtherConfig(workers, config);
  for (const worker of drift) {
    const { message, fix } = driftInWords(worker, config);
    warn(`${message}: operations that change data are refused there`, fix);
  }
  const versions = mixedVersions(workers);
  if (versions !== null) {
    const { message, fix } = mixedVersionsInWords(versions);
    warn(message, fix);
  }
  return {
    drift: drift.map(({ host, worker, config: theirs }) => ({ host, worker, config: theirs })),
    ...(versions === null ? {} : { versions: Object.fromEntries(versions) }),
  };
}

async function watchOne(
  cli: Cli,
  workflowId: string,
  options: { timeout?: number },
  signal: AbortSignal,
): Promise<void> {
  await cli.withTemporal(async (session) => {
    const display = statusDisplay(cli);
    const followCommand = cli.command('watch', workflowId);
    const view = await watchOperation(session, workflowId, {
      ...display,
      followCommand,
      timeoutMs: milliseconds(options),
      signal,
    }).finally(display.end);
    if (cli.format === 'table') await cli.print(view, statusText);
    if (view.state === 'completed') return printResult(cli, session, view);
    // How it ended is the result of watching it: the failure itself, with its own code and hint.
    await session.client.workflow.getHandle(workflowId).result();
    if (view.state === 'rejected')
      throw new RepriseError(
        'approval-refused',
        `${workflowId} was rejected`,
        `how it ended, and what it left: ${cli.command('status', workflowId)}`,
      );
  });
}

/** What a recovery, or that of an incident, came to: how it ended, where, and what to do next. */
async function printResult(cli: Cli, session: TemporalSession, view: StatusView): Promise<void> {
  const ended = await recoveryOf(session, view.workflowId);
  if (ended === null) return;
  const { plan, outcome, nothingToDo } = ended.result;
  if (cli.format === 'table') {
    const config = (await cli.configIfAny().catch(() => undefined)) ?? null;
    return cli.stream({}, (_, screen) => `\n${recoveryEndText(cli, ended.workflowId, ended.result, config, screen)}`);
  }
  await cli.stream({ ...view, recovery: ended.workflowId, result: { plan, nothingToDo, ...outcome } }, () => '');
}

/** A recovery that has ended, by its own id or by that of its incident; null for everything else. */
async function recoveryOf(
  session: TemporalSession,
  workflowId: string,
): Promise<{ readonly workflowId: string; readonly result: RecoverOutput } | null> {
  const resultOf = <T>(id: string): Promise<T> => session.client.workflow.getHandle(id).result() as Promise<T>;
  if (workflowId.startsWith('recover/')) return { workflowId, result: await resultOf<RecoverOutput>(workflowId) };
  if (!workflowId.startsWith('incident/')) return null;
  const { recovery } = await resultOf<IncidentOutput>(workflowId);
  // One that was dismissed or rejected has no result to show.
  const result = recovery === null ? null : await resultOf<RecoverOutput>(recovery).catch(() => null);
  return recovery === null || result === null ? null : { workflowId: recovery, result };
}

/** People see progress: live on a terminal, else as lines of the output. Programs get a document for every change. */
function statusDisplay(cli: Cli): {
  readonly onStatus: (view: StatusView) => void | Promise<void>;
  readonly end: () => void;
} {
  const { terminal } = cli;
  if (cli.format === 'table') {
    const say = (line: string): void => (terminal.live ? cli.say(line) : terminal.out(`${line}\n`));
    const display = new ProgressDisplay(terminal, say, cli.progressScreen.zone);
    return { onStatus: (view) => display.update(view), end: () => display.clear() };
  }
  let last = '';
  const onStatus = async (view: StatusView): Promise<void> => {
    const text = JSON.stringify(view);
    if (text !== last) await cli.stream(view, () => '');
    last = text;
  };
  return { onStatus, end: () => undefined };
}

async function watchAll(cli: Cli, options: { timeout?: number }, signal: AbortSignal): Promise<void> {
  const until = options.timeout === undefined ? Infinity : performance.now() + options.timeout * 1000;
  const again = `all operations continue; follow them again: \`${cli.command('watch')}\``;
  await cli.withTemporal(async (session) => {
    let last = '';
    let pause = POLL_MS;
    let seen: readonly string[] = [];
    while (!signal.aborted) {
      const works = await runningOperations(cli, session);
      const running = works.filter(({ kind }) => !PERMANENT.has(kind)).map(({ workflowId }) => workflowId);
      const ended = seen.filter((workflowId) => !running.includes(workflowId));
      seen = running;
      const text = JSON.stringify(works);
      if (text !== last)
        await cli.stream(
          { works },
          (view, screen) => `${new Date().toISOString()}\n${operationsText(cli, view.works, screen)}\n`,
        );
      for (const workflowId of ended) await printEnd(cli, session, workflowId);
      // Watches and the receiving of WAL never end: there is nothing more to wait for.
      if (running.length === 0)
        return works.length > 0 && cli.format === 'table'
          ? cli.stream({}, () => 'what is left never ends: there is nothing more to follow')
          : undefined;
      pause = text === last ? Math.min(pause * 1.2, LONGEST_POLL_MS) : POLL_MS;
      last = text;
      if (performance.now() > until) throw new RepriseError('timeout', 'stopped watching after --timeout', again);
      await sleep(pause, undefined, { signal }).catch(() => undefined);
    }
    throw new RepriseError('interrupted', 'stopped watching', again);
  });
}

/** How an operation ended that was followed with the others. */
async function printEnd(cli: Cli, session: TemporalSession, workflowId: string): Promise<void> {
  const view = await statusOf(session, workflowId, { jobs: false });
  await cli.stream(view, ({ state }) => `${workflowId} has ended: ${state}`);
  if (view.state === 'completed') await printResult(cli, session, view);
}

/** Also for completion, which then offers them. */
async function runningOperations(cli: Cli, session: TemporalSession): Promise<readonly RunningOperation[]> {
  const operations = await listRunningOperations(session);
  await remember(cli, { operations });
  return operations;
}

/** All running operations, then the command that says what each waits for. */
function operationsText(cli: Cli, operations: readonly RunningOperation[], screen: Screen): string {
  if (operations.length === 0) return 'no operation is running';
  const lines = screenTable(
    ['workflow', 'state', 'started'],
    operations.map(({ workflowId, state, startedAt }) => [workflowId, state, instant(startedAt)]),
    screen,
  );
  const waiting = operations.filter(({ state }) => waitsForPerson(state));
  const frozen = operations.flatMap(({ workflowId, held, endedIncident }) => {
    if (held?.since == null) return [];
    const ended = endedIncident === undefined ? '' : `\n    ${endedIncident} has ended: nothing else releases it`;
    return [`  ${heldInWords(held)}: ${cli.command('table', 'release', workflowId)}${ended}`];
  });
  return [
    lines,
    ...(frozen.length === 0 ? [] : [`tables that take no writes, and how they are released:\n${frozen.join('\n')}`]),
    ...(waiting.length === 0
      ? []
      : [
          `waiting for a person; what to do is shown by:\n${waiting.map(({ workflowId }) => `  ${cli.command('status', workflowId)}`).join('\n')}`,
        ]),
  ].join('\n\n');
}

/**
 * An incident is decided on its figures; what else people decide has a plan of its own. What was rejected or failed says why, and what it
 * left; what was terminated has not said it.
 */
async function detailsToShow(
  session: TemporalSession,
  { kind, state, workflowId, terminated, finishedAt }: StatusView,
): Promise<string | null> {
  const shows = isFinal(state) ? state !== 'completed' && terminated !== true : kind === 'incident';
  const details = shows && state !== 'waiting-worker' ? await detailsOf(session, workflowId) : null;
  // Without a worker that answers, the failure alone.
  return details ?? (state === 'failed' && finishedAt !== null ? failureIn(session, workflowId) : null);
}

/** What to do where nothing is done any more, because it did not come to its end; null: the operation says it itself. */
function whatNext(cli: Cli, { state, kind, cluster, incident, terminated }: StatusView): string | null {
  if (!isFinal(state) || state === 'completed') return null;
  const lines: string[] = [];
  if (terminated === true) {
    lines.push(
      `it was terminated and nothing of it goes on; what it left is shown by: ${cli.command('check', cluster)}`,
    );
    if (kind === 'incident')
      lines.push(
        `a repair or recovery of it goes on by itself: ${cli.command('status')}; to go on with the incident, open another one`,
      );
  }
  if (incident !== undefined) lines.push(`its incident, and what that waits for: ${cli.command('status', incident)}`);
  return lines.length === 0 ? null : lines.join('\n');
}

function statusText(
  view: StatusView & { readonly details?: string | null; readonly next?: string | null },
  screen: Screen,
): string {
  const jobs = view.jobs.map((job) => [
    job.tool,
    job.state,
    job.pid === null ? '-' : String(job.pid),
    String(job.starts),
    job.key,
  ]);
  const phases = view.phases.map(({ name, seconds }) => [
    name,
    seconds === null ? 'running' : durationInWords(seconds),
  ]);
  const link = besideOrBelow('Web UI:', ' ', view.webUi, screen.columns);
  return [
    facts(
      [
        ['workflow', view.workflowId],
        ['part of', view.incident ?? null],
        ['state', view.terminated === true ? 'terminated' : view.state],
        ['waiting for', view.waitingFor],
        ['plan', view.plan],
        [
          'retrying',
          view.retrying === null ? null : `attempt ${view.retrying.attempt}, because ${view.retrying.reason}`,
        ],
        ['progress', view.progress === null ? null : progressLine(view)],
        ['started', instant(view.startedAt)],
        ['finished', view.finishedAt === null ? null : instant(view.finishedAt)],
      ],
      screen,
    ).concat('\n', link),
    view.details == null ? '' : detailsText(view.details, screen),
    view.next ?? '',
    phases.length > 0 ? screenTable(['phase', 'time'], phases, screen) : '',
    jobs.length > 0 ? screenTable(['tool', 'state', 'pid', 'starts', 'job'], jobs, screen) : '',
  ]
    .filter(Boolean)
    .join('\n\n');
}
