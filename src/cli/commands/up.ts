import type { Command } from 'commander';
import type { Config } from '../../domain/config.js';
import type { UpResult } from '../../domain/embedded-server.js';
import { waitingLink } from '../../domain/operation/names.js';
import type { Cli } from '../cli-context.js';
import { logOptions, logSettings } from '../common-options.js';
import type { LogFlags } from '../common-options.js';
import { define } from '../define-command.js';
import { backupCommand } from '../terminal/backup-text.js';
import { besideOrBelow, facts } from '../terminal/tables.js';

/** `reprise up` and `reprise down` */
export function registerUp(program: Command, cli: Cli): void {
  defineUp(program, cli);
  defineDown(program, cli);
}

function defineUp(program: Command, cli: Cli): void {
  define<LogFlags>(program, cli, {
    usage: 'up',
    summary: 'start the embedded Temporal server, its Web UI and a worker for this config',
    description:
      'Its state is kept in the state directory of the first host, also after a restart. Listens on 127.0.0.1 only.',
    examples: ['up', 'up --config /etc/reprise/reprise.yml --json'],
    options: logOptions(),
    changes: true,
    run: async (self, _args, options) => {
      const config = await self.config();
      const result = await self.services.up({
        config,
        dryRun: options.dryRun === true,
        log: logSettings(options, self.terminal.env),
        report: (line) => self.say(line),
      });
      const next = options.dryRun || self.format !== 'table' ? null : await nextSteps(self, config);
      await self.print({ dryRun: options.dryRun, ...result }, (view, { columns }) => upText(view, next, columns));
    },
  });
}

function defineDown(program: Command, cli: Cli): void {
  define(program, cli, {
    usage: 'down',
    summary: 'stop the worker and the embedded Temporal server; running jobs continue',
    examples: ['down', 'down --dry-run'],
    changes: true,
    run: async (self, _args, options) => {
      const config = await self.config();
      const result = await self.services.down({
        config,
        dryRun: options.dryRun === true,
        report: (line) => self.say(line),
      });
      const text = 'running jobs continue; the next `reprise up` attaches to them';
      await self.print(
        { dryRun: options.dryRun, ...result },
        (view) => `worker ${view.worker}, Temporal ${view.temporal}\n${text}`,
      );
    },
  });
}

/** After a restart schedules and watches stand as they were: only what is not done yet is a next step. */
async function nextSteps(cli: Cli, config: Config): Promise<string> {
  const first = [cli.command('schedule', 'apply'), backupCommand(cli, config)].join(', then ');
  const [{ planSchedules }, { planWatches }] = await Promise.all([
    import('../../client/schedules/apply-schedules.js'),
    import('../../client/schedules/apply-watches.js'),
  ]);
  try {
    return await cli.withTemporal(async (session) => {
      const changes = [...(await planSchedules(session, config)), ...(await planWatches(session, config))];
      const isApplied = ({ action }: { readonly action: string }): boolean => action === 'none' || action === 'leave';
      const isNew = ({ action }: { readonly action: string }): boolean => action === 'create' || action === 'start';
      if (changes.length > 0 && changes.every(isNew)) return first;
      if (!changes.every(isApplied))
        return `${cli.command('schedule', 'apply')}: schedules or watches differ from the configuration`;
      return `${cli.command('status')}; schedules and watches are those of the configuration`;
    });
  } catch {
    // What `up` was to do is done: only the hint is missing.
    return first;
  }
}

function upText(result: UpResult, next: string | null, columns: number | undefined): string {
  return [
    facts([
      ['Web UI', result.webUi],
      [
        'Temporal',
        `${result.address}, ${result.temporal.state}${result.temporal.pid === null ? '' : ` (pid ${result.temporal.pid})`}`,
      ],
      ['worker', `${result.worker.state}${result.worker.pid === null ? '' : ` (pid ${result.worker.pid})`}`],
      ...result.access.map(({ what, who }): [string, string] => [`reach ${what}`, who]),
      ['state', result.stateDir],
      ['logs', result.logs.join(', ')],
    ]),
    besideOrBelow('what waits:', ' ', waitingLink(result), columns),
    ...(next === null ? [] : [`next: ${next}`]),
    'reprise down stops it',
  ].join('\n');
}
