import type { Command } from 'commander';
import { pauseWatch, resumeWatch } from '../../client/decide.js';
import { RepriseError } from '../../domain/errors.js';
import type { Cli } from '../cli-context.js';
import { byOption, reasonOption, timeOption } from '../common-options.js';
import { type CommonOptions, define, group } from '../define-command.js';
import { screenTable } from '../terminal/tables.js';

/** `reprise cluster ...` */
export function registerCluster(program: Command, cli: Cli): void {
  const cluster = group(program, 'cluster', 'the clusters of the configuration');
  define(cluster, cli, {
    usage: 'list',
    summary: 'list the clusters with their policies',
    examples: ['cluster list', 'cluster list --json'],
    run: async (self) => {
      const { clusters } = await self.config();
      const lines = Object.values(clusters).map(({ name, host, connection, databases, policies, catalogue }) => ({
        name,
        host,
        port: connection.port,
        databases,
        catalogue,
        policies: Object.values(policies).map((policy) => ({
          name: policy.name,
          engine: policy.engine,
          repository: policy.repository,
          enabled: policy.enabled,
        })),
      }));
      await self.print({ clusters: lines }, (view, screen) =>
        screenTable(
          ['cluster', 'host', 'port', 'databases', 'policies'],
          view.clusters.map((one) => [
            one.name,
            one.host,
            String(one.port),
            one.databases.join(', '),
            one.policies.map(({ name, enabled }) => `${name}${enabled ? '' : ' (disabled)'}`).join(', '),
          ]),
          screen,
        ),
      );
    },
  });
  registerWatch(cluster, cli);
}

type WatchOptions = CommonOptions & { readonly reason: string; readonly by?: string; readonly until?: string };

function registerWatch(cluster: Command, cli: Cli): void {
  const watch = group(cluster, 'watch', 'pause and resume the watch of a cluster, as around a planned restart');
  const argumentHelp = { cluster: 'name of the cluster in reprise.yml' };
  define<WatchOptions>(watch, cli, {
    usage: 'pause <cluster>',
    summary: 'look at nothing until a time, or until `resume`: no incident is opened meanwhile',
    argumentHelp,
    examples: [
      'cluster watch pause mairie --reason "minor upgrade" --until 2026-11-28T23:30:00+01:00',
      'cluster watch pause mairie --reason "new disk" --dry-run',
    ],
    options: [reasonOption(), timeOption('--until <time>', 'when it looks again by itself'), byOption()],
    changes: true,
    run: async (self, [name = ''], options) => {
      const { reason, until = null } = options;
      await requireWatched(self, name);
      const pause = { by: self.person(options.by), reason, until };
      if (until !== null && Date.parse(until) <= Date.now())
        throw new RepriseError('usage', `--until ${until} is over`, 'name a time to come');
      if (options.dryRun !== true) await self.withTemporal((session) => pauseWatch(session, name, pause));
      await self.print(
        { dryRun: options.dryRun, cluster: name, state: 'paused', ...pause },
        () =>
          `${options.dryRun ? 'would pause' : 'paused'} the watch of ${name}${until === null ? '' : ` until ${until}`}\n  to resume: ${self.command('cluster', 'watch', 'resume', name, '--reason', '...')}`,
      );
      if (until === null) self.say(`nobody watches ${name} until it is resumed; --until names an end`);
    },
  });
  define<WatchOptions>(watch, cli, {
    usage: 'resume <cluster>',
    summary: 'look again, from now on',
    argumentHelp,
    examples: [
      'cluster watch resume mairie --reason "upgrade is done"',
      'cluster watch resume mairie --reason "the disk is in" --by dba',
    ],
    options: [reasonOption(), byOption()],
    changes: true,
    run: async (self, [name = ''], options) => {
      await requireWatched(self, name);
      const decision = { by: self.person(options.by), reason: options.reason };
      const { resumed } = options.dryRun
        ? { resumed: true }
        : await self.withTemporal((session) => resumeWatch(session, name, decision));
      await self.print({ dryRun: options.dryRun, cluster: name, state: 'running', resumed, ...decision }, (view) =>
        view.resumed
          ? `${options.dryRun ? 'would resume' : 'resumed'} the watch of ${name}`
          : `the watch of ${name} was not paused`,
      );
    },
  });
}

/** @throws RepriseError `not-found` for a cluster that is not in the configuration, or that the configuration does not have watched */
async function requireWatched(cli: Cli, name: string): Promise<void> {
  if ((await cli.cluster(name)).watch === undefined)
    throw new RepriseError('not-found', `the configuration does not have ${name} watched`, `add watch: to the cluster`);
}
