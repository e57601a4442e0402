import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { withWal } from '../../src/activities/feeding.js';
import type { Engine, EngineContext, RecoveryOutline } from '../../src/engines/engine.js';
import { pgbackrestEngine } from '../../src/engines/pgbackrest/pgbackrest-engine.js';
import type { PgbackrestOptions } from '../../src/engines/pgbackrest/options.js';
import { readControlData } from '../../src/postgres/control-data.js';
import { configureRecovery, promote, waitForEndOfWal, waitForPause } from '../../src/postgres/recovery.js';
import { serviceOf } from '../../src/postgres/service.js';
import { onCleanup } from './cleanup.js';
import { freePort } from './ports.js';
import { giveToPostgres, runAsPostgres } from './postgres-user.js';
import { startScratchCluster } from './postgres.js';
import type { ScratchCluster, ScratchOptions, ServerAddress } from './postgres.js';
import { tempDir } from './temp.js';

export const STANZA = 'mairie';

/** A throwaway cluster that archives with pgBackRest into a repository of its own. */
export interface BackrestCluster {
  readonly cluster: ScratchCluster;
  readonly config: string;
  readonly repository: string;
  readonly options: PgbackrestOptions;
  /** While this file is there, nothing is archived as long as a pgBackRest backup runs. */
  readonly holdFile: string;
  /** While this file is there, archiving fails. */
  readonly failFile: string;
  /** Runs pgbackrest by hand, as the cluster's user; returns what it printed. */
  pgbackrest(...args: string[]): Promise<string>;
}

export async function startBackrestCluster(settings: ScratchOptions = {}, extraConfig: readonly string[] = []): Promise<BackrestCluster> {
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
      `while [ -f '${holdFile}' ] && kill -0 "$(holder)" 2>/dev/null; do sleep 0.05; done`,
      `[ ! -f '${failFile}' ] || exit 1`,
      `exec pgbackrest --config='${config}' --stanza=${STANZA} --no-neutral-umask archive-push "$1"`,
      '',
    ].join('\n'),
  );
  await chmod(script, 0o755);
  const cluster = await startScratchCluster({ ...settings, archive: `${script} %p # archive-push --no-neutral-umask` });
  await writeFile(
    config,
    [
      '[global]',
      ...[`repo1-path=${root}/repo`, `log-path=${root}/log`, `lock-path=${root}/lock`, `spool-path=${root}/spool`],
      ...['log-level-file=off', ...(extraConfig.some((line) => line.startsWith('compress-')) ? [] : ['compress-level=1']), ...extraConfig],
      `[${STANZA}]`,
      ...[`pg1-path=${cluster.dataDir}`, `pg1-port=${cluster.port}`, `pg1-socket-path=${cluster.socketDir}`, `pg1-user=${cluster.user}`, ''],
    ].join('\n'),
    { mode: 0o600 },
  );
  await giveToPostgres(config);
  return {
    ...{ cluster, config, holdFile, failFile },
    repository: join(root, 'repo'),
    options: { stanza: STANZA, config, type: 'auto', fullEverySeconds: 604_800, archiveTimeoutSeconds: 30 },
    pgbackrest: (...args) => runAsPostgres('pgbackrest', [`--config=${config}`, `--stanza=${STANZA}`, ...args]),
  };
}

/** A server recovered from a backup, in a directory of its own. */
export interface Recovered extends ServerAddress {
  readonly dataDir: string;
  promote(): Promise<void>;
  remove(): Promise<void>;
}

/** Restores the files of an outline's backup beside the source and recovers to the target, as a recovery would. */
export async function recoverBeside(
  context: EngineContext,
  outline: Pick<RecoveryOutline, 'backups' | 'target' | 'timeline' | 'walEnd'>,
  { salvageDir = null, clone = true, engine = pgbackrestEngine }: { readonly salvageDir?: string | null; readonly clone?: boolean; readonly engine?: Engine } = {},
): Promise<Recovered> {
  const root = await tempDir('recovered');
  const dataDir = join(root, 'data');
  const { physical } = engine;
  const [backup] = outline.backups;
  if (physical === undefined || backup === undefined) throw new Error('there is nothing to restore');
  await physical.restoreFiles(context, { backup, dataDir, tablespaceDir: join(root, 'tablespaces') });
  const port = await freePort();
  const { user, pgBin } = context;
  await configureRecovery({
    ...{ dataDir, user, target: outline.target, salvageDir, port, clone },
    restoreCommand: physical.restoreCommand(context),
    restoreBeginningCommand: physical.restoreBeginningCommand?.(context),
    // With the test's own programs, which may not be those found on this host.
    control: await readControlData(pgBin, dataDir, user),
    timeline: outline.timeline ?? 'latest',
    extra: { unix_socket_directories: root },
  });
  const service = serviceOf({ dataDir, logFile: join(root, 'server.log') }, pgBin, user);
  onCleanup(() => service.stop('immediate'));
  const connection = { ...context.cluster.connection, host: '127.0.0.1', port };
  await withWal(physical, context, dataDir, async (signal) => {
    await service.start();
    const options = { service, signal, pollMs: 50 };
    return outline.target.kind === 'latest' ? waitForEndOfWal(connection, outline.walEnd, options) : waitForPause(connection, options);
  });
  return {
    ...{ host: '127.0.0.1', port, user: connection.user, socketDir: root, dataDir },
    promote: async () => void (await promote(connection)),
    remove: () => service.stop('immediate'),
  };
}
