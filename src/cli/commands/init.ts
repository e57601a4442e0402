import { Option } from 'commander';
import type { Command } from 'commander';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { RepriseError } from '../../domain/errors.js';
import type { FoundCluster } from '../../domain/found-cluster.js';
import type { Cli } from '../cli-context.js';
import { define } from '../define-command.js';
import { counted, facts } from '../terminal/tables.js';
import { shellWord } from '../../domain/text/text.js';

interface InitOptions {
  readonly stateDir: string;
  readonly repository: string;
  readonly pgbackrest?: string;
}

interface InitView {
  readonly file: string;
  readonly yaml: string;
  readonly clusters: readonly FoundCluster[];
  readonly directories: readonly string[];
  readonly next: readonly string[];
  readonly dryRun?: true;
}

/** `reprise init` */
export function registerInit(program: Command, cli: Cli): void {
  define<InitOptions>(program, cli, {
    usage: 'init',
    summary: 'write a first reprise.yml for the clusters of this machine, and make its directories',
    description:
      'Clusters are those of `pg_lsclusters` and of pgbackrest.conf. Writes ./reprise.yml, or what --config or $REPRISE_CONFIG names, and never overwrites it.',
    examples: ['init --dry-run', 'init --config /etc/reprise/reprise.yml --repository /mnt/backup/postgres'],
    options: [
      new Option('--state-dir <dir>', 'directory of job records, plans and the ledger').default('/var/lib/reprise'),
      new Option('--repository <dir>', 'directory of the backups; better on another disk or machine').default(
        '/var/backups/reprise',
      ),
      new Option('--pgbackrest <file>', 'pgbackrest.conf (default: where pgBackRest looks for it)'),
    ],
    changes: true,
    run: async (self, _args, options) => {
      const file = resolve(self.globals.config ?? (self.terminal.env['REPRISE_CONFIG'] || 'reprise.yml'));
      const { assertAbsent, writeFirstConfig, firstConfig } = await import('../../config/first-config.js');
      await assertAbsent(file);
      const directories = [resolve(options.stateDir), resolve(options.repository)];
      const [stateDir = '', repository = ''] = directories;
      const clusters = await self.services.findClusters(
        options.pgbackrest === undefined ? undefined : resolve(options.pgbackrest),
      );
      const [first] = clusters;
      if (first === undefined)
        throw new RepriseError(
          'not-found',
          'no cluster of PostgreSQL was found on this machine: pg_lsclusters lists none, and pgbackrest.conf names none',
          'name pgbackrest.conf (--pgbackrest FILE), or write the file by hand: examples/minimal.yml',
        );
      const yaml = firstConfig({ host: hostname().split('.')[0] ?? 'db1', stateDir, repository, clusters }, file);
      if (options.dryRun !== true) {
        for (const directory of directories) await self.services.makeDirectory(directory, first.dataDir);
        await writeFirstConfig(file, yaml);
      }
      const view: InitView = {
        ...(options.dryRun === true ? { dryRun: true } : {}),
        ...{ file, yaml, clusters, directories, next: nextSteps(file, first) },
      };
      await self.print(view, initText);
    },
  });
}

/** The worker is the owner of the data: whoever else ran `init` goes on as that user. */
function nextSteps(file: string, { owner }: FoundCluster): readonly string[] {
  const as = owner === null ? '' : `sudo -u ${shellWord(owner)} `;
  return ['config check', 'up', 'doctor', 'schedule apply'].map(
    (command) => `${as}reprise ${command} --config ${file}`,
  );
}

function initText({ dryRun, file, yaml, clusters, directories, next }: InitView): string {
  const list = facts(
    clusters.map(({ name, port, dataDir, databases, stanza }): [string, string] => [
      name,
      `port ${port}, ${dataDir}, ${databases === null ? 'no connection was possible' : counted(databases.length, 'database')}${stanza === null ? '' : `, stanza ${stanza.name}`}`,
    ]),
  );
  if (dryRun === true) return [list, `would make ${directories.join(' and ')}, and write ${file}:`, yaml].join('\n\n');
  return [
    list,
    `made ${directories.join(' and ')}, and wrote ${file}`,
    `next:\n${next.map((step) => `  ${step}`).join('\n')}`,
  ].join('\n\n');
}
