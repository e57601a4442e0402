import { Option } from 'commander';
import type { Command } from 'commander';
import { hostname } from 'node:os';
import type { Config } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import type { Cli } from '../cli-context.js';
import { define } from '../define-command.js';
import { facts } from '../terminal/format.js';
import { collect, logOptions, logSettings } from '../common-options.js';
import type { LogFlags } from '../common-options.js';
import type { DemoScenario, UpResult } from '../services.js';

/** What starts and stops Reprise itself: `up`, `down`, `worker`, `demo`, `version`. */
export function registerLifecycle(program: Command, cli: Cli): void {
  defineUp(program, cli);
  defineDown(program, cli);
  defineWorker(program, cli);
  defineDemo(program, cli);
  define(program, cli, {
    usage: 'version',
    summary: 'print the version',
    examples: ['version', 'version --json'],
    run: async (self) => {
      const version = await self.services.version();
      await self.print({ version }, (view) => `reprise ${view.version}`);
    },
  });
}

function defineUp(program: Command, cli: Cli): void {
  define<LogFlags>(program, cli, {
    usage: 'up',
    summary: 'start the embedded Temporal server, its Web UI and a worker for this config',
    description: 'State is kept over restarts, in the state directory of the first host. Listens on 127.0.0.1 only.',
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
      await self.print({ ...(options.dryRun ? { dryRun: true } : {}), ...result }, upText);
    },
  });
}

function defineDown(program: Command, cli: Cli): void {
  define(program, cli, {
    usage: 'down',
    summary: 'stop the worker and the embedded Temporal server; running jobs are left alone',
    examples: ['down', 'down --dry-run'],
    changes: true,
    run: async (self, _args, options) => {
      const config = await self.config();
      const result = await self.services.down({
        config,
        dryRun: options.dryRun === true,
        report: (line) => self.say(line),
      });
      const text = 'jobs that were running go on; the next `reprise up` takes them up';
      await self.print(
        { ...(options.dryRun ? { dryRun: true } : {}), ...result },
        (view) => `worker ${view.worker}, Temporal ${view.temporal}\n${text}`,
      );
    },
  });
}

function defineWorker(program: Command, cli: Cli): void {
  define<{ host?: readonly string[]; control: boolean } & LogFlags>(program, cli, {
    usage: 'worker',
    summary: 'run a worker until it is stopped',
    description:
      'Queues: reprise, and for each host reprise-NAME, reprise-NAME-heavy and reprise-NAME-recovery. When it stops, jobs\ngo on, and the next worker takes them up.',
    examples: ['worker --host db1', 'worker --host db1 --host staging1 --no-control'],
    options: [
      new Option('--host <name>', 'host of the config it works on; may be given several times').argParser(collect),
      new Option('--no-control', 'no workflows: only the queues of the hosts'),
      ...logOptions(),
    ],
    run: async (self, _args, options) => {
      const log = logSettings(options, self.terminal.env);
      const config = await self.config();
      const hosts = options.host ?? [ownHost(config)];
      for (const host of hosts) await knownHost(config, host);
      const temporal = await self.temporalSettings();
      self.say(`worker for ${hosts.join(', ')} on ${temporal.address} (${temporal.namespace}); stop it with Ctrl-C`);
      await self.services.runWorker({ config, hosts, control: options.control, log, temporal });
    },
  });
}

function defineDemo(program: Command, cli: Cli): void {
  define<{ scenario: DemoScenario; keep?: boolean; dir?: string }>(program, cli, {
    usage: 'demo',
    summary: 'lose a real database and get it back: everything embedded, nothing of this machine touched',
    description: 'Exit 0 only when every table matches the log of the client that wrote it.',
    examples: ['demo', 'demo --yes --json', 'demo --keep'],
    options: [
      new Option('--scenario <name>', 'what happens')
        .choices(['instance-loss', 'table-corruption', 'drill'])
        .default('instance-loss'),
      new Option('--keep', 'leave everything running at the end, to look around'),
      new Option('-y, --yes', 'do not ask: approve the plan as `demo`'),
      new Option('--dir <path>', "where its directory is made; absent: the system's temporary one"),
    ],
    run: async (self, _args, { scenario, keep = false, yes = false, dir }) => {
      const json = self.format !== 'table';
      const { result, text } = await self.services.demo({
        scenario,
        keep,
        yes,
        json,
        ...(dir === undefined ? {} : { dir }),
        out: (line) => self.say(line),
      });
      await self.print(result, () => text);
      if (!result.recovered)
        throw new RepriseError(
          'check-failed',
          'what came back is not what was there',
          'keep everything with --keep and read the report',
        );
    },
  });
}

/** The host this is, where the config leaves no doubt. */
function ownHost(config: Config): string {
  const names = Object.keys(config.hosts);
  const [only] = names;
  if (only !== undefined && names.length === 1) return only;
  const short = hostname().split('.')[0] ?? '';
  const found = names.find((name) => name === hostname() || name === short);
  if (found !== undefined) return found;
  throw new RepriseError(
    'usage',
    'the config has several hosts, and none is called like this machine',
    `name it: --host ${names.join(' | ')}`,
  );
}

async function knownHost(config: Config, host: string): Promise<void> {
  if (config.hosts[host] !== undefined) return;
  const { didYouMean } = await import('../../config/suggest.js');
  throw new RepriseError(
    'not-found',
    `there is no host "${host}" in ${config.file}`,
    didYouMean(host, Object.keys(config.hosts), 'hosts'),
  );
}

function upText(result: UpResult): string {
  return [
    facts([
      ['Web UI', result.webUi],
      [
        'Temporal',
        `${result.address}, ${result.temporal.state}${result.temporal.pid === null ? '' : ` (pid ${result.temporal.pid})`}`,
      ],
      ['worker', `${result.worker.state}${result.worker.pid === null ? '' : ` (pid ${result.worker.pid})`}`],
      ['state', result.stateDir],
      ['logs', result.logs.join(', ')],
    ]),
    'next: reprise schedule apply, then reprise backup run CLUSTER; reprise down stops it',
  ].join('\n');
}
