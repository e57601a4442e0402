import { Option } from 'commander';
import type { Command } from 'commander';
import type { LoadedConfig } from '../../config/load.js';
import type { Override } from '../../config/show.js';
import type { Cli } from '../cli-context.js';
import { define, group } from '../define-command.js';
import { counted, facts } from '../terminal/tables.js';
import { readFile, writeFile } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import type { GivenFile, Imported } from '../../config/import/import.js';
import { BIND_IT, UNBOUND, cannotAsk, unboundActions } from '../../domain/approval/approval-policy.js';
import type { Config, ConfigWarning } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';

/** `reprise config ...` */
export function registerConfig(program: Command, cli: Cli): void {
  const config = group(program, 'config', 'check and show the configuration');
  define(config, cli, {
    usage: 'check',
    summary: 'check the configuration; every problem with file, line and column',
    examples: ['config check', 'config check --config /etc/reprise/reprise.yml --json'],
    run: async (self) => {
      const { readConfig } = await import('../../config/load.js');
      const loaded = await readConfig({ file: self.globals.config, env: self.terminal.env });
      const found = loaded.config;
      const clusters = Object.keys(found.clusters);
      const policies = Object.values(found.clusters).flatMap((cluster) => Object.values(cluster.policies));
      const counts = { hosts: Object.keys(found.hosts).length, clusters: clusters.length, policies: policies.length };
      const warnings = [...found.warnings, ...unboundPolicies(loaded), ...unapprovable(found)];
      const told = warnings.length > 0 ? { warnings } : {};
      await self.print({ ok: true, file: found.file, digest: found.digest, ...counts, ...told }, (view) =>
        facts([
          ['file', view.file],
          ['digest', view.digest.slice(0, 12)],
          [
            'holds',
            `${counted(view.hosts, 'host')}, ${counted(view.clusters, 'cluster')}, ${view.policies} backup ${view.policies === 1 ? 'policy' : 'policies'}`,
          ],
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
      const loaded: LoadedConfig = await readConfig({ file: self.globals.config, env: self.terminal.env });
      const overrides = overridesOf(self);
      const document = {
        file: loaded.config.file,
        config: resolvedConfig(loaded, overrides),
        origins: origin ? configOrigins(loaded, overrides) : undefined,
      };
      await self.print(document, () => showConfig(loaded, { origin, overrides }));
    },
  });
  registerImport(config, cli);
}

/** Policies by which a plan may wait for an approval that nobody can give. */
function unapprovable({ clusters, file }: Config): readonly ConfigWarning[] {
  return Object.values(clusters).flatMap(({ name, approvals }) =>
    Object.entries(approvals).flatMap(([action, policy]): ConfigWarning[] => {
      const people = cannotAsk(policy);
      if (people.length === 0) return [];
      return [
        {
          key: `clusters.${name}.approvals.${action}.from`,
          place: `${file}: clusters.${name}.approvals.${action}`,
          message: `nobody can approve what ${people.join(' or ')} asks for: who asks may not approve, and too few others are named`,
          hint: 'let somebody else ask (--by NAME), add people to from:, or set requester_may_approve: true',
        },
      ];
    }),
  );
}

/**
 * Policies that promise more than they hold, where the file says so itself: the default promises nothing. Not told by each
 * worker at its start; `doctor` tells it of a server that others can reach.
 */
function unboundPolicies({ config: { clusters }, source, label }: LoadedConfig): readonly ConfigWarning[] {
  return Object.values(clusters).flatMap(({ name, approvals }) =>
    unboundActions(approvals).flatMap((action): ConfigWarning[] => {
      const path = ['clusters', name, 'approvals', action, 'requester_may_approve'];
      const line = source.lineOf(path);
      if (line === undefined) return [];
      return [{ key: path.join('.'), place: `${label}:${line}`, message: UNBOUND, hint: BIND_IT }];
    }),
  );
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

interface ImportOptions {
  readonly global: string;
  readonly postgres: string;
  readonly pgbackrest?: string;
  readonly write?: string;
  readonly overwrite?: boolean;
}

/** `reprise config import` */
function registerImport(parent: Command, cli: Cli): void {
  define<ImportOptions>(parent, cli, {
    usage: 'import',
    summary: 'make a reprise.yml of config_global.yml and config_postgres.yml',
    description:
      'The result goes to stdout; stderr lists which keys were read and which were not. No password is copied.',
    examples: [
      'config import --global config/config_global.yml --postgres config/config_postgres.yml',
      'config import --global config_global.yml --postgres config_postgres.yml --pgbackrest /etc/pgbackrest/pgbackrest.conf --write reprise.yml',
    ],
    options: [
      new Option('--global <file>', 'config_global.yml, with backup.postgres').makeOptionMandatory(),
      new Option('--postgres <file>', 'config_postgres.yml, with connection').makeOptionMandatory(),
      new Option('--pgbackrest <file>', 'an existing pgbackrest.conf, for a policy of engine pgbackrest'),
      new Option('--write <file>', 'write the result there (default: stdout)'),
      new Option('--overwrite', 'with --write: replace an existing file'),
    ],
    run: async (self, _args, options) => {
      const { importConfig } = await import('../../config/import/import.js');
      const target = resolve(options.write ?? 'reprise.yml');
      const { pgbackrest } = options;
      const imported = importConfig({
        global: await given(options.global),
        postgres: await given(options.postgres),
        pgbackrest: pgbackrest === undefined ? undefined : { ...(await given(pgbackrest)), path: resolve(pgbackrest) },
        target,
      });
      if (options.write !== undefined) await write(target, imported.yaml, options.overwrite === true);
      if (self.format === 'table') self.say(report(imported));
      await self.print({ file: options.write === undefined ? null : target, ...imported }, ({ yaml }) =>
        options.write === undefined ? yaml : `wrote ${target}`,
      );
    },
  });
}

async function given(file: string): Promise<GivenFile> {
  try {
    return { text: await readFile(file, 'utf8'), label: basename(file) };
  } catch (error) {
    throw new RepriseError(
      'config-not-found',
      `${file} cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'unknown'}`,
      'name the file by its path on this machine',
    );
  }
}

async function write(target: string, text: string, overwrite: boolean): Promise<void> {
  try {
    await writeFile(target, text, { mode: 0o644, flag: overwrite ? 'w' : 'wx' });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST')
      throw new RepriseError(
        'conflict',
        `${target} exists already and is not overwritten`,
        'name another file, or give --overwrite',
      );
    throw new RepriseError(
      'config-invalid',
      `${target} cannot be written: ${code ?? 'unknown'}`,
      'name a place that this user may write to',
    );
  }
}

function report({ read, notRead, added, warnings, next }: Imported): string {
  const block = (title: string, lines: readonly string[]): string =>
    lines.length === 0 ? '' : `${title}\n${lines.map((line) => `  ${line}`).join('\n')}`;
  return [
    block(
      'read:',
      read.map(({ from, to }) => `${from}  ->  ${to}`),
    ),
    block(
      'not read:',
      notRead.map(({ from, to }) => `${from}  (${to})`),
    ),
    block('added:', added),
    block('warning:', warnings),
    block(
      'next:',
      next.map((step, index) => `${index + 1}. ${step}`),
    ),
  ]
    .filter(Boolean)
    .join('\n');
}
