import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findPostgresBin } from '../../src/process/exec/find-programs.js';
import { seedCluster } from '../contract/engine-fixture.js';
import { giveToPostgres, runAsPostgres } from './postgres-user.js';
import { ScratchCluster } from './scratch-cluster.js';
import { copyTemplate } from './templates.js';

const run = promisify(execFile);

/** What a site's files are called; all lie below one directory. */
export interface SitePlaces {
  readonly root: string;
  readonly port: number;
  readonly dataDir: string;
  readonly socketDir: string;
  readonly stateDir: string;
  readonly backupsDir: string;
  readonly configFile: string;
  readonly pgbackrestConf: string;
  /** While this file is there, nothing is archived as long as a pgBackRest backup runs: it waits for its stop WAL. */
  readonly holdArchive: string;
}

export interface SiteConfig {
  /** YAML of `retention:` of both policies. */
  readonly retention: string;
  readonly proof: 'none' | 'verify' | 'restore';
  /** Whether the cluster has a `watch:`. */
  readonly watch: boolean;
  /** Further lines of the cluster, indented by four. */
  readonly clusterYaml: string;
  /** A repository `offsite` as a YAML flow map: the catalogue and the dumps go there instead. */
  readonly offsite?: string;
  /** Engine of the policy `physical`, in place of pgBackRest. */
  readonly physical?: { readonly engine: string; readonly optionsYaml: string; readonly archiveCommand: string };
  /** Further policies, indented by six. */
  readonly policiesYaml: string;
  /** Size of WAL segments: PostgreSQL's default, 16, also where the archive has to begin with the server's first one. */
  readonly segmentMb?: number;
}

export function placesIn(root: string, port: number): SitePlaces {
  return {
    ...{ root, port },
    dataDir: join(root, 'pgdata'),
    socketDir: join(root, 'sock'),
    stateDir: join(root, 'state'),
    backupsDir: join(root, 'backups'),
    configFile: join(root, 'reprise.yml'),
    pgbackrestConf: join(root, 'pgbackrest.conf'),
    holdArchive: join(root, 'hold-archive'),
  };
}

/**
 * The data directory of a stopped cluster with content, of which every site has a copy. WAL segments are small where
 * nothing else is asked for: a sixth of a test's CPU went into compressing, fetching and reading nearly empty ones of 16 MB. The demo and
 * WAL-G's tests keep PostgreSQL's default.
 */
async function makeSiteTemplate(dataDir: string, segmentMb: number): Promise<void> {
  const cluster = await ScratchCluster.create({ initdb: ['--data-checksums', `--wal-segsize=${segmentMb}`] });
  try {
    await seedCluster(cluster, ['mairie']);
    await cluster.stop('fast');
    // The one may lie in memory and the other on a disk: makeTempDir looks what is left for each process of the run.
    await run('mv', [cluster.dataDir, dataDir]);
  } finally {
    await cluster.remove();
  }
}

/** Writes reprise.yml anew; workers read it when they start. */
export async function configure(places: SitePlaces, config: SiteConfig): Promise<void> {
  await writeFile(places.configFile, repriseYaml(places, config), { mode: 0o600 });
}

/** Lays out a site's files; nothing runs yet. */
export async function layOut(places: SitePlaces, config: SiteConfig): Promise<{ binDir: string }> {
  const binDir = await findPostgresBin();
  const { root, dataDir, socketDir, stateDir, pgbackrestConf } = places;
  // REPRISE_PG_BIN may name other programs for one test.
  const programs = createHash('sha256').update(binDir).digest('hex').slice(0, 8);
  const segmentMb = config.segmentMb ?? (config.physical?.engine === 'walg' ? 16 : 4);
  await copyTemplate(`site-${programs}-${segmentMb}`, (path) => makeSiteTemplate(path, segmentMb), dataDir);
  for (const name of [socketDir, ...['repo', 'log', 'lock', 'spool'].map((one) => join(root, 'pgb', one))]) {
    await mkdir(name, { recursive: true, mode: 0o700 });
    await giveToPostgres(name);
  }
  await giveToPostgres(join(root, 'pgb'));
  await mkdir(stateDir, { mode: 0o700 });
  await writeFile(pgbackrestConf, pgbackrestText(places), { mode: 0o600 });
  await giveToPostgres(pgbackrestConf);
  await writeFile(join(root, 'archive-by-pgbackrest'), archiveScript(places), { mode: 0o755 });
  await giveToPostgres(join(root, 'archive-by-pgbackrest'));
  await appendFile(join(dataDir, 'postgresql.conf'), `${settings(places, config.physical?.archiveCommand)}\n`);
  await configure(places, config);
  return { binDir };
}

/** The file log counts how often each command really began, whatever the supervisor believes. */
const pgbackrestText = ({ root, dataDir, port, socketDir }: SitePlaces): string => `[global]
repo1-path=${root}/pgb/repo
log-path=${root}/pgb/log
lock-path=${root}/pgb/lock
spool-path=${root}/pgb/spool
log-level-file=info
log-level-console=off
compress-level=1
start-fast=y
[main]
pg1-path=${dataDir}
pg1-port=${port}
pg1-socket-path=${socketDir}
pg1-user=postgres
`;

const archiveScript = ({ root, pgbackrestConf, holdArchive }: SitePlaces): string => `#!/bin/sh
while [ -f '${holdArchive}' ] && kill -0 "$(head -n 1 '${root}/pgb/lock/main-backup.lock' 2>/dev/null)" 2>/dev/null; do sleep 0.05; done
exec pgbackrest --config='${pgbackrestConf}' --stanza=main --no-neutral-umask archive-push "$1"
`;

/** All statements are logged, so that what pg_dump and pg_restore do can be counted. */
const settings = (
  { root, port, socketDir }: SitePlaces,
  archiveCommand = `${join(root, 'archive-by-pgbackrest')} %p # archive-push --no-neutral-umask`,
): string => `
port = ${port}
unix_socket_directories = '${socketDir}'
archive_mode = on
archive_command = '${archiveCommand}'
log_statement = 'all'
log_line_prefix = 'db=%d pid=%p '`;

/** Half a day from now: a schedule that a test makes starts nothing by itself meanwhile. */
export const dueHour = String((new Date().getUTCHours() + 12) % 24).padStart(2, '0');

const repriseYaml = (
  places: SitePlaces,
  { retention, proof, watch, clusterYaml, policiesYaml, offsite, physical }: SiteConfig,
): string => `version: 1
hosts:
  db1: { state_dir: ${places.stateDir}, timeouts: { heartbeat: 2s } }
repositories:
  local: { type: directory, path: ${places.backupsDir}, host: db1 }
${offsite === undefined ? '' : `  offsite: ${offsite}\n`}clusters:
  mairie:
    host: db1
    connection: { host: ${places.socketDir}, port: ${places.port}, user: postgres }
    data_dir: ${places.dataDir}
    service: { kind: pg_ctl }
    databases: [mairie]
    catalogue: ${offsite === undefined ? 'local' : 'offsite'}
${watch ? '    watch: { every: 1s, failures: 3 }\n' : ''}    backups:
      dump: { engine: logical, repository: ${offsite === undefined ? 'local' : 'offsite'}, schedule: { cron: "30 ${Number(dueHour)} * * *" }, retention: ${retention}, proof: ${proof} }
      physical: { engine: ${physical?.engine ?? 'pgbackrest'}, repository: local, options: ${physical?.optionsYaml ?? `{ stanza: main, config: ${places.pgbackrestConf} }`}, schedule: { cron: "15 ${Number(dueHour)} * * *" }, retention: ${retention}, proof: ${proof} }
${policiesYaml}    recovery:
      targets:
        beside: { host: db1, data_dir: ${join(places.root, 'beside')}, port: ${places.port + 1} }
    approvals:
      recover: { approvers: 1, from: [dba], requester_may_approve: false, approve_within: 4h, execute_within: 1h }
      table-repair: { approvers: 1, from: [dba], requester_may_approve: false }
    checks:
      rows: { type: sql, database: mairie, query: "SELECT count(*) FROM metier.communes", min: 1 }
${clusterYaml}contacts:
  dba: { mail: [dba@example.org] }
`;

/** Runs pg_ctl of the site's server as its user. */
export async function pgCtl(binDir: string, dataDir: string, ...argv: string[]): Promise<void> {
  const options = [...argv, '--pgdata', dataDir, '--silent', '--wait', '--timeout', '240'];
  try {
    await runAsPostgres(join(binDir, 'pg_ctl'), options);
  } catch (error) {
    // The directory goes with the test: what the server said is told now.
    const said = (await readFile(`${dataDir}.log`, 'utf8').catch(() => '')).split('\n').slice(-15).join('\n');
    throw new Error(`${(error as Error).message}\n${said}`, { cause: error });
  }
}
