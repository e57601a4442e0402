import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PgbackrestOptions } from '../../src/engines/pgbackrest/options.js';
import { giveToPostgres, runAsPostgres } from './postgres-user.js';
import { startScratchCluster } from './postgres.js';
import type { ScratchCluster, ScratchOptions } from './postgres.js';
import { tempDir } from './temp.js';

export const STANZA = 'mairie';

/** A throwaway cluster that archives with pgBackRest into a repository of its own. */
export interface BackrestCluster {
  readonly cluster: ScratchCluster;
  readonly config: string;
  readonly repository: string;
  readonly options: PgbackrestOptions;
  /** While this file is there, nothing is archived as long as a pgBackRest backup runs; with the name of a segment in it, nothing after that. */
  readonly holdFile: string;
  /** While this file is there, archiving fails. */
  readonly failFile: string;
  /** Runs pgbackrest by hand, as the cluster's user; returns what it printed. */
  pgbackrest(...args: string[]): Promise<string>;
}

export async function startBackrestCluster(
  settings: ScratchOptions = {},
  extraConfig: readonly string[] = [],
): Promise<BackrestCluster> {
  const root = await tempDir('pgbackrest');
  const config = join(root, 'pgbackrest.conf');
  const [holdFile, failFile, script] = [join(root, 'hold'), join(root, 'fail'), join(root, 'archive-by-pgbackrest')];
  const lock = join(root, 'lock', `${STANZA}-backup.lock`);
  for (const name of ['repo', 'lock', 'log', 'spool']) {
    await mkdir(join(root, name), { mode: 0o700 });
    await giveToPostgres(join(root, name));
  }
  await writeFile(
    script,
    [
      '#!/bin/sh',
      String.raw`holder() { sed -n 's/.*"pid":\([0-9]*\).*/\1/p' '${lock}' 2>/dev/null; }`,
      `isHeld() { [ -f '${holdFile}' ] && ! expr "\${1##*/}" '<=' "$(cat '${holdFile}')" >/dev/null; }`,
      `while isHeld "$1" && kill -0 "$(holder)" 2>/dev/null; do sleep 0.05; done`,
      `[ ! -f '${failFile}' ] || exit 1`,
      `exec pgbackrest --config='${config}' --stanza=${STANZA} --no-neutral-umask archive-push "$1"`,
      '',
    ].join('\n'),
  );
  await chmod(script, 0o755);
  const cluster = await startScratchCluster({
    ...settings,
    // Nearly empty segments cost less to compress, fetch and read; each costs a start of pgBackRest, so that they are not the smallest.
    initdb: ['--wal-segsize=4', ...(settings.initdb ?? [])],
    archive: `${script} %p # archive-push --no-neutral-umask`,
  });
  await writeFile(
    config,
    [
      '[global]',
      ...(extraConfig.some((line) => line.startsWith('repo1-path=')) ? [] : [`repo1-path=${root}/repo`]),
      ...[`log-path=${root}/log`, `lock-path=${root}/lock`, `spool-path=${root}/spool`],
      ...[
        'log-level-file=off',
        ...(extraConfig.some((line) => line.startsWith('compress-')) ? [] : ['compress-level=1']),
        ...extraConfig,
      ],
      `[${STANZA}]`,
      ...[
        `pg1-path=${cluster.dataDir}`,
        `pg1-port=${cluster.port}`,
        `pg1-socket-path=${cluster.socketDir}`,
        `pg1-user=${cluster.user}`,
        '',
      ],
    ].join('\n'),
    { mode: 0o600 },
  );
  await giveToPostgres(config);
  return {
    ...{ cluster, config, holdFile, failFile },
    repository: join(root, 'repo'),
    options: { stanza: STANZA, config, type: 'auto', fullEverySeconds: 604_800, archiveTimeoutSeconds: 240 },
    pgbackrest: (...args) => runAsPostgres('pgbackrest', [`--config=${config}`, `--stanza=${STANZA}`, ...args]),
  };
}
