import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { walgEngine } from '../../src/engines/walg/walg-engine.js';
import type { WalgOptions } from '../../src/engines/walg/options.js';
import { giveToPostgres, runAsPostgres } from './postgres-user.js';
import { runQuery, startScratchCluster } from './postgres.js';
import type { ScratchCluster, ScratchOptions, ServerAddress } from './postgres.js';
import type { S3Server } from './s3-servers.js';
import { tempDir } from './temp.js';
import { testTools } from './test-tools.js';

/** A throwaway cluster that archives with WAL-G. */
export interface WalgCluster {
  readonly cluster: ScratchCluster;
  readonly options: WalgOptions;
  /** Directory of the backups and the WAL, where no other settings were given. */
  readonly prefix: string;
  /** While this file is there, nothing is archived: the archiver waits. */
  readonly holdFile: string;
  /** While this file is there, archiving fails. */
  readonly failFile: string;
  /** Runs wal-g by hand, as the cluster's user; returns what it printed. */
  walg(...args: string[]): Promise<string>;
  /** The same connected to another server, such as one that was recovered. */
  walgOn(server: ServerAddress, ...args: string[]): Promise<string>;
}

export interface WalgSettings extends ScratchOptions {
  /** Lines of the environment file; `@PREFIX@` in them is the directory made for it. */
  readonly env?: readonly string[];
}

/**
 * WAL-G 0.2.19 calls functions that PostgreSQL 15 gave other names; with these it backs up a 15 as it does a 14. Of 14
 * the tests have no pg_waldump, without which the end of the log cannot be read.
 */
export const renamedFunctions = `
  CREATE FUNCTION pg_start_backup(label text, fast boolean, exclusive boolean) RETURNS pg_lsn LANGUAGE sql AS 'SELECT pg_backup_start(label, fast)';
  CREATE FUNCTION pg_stop_backup(exclusive boolean, OUT lsn pg_lsn, OUT labelfile text, OUT spcmapfile text) LANGUAGE sql AS 'SELECT * FROM pg_backup_stop()'`;

/** Lines of an environment file for a bucket of a server with TLS. */
export async function walgOnS3(s3: S3Server, bucket: string): Promise<readonly string[]> {
  const ca = s3.caFile ?? '';
  // PostgreSQL's user runs WAL-G.
  await chmod(dirname(ca), 0o755);
  await chmod(ca, 0o644);
  return [
    `export WALG_S3_PREFIX=s3://${bucket}/postgres`,
    `export AWS_ENDPOINT="${s3.endpoint}"`,
    ...['export AWS_S3_FORCE_PATH_STYLE=true', 'export AWS_REGION=us-east-1'],
    `export AWS_ACCESS_KEY_ID='${s3.accessKeyId}'`,
    `export AWS_SECRET_ACCESS_KEY='${s3.secretAccessKey}'`,
    `export WALG_S3_CA_CERT_FILE=${ca}`,
  ];
}

/** A policy of a site that keeps its backups in a directory, `prefix`, or where the lines of `env` say. */
export async function walgPolicy(env?: readonly string[]) {
  const place = await tempDir('walg');
  await chmod(place, 0o755);
  const [envFile, prefix] = [join(place, 'asso.env'), join(place, 'storage')];
  await mkdir(prefix, { mode: 0o700 });
  await giveToPostgres(prefix);
  await writeFile(envFile, `${(env ?? [`export WALG_FILE_PREFIX="${prefix}"`]).join('\n')}\n`, { mode: 0o600 });
  await giveToPostgres(envFile);
  const options = { envFile, binary: testTools.walg(), archiveTimeoutSeconds: 240 };
  const archiveCommand = walgEngine.physical?.archiveCommand({ policy: { options } } as never) ?? '';
  const optionsYaml = `{ env_file: ${envFile}, binary: ${options.binary} }`;
  return { prefix, physical: { engine: 'walg', optionsYaml, archiveCommand } } as const;
}

export async function startWalgCluster({ env, ...settings }: WalgSettings = {}): Promise<WalgCluster> {
  const root = await tempDir('walg');
  await chmod(root, 0o755);
  const [envFile, prefix, holdFile, failFile, script] = [
    join(root, 'walg.env'),
    join(root, 'storage'),
    join(root, 'hold'),
    join(root, 'fail'),
    join(root, 'archive'),
  ];
  await mkdir(prefix, { mode: 0o700 });
  await giveToPostgres(prefix);
  await writeFile(
    envFile,
    [
      '# made for a test',
      ...(env ?? ['export WALG_FILE_PREFIX="@PREFIX@"']).map((line) => line.replace('@PREFIX@', prefix)),
      'WALG_PREVENT_WAL_OVERWRITE=true',
      '',
    ].join('\n'),
    { mode: 0o600 },
  );
  await giveToPostgres(envFile);
  const options: WalgOptions = { envFile, binary: testTools.walg(), archiveTimeoutSeconds: 240 };
  const command = walgEngine.physical?.archiveCommand({ policy: { options } } as never) ?? '';
  await writeFile(
    script,
    `#!/bin/sh\nwhile [ -e '${holdFile}' ]; do sleep 0.05; done\n[ ! -e '${failFile}' ] || exit 1\n${command.replaceAll('%p', '$1').replaceAll('%%', '%')}\n`,
  );
  await chmod(script, 0o755);
  const cluster = await startScratchCluster({ ...settings, archive: `${script} %p # wal-push` });
  if ((settings.version ?? 15) >= 15) await runQuery(cluster, 'postgres', renamedFunctions);
  const walgOn = ({ host, port }: ServerAddress, ...args: string[]): Promise<string> =>
    runAsPostgres('/bin/sh', [
      '-c',
      'set -a; . "$1"; set +a; shift; exec env "$@"',
      'wal-g',
      envFile,
      `PGHOST=${host}`,
      `PGPORT=${port}`,
      'PGUSER=postgres',
      'PGDATABASE=postgres',
      testTools.walg(),
      ...args,
    ]);
  return { ...{ cluster, options, prefix, holdFile, failFile, walgOn }, walg: (...args) => walgOn(cluster, ...args) };
}
