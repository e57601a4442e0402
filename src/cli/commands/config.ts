import { Option } from 'commander';
import type { Command } from 'commander';
import type { LoadedConfig } from '../../config/load.js';
import type { Override } from '../../config/show.js';
import type { Cli } from '../cli-context.js';
import { registerImport } from './config-import.js';
import { define, group } from '../define-command.js';
import { facts, table } from '../terminal/format.js';

/** `reprise config ...` and `reprise cluster list` */
export function registerConfig(program: Command, cli: Cli): void {
  const config = group(program, 'config', 'check and show the configuration');
  define(config, cli, {
    usage: 'check',
    summary: 'check the configuration; every problem with file, line and column',
    examples: ['config check', 'config check --config /etc/reprise/reprise.yml --json'],
    run: async (self) => {
      const found = await self.config();
      const clusters = Object.keys(found.clusters);
      const policies = Object.values(found.clusters).flatMap((cluster) => Object.values(cluster.policies));
      const counts = { hosts: Object.keys(found.hosts).length, clusters: clusters.length, policies: policies.length };
      const { warnings } = found;
      const told = warnings.length > 0 ? { warnings } : {};
      await self.print({ ok: true, file: found.file, digest: found.digest, ...counts, ...told }, (view) =>
        facts([
          ['file', view.file],
          ['digest', view.digest.slice(0, 12)],
          ['holds', `${view.hosts} hosts, ${view.clusters} clusters, ${view.policies} backup policies`],
          ...warnings.map(({ place, message, hint }): [string, string] => [
            'warning',
            `${place}: ${message} (${hint})`,
          ]),
          ['result', 'no problem found; `reprise doctor` looks at the machine too'],
        ]),
      );
    },
  });
  define<{ origin?: boolean }>(config, cli, {
    usage: 'show',
    summary: 'print the whole resolved configuration, secrets masked',
    examples: ['config show', 'config show --origin', 'config show --json'],
    options: [new Option('--origin', 'say where each value comes from: flag, environment, file:line or default')],
    run: async (self, _args, { origin = false }) => {
      const { readConfig } = await import('../../config/load.js');
      const { configOrigins, resolvedConfig, showConfig } = await import('../../config/show.js');
      const { config: file } = self.globals;
      const loaded: LoadedConfig = await readConfig({
        ...(file === undefined ? {} : { file }),
        env: self.terminal.env,
      });
      const overrides = overridesOf(self);
      const document = {
        file: loaded.config.file,
        config: resolvedConfig(loaded, overrides),
        ...(origin ? { origins: configOrigins(loaded, overrides) } : {}),
      };
      await self.print(document, () => showConfig(loaded, { origin, overrides }));
    },
  });
  registerImport(config, cli);
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
      await self.print({ clusters: lines }, (view) =>
        table(
          ['cluster', 'host', 'port', 'databases', 'policies'],
          view.clusters.map((one) => [
            one.name,
            one.host,
            String(one.port),
            one.databases.join(', '),
            one.policies.map(({ name, enabled }) => `${name}${enabled ? '' : ' (disabled)'}`).join(', '),
          ]),
        ),
      );
    },
  });
}

/** Settings of this run that had the last word over the file. */
function overridesOf(cli: Cli): Override[] {
  const found: Override[] = [];
  const add = (key: 'address' | 'namespace', variable: string): void => {
    const flag = cli.globals[key];
    const environment = cli.terminal.env[variable] || undefined;
    if (flag !== undefined) found.push({ path: ['temporal', key], value: flag, origin: 'flag' });
    else if (environment !== undefined)
      found.push({ path: ['temporal', key], value: environment, origin: 'environment' });
  };
  add('address', 'TEMPORAL_ADDRESS');
  add('namespace', 'TEMPORAL_NAMESPACE');
  return found;
}
