import type { Command } from 'commander';
import { RepriseError } from '../../domain/errors.js';
import type { TemporalSession } from '../../client/connect.js';
import {
  listSchedules,
  scheduleLine,
  pauseSchedule,
  resumeSchedule,
  triggerSchedule,
} from '../../client/schedules/operate-schedules.js';
import type { ScheduleLine } from '../../client/schedules/operate-schedules.js';
import { applySchedules, planSchedules } from '../../client/schedules/apply-schedules.js';
import type { ScheduleChange } from '../../client/schedules/apply-schedules.js';
import { attributesMissing } from '../../domain/operation/search-attributes.js';
import { missingSearchAttributes, registerMissingSearchAttributes } from '../../client/search-attributes.js';
import type { AttributeCheck } from '../../client/search-attributes.js';
import { applyWatches, planWatches } from '../../client/schedules/apply-watches.js';
import type { WatchChange } from '../../client/schedules/apply-watches.js';
import type { Cli } from '../cli-context.js';
import { reasonOption, timeOption } from '../common-options.js';
import { remember } from '../remember.js';
import { liveCount } from '../terminal/progress.js';
import { define, group } from '../define-command.js';
import { facts, instant, type Screen, screenTable } from '../terminal/tables.js';
import { MOST_STARTS, backfill, backfillStarts } from '../../client/schedules/backfill.js';
import type { BackfillStart } from '../../client/schedules/backfill.js';

const id = { id: 'as `schedule list` shows it; mairie/nightly-dump is enough' };

interface Reconciled {
  readonly schedules: readonly ScheduleChange[];
  readonly watches: readonly WatchChange[];
  readonly searchAttributes: AttributeCheck;
}

/** `reprise schedule ...` */
export function registerSchedule(program: Command, cli: Cli): void {
  const schedule = group(
    program,
    'schedule',
    'apply the schedules and watches of reprise.yml; pause, resume and trigger them',
  );
  define(schedule, cli, {
    usage: 'plan',
    summary: 'show what apply would change',
    examples: ['schedule plan', 'schedule plan --json'],
    run: (self) => self.withTemporal(async (session) => showPlan(self, session)),
  });
  define(schedule, cli, {
    usage: 'apply',
    summary: 'create, update and delete the schedules of Reprise; start and stop its watches',
    description: 'Changes only schedules that Reprise made from this configuration. A paused schedule stays paused.',
    examples: ['schedule apply', 'schedule apply --dry-run'],
    changes: true,
    takesYes: true,
    run: (self, _args, options) =>
      self.withTemporal((session) => (options.dryRun ? showPlan(self, session) : apply(self, session))),
  });
  defineList(schedule, cli);
  defineOperations(schedule, cli);
  registerBackfill(schedule, cli);
}

async function showPlan(cli: Cli, session: TemporalSession): Promise<void> {
  const config = await cli.config();
  const result: Reconciled = {
    schedules: await planSchedules(session, config),
    watches: await planWatches(session, config),
    searchAttributes: { missing: await missingSearchAttributes(session).catch(() => []) },
  };
  await cli.print({ dryRun: true, ...result }, (view, screen) => reconciledText(view, false, screen));
}

async function apply(cli: Cli, session: TemporalSession): Promise<void> {
  const config = await cli.config();
  // First, because no workflow can be started without them.
  const searchAttributes = await registerMissingSearchAttributes(session);
  const result: Reconciled = {
    searchAttributes,
    schedules: await applySchedules(session, config, liveCount(cli.terminal, 'schedules')),
    watches: await applyWatches(session, config),
  };
  await cli.print({ ...result }, (view, screen) => reconciledText(view, true, screen));
  if (searchAttributes.refused !== undefined) {
    throw attributesMissing(session.settings.namespace, searchAttributes.missing, searchAttributes.refused);
  }
}

function defineList(parent: Command, cli: Cli): void {
  define(parent, cli, {
    usage: 'list',
    summary: 'list the schedules of Reprise with their next and missed runs',
    examples: ['schedule list', 'schedule list --json'],
    run: async (self) => {
      const schedules = await self.withTemporal(listSchedules);
      await remember(self, { schedules });
      await self.print({ schedules }, (view, screen) => scheduleTable(view.schedules, screen));
      for (const { id: name, missedRuns } of schedules) {
        if (missedRuns !== null && missedRuns > 0)
          self.say(
            `warning: ${name} missed ${missedRuns} run${missedRuns === 1 ? '' : 's'}, later than its catch-up window; run it now: reprise schedule trigger ${name}`,
          );
      }
    },
  });
}

function defineOperations(parent: Command, cli: Cli): void {
  define<{ reason: string }>(parent, cli, {
    usage: 'pause <id>',
    summary: 'stop a schedule from running, until `resume`; `apply` does not end the pause',
    argumentHelp: id,
    examples: [
      'schedule pause mairie/nightly-dump --reason "storage maintenance"',
      'schedule pause reprise/mairie/physical --reason migration',
    ],
    options: [reasonOption()],
    changes: true,
    run: (self, [given = ''], options) =>
      operate(self, given, options.dryRun, 'pause', (session) =>
        pauseSchedule(session, given, `${self.person(undefined)}: ${options.reason}`),
      ),
  });
  define(parent, cli, {
    usage: 'resume <id>',
    summary: 'resume a paused schedule',
    argumentHelp: id,
    examples: ['schedule resume mairie/nightly-dump', 'schedule resume reprise/mairie/physical'],
    changes: true,
    run: (self, [given = ''], options) =>
      operate(self, given, options.dryRun, 'resume', (session) =>
        resumeSchedule(session, given, `resumed by ${self.person(undefined)}`),
      ),
  });
  define(parent, cli, {
    usage: 'trigger <id>',
    summary: "run a schedule's backup or drill now",
    argumentHelp: id,
    examples: ['schedule trigger mairie/nightly-dump', 'schedule trigger reprise/mairie/physical --json'],
    changes: true,
    run: async (self, [given = ''], options) => {
      if (options.dryRun) return operate(self, given, true, 'trigger', (session) => scheduleLine(session, given));
      const workflowId = await self.withTemporal((session) => triggerSchedule(session, given));
      if (workflowId === null)
        throw new RepriseError(
          'conflict',
          `${given} is running already: nothing was started`,
          'follow it with `reprise status`',
        );
      await self.print(
        { id: given, workflowId },
        () => `started ${workflowId}\n  follow it: ${self.command('watch', workflowId)}`,
      );
    },
  });
}

async function operate(
  cli: Cli,
  given: string,
  dryRun: boolean | undefined,
  what: string,
  run: (session: TemporalSession) => Promise<ScheduleLine>,
): Promise<void> {
  await cli.withTemporal(async (session) => {
    const schedule = await (dryRun ? scheduleLine(session, given) : run(session));
    await cli.print(
      { dryRun, would: dryRun ? what : undefined, schedule },
      (view, screen) => `${dryRun ? `would ${what}:\n` : ''}${scheduleFacts(view.schedule, screen)}`,
    );
  });
}

function scheduleTable(schedules: readonly ScheduleLine[], screen: Screen): string {
  if (schedules.length === 0) return 'no schedules yet: `reprise schedule apply` makes them';
  const rows = schedules.map((one) => [
    one.id,
    one.paused ? 'paused' : 'on',
    one.paused ? '-' : instant(one.nextRuns[0]),
    instant(one.lastRun),
    one.missedRuns === null ? '-' : String(one.missedRuns),
    one.note ?? '',
  ]);
  return screenTable(['schedule', 'state', 'next run', 'last run', 'missed', 'note'], rows, screen);
}

function scheduleFacts(schedule: ScheduleLine, screen: Screen): string {
  const pairs: readonly (readonly [string, string | null])[] = [
    ['schedule', schedule.id],
    ['state', schedule.paused ? 'paused' : 'on'],
    ['note', schedule.note],
    ['next runs', schedule.paused ? 'none while paused' : schedule.nextRuns.map(instant).join(', ')],
    ['last run', instant(schedule.lastRun)],
    ['missed runs', schedule.missedRuns === null ? null : String(schedule.missedRuns)],
  ];
  return facts(pairs, screen);
}

function reconciledText({ schedules, watches, searchAttributes }: Reconciled, done: boolean, screen: Screen): string {
  const rows = [
    ...schedules.map((change) => [change.action, change.id, change.reasons.join('; ')]),
    ...watches.map((change) => [change.action, change.workflowId, change.reasons.join('; ')]),
    ...searchAttributes.missing.map((name) => [done ? 'missing' : 'create', name, 'search attribute']),
  ];
  const changes = rows.filter(([action]) => action !== 'none' && action !== 'leave').length;
  const last =
    changes === 0
      ? 'nothing to change: all schedules agree with the configuration'
      : done
        ? `${changes} done`
        : `${changes} to do: \`reprise schedule apply\``;
  return `${rows.length > 0 ? `${screenTable(['action', 'what', 'why'], rows, screen)}\n` : ''}${last}`;
}

/** `reprise schedule backfill` */
function registerBackfill(parent: Command, cli: Cli): void {
  define<{ from: string; to: string }>(parent, cli, {
    usage: 'backfill <id>',
    summary: 'start the runs that a schedule missed',
    description: [
      `Starts the runs that were due between two past times, one after the other, at most ${MOST_STARTS}. Each makes a backup of`,
      'the present data, so one run (`schedule trigger`) is often enough. None of them rotates: a backfill removes nothing.',
    ].join(' '),
    argumentHelp: { id: 'as `schedule list` shows it; mairie/nightly-dump is enough' },
    examples: [
      'schedule backfill mairie/nightly-dump --from 2026-11-18T00:00:00Z --to 2026-11-20T12:00:00Z --dry-run',
      'schedule backfill mairie/nightly-dump --from 2026-11-20T02:00:00+01:00 --to 2026-11-20T03:00:00+01:00',
    ],
    options: [
      timeOption('--from <time>', 'start of the range').makeOptionMandatory(),
      timeOption('--to <time>', 'end of the range, at least two minutes ago').makeOptionMandatory(),
    ],
    changes: true,
    run: async (self, [id = ''], { from, to, dryRun }) => {
      const config = await self.config();
      const starts = await self.withTemporal((session) =>
        (dryRun ? backfillStarts : backfill)(session, config, id, { from, to }),
      );
      await self.print({ dryRun, id, from, to, starts }, (view, screen) =>
        startsText(view.starts, dryRun === true, screen),
      );
      const first = starts.find(({ alreadyStarted }) => !alreadyStarted);
      if (!dryRun && first)
        self.say(`they run one after the other; follow the first: ${self.command('watch', first.workflowId)}`);
    },
  });
}

function startsText(starts: readonly BackfillStart[], dryRun: boolean, screen: Screen): string {
  const what = ({ alreadyStarted }: BackfillStart) =>
    alreadyStarted ? 'ran already' : dryRun ? 'would start' : 'starts';
  return screenTable(
    ['workflow', 'due', 'what'],
    starts.map((one) => [one.workflowId, one.at, what(one)]),
    screen,
  );
}
