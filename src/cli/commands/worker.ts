import { Option } from 'commander';
import type { Command } from 'commander';
import { hostname } from 'node:os';
import type { Config } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { oneOf } from '../../domain/text/text.js';
import { type Cli, unknownName } from '../cli-context.js';
import { collect, logOptions, logSettings } from '../common-options.js';
import type { LogFlags } from '../common-options.js';
import { define } from '../define-command.js';

/** `reprise worker` */
export function registerWorker(program: Command, cli: Cli): void {
  define<{ host?: readonly string[]; control: boolean } & LogFlags>(program, cli, {
    usage: 'worker',
    summary: 'run a worker until it is stopped',
    description:
      'Queues: reprise, and for each host reprise-NAME, reprise-NAME-heavy, reprise-NAME-recovery, reprise-NAME-media and reprise-NAME-watch. When the worker stops, running jobs continue, and the next worker attaches to them.',
    examples: ['worker --host db1', 'worker --host db1 --host staging1 --no-control'],
    options: [
      new Option('--host <name>', 'host in reprise.yml that this worker serves; may be given several times').argParser(
        collect,
      ),
      new Option('--no-control', 'do not serve the queue reprise (workflows): only the queues of the hosts'),
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
    'the config has several hosts, and none has the name of this machine',
    `name it: ${oneOf('--host', names)}`,
  );
}

async function knownHost(config: Config, host: string): Promise<void> {
  if (config.hosts[host] !== undefined) return;
  throw await unknownName(`there is no host "${host}" in ${config.file}`, host, Object.keys(config.hosts), 'hosts');
}
