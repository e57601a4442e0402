import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ClusterConfig, Config } from '../domain/config.js';
import { isRepriseError } from '../domain/errors.js';
import type { Finding } from '../domain/findings.js';
import { engineOf } from '../engines/registry.js';
import { withClient } from '../postgres/connect.js';
import { archivingState } from '../postgres/archiving.js';
import type { ArchivingState } from '../postgres/archiving.js';
import { requireProgram } from '../process/binaries.js';
import { encryptionFindings } from './encryption.js';
import { looked, ok, warning, wrong } from './finding.js';
import { localPathOf } from './repository.js';
import { toolFindings } from './tools.js';

/** More than this between two clocks makes times in plans and reports wrong. */
const CLOCK_SECONDS = 5;

interface Server {
  readonly versionNum: number;
  readonly clockSeconds: number;
  readonly archiving: ArchivingState;
}

/** One cluster as this host sees it: server, tools, archive, copies, approvals. */
export async function clusterFindings(config: Config, cluster: ClusterConfig): Promise<readonly Finding[]> {
  const check = `cluster/${cluster.name}`;
  const server = await lookAtServer(cluster);
  const version = 'versionNum' in server ? server.versionNum : await versionOnDisk(cluster);
  const parts = await Promise.all([
    looked(`${check}/passfile`, () => passfileFindings(cluster)),
    looked(`${check}/data_dir`, () => dataDirFindings(cluster)),
    looked(`${check}/tools`, () => toolFindings(cluster, version)),
    looked(`${check}/copies`, () => copyFindings(config, cluster)),
    encryptionFindings(config, cluster),
    looked(`${check}/hooks`, () => hookFindings(cluster)),
  ]);
  return [
    ...('versionNum' in server ? serverFindings(cluster, server) : [server]),
    ...parts.flat(),
    ...policyFindings(cluster),
  ];
}

async function lookAtServer(cluster: ClusterConfig): Promise<Server | Finding> {
  const { connection, name } = cluster;
  try {
    return await withClient(connection, connection.maintenanceDatabase, async (client) => {
      const { rows } = await client.query<{ version: number; now: number }>(
        "SELECT current_setting('server_version_num')::int AS version, extract(epoch FROM clock_timestamp())::float8 AS now",
      );
      const row = rows[0] ?? { version: 0, now: 0 };
      return { versionNum: row.version, clockSeconds: row.now - Date.now() / 1000, archiving: await archivingState(client) };
    });
  } catch (error) {
    const message = isRepriseError(error) ? error.message : String(error);
    const fix = `start the server, or correct the connection of ${name}, pg_hba.conf or the password file`;
    return wrong(`cluster/${name}/connection`, `cluster ${name}: ${message}`, fix);
  }
}

function serverFindings(cluster: ClusterConfig, server: Server): readonly Finding[] {
  const check = `cluster/${cluster.name}`;
  const { host, port } = cluster.connection;
  const findings = [ok(`${check}/connection`, `cluster ${cluster.name}: PostgreSQL ${Math.floor(server.versionNum / 10_000)}.${server.versionNum % 10_000} answers at ${host}:${port}`)];
  if (Math.abs(server.clockSeconds) > CLOCK_SECONDS) {
    findings.push(warning(`${check}/clock`, `the clock of the server of ${cluster.name} differs by ${server.clockSeconds.toFixed(0)} s from this one`, 'have both follow the same time servers (chrony, systemd-timesyncd)'));
  }
  return [...findings, ...archiveFindings(cluster, server.archiving)];
}

function archiveFindings(cluster: ClusterConfig, { mode, command, lastArchived, lastFailed }: ArchivingState): readonly Finding[] {
  const check = `cluster/${cluster.name}/archiving`;
  const archiving = Object.values(cluster.policies).filter(({ enabled, engine }) => enabled && engineOf(engine).capabilities.archivesWal);
  const [first] = archiving;
  if (first === undefined) {
    if (mode !== 'off' && command === '') return [warning(check, `cluster ${cluster.name} keeps all its WAL: archive_mode is on, archive_command is empty`, 'set archive_command, or archive_mode=off')];
    return [ok(check, `cluster ${cluster.name}: no policy archives WAL, so there is no recovery to a point in time`)];
  }
  if (mode === 'off') return [wrong(check, `cluster ${cluster.name}: policy ${first.name} (${first.engine}) needs WAL archiving, and archive_mode is off`, `set archive_mode=on and the archive_command of ${first.engine}, then restart the server`)];
  if (command === '' || command === '(disabled)') return [wrong(check, `cluster ${cluster.name}: archive_command is empty, WAL piles up in pg_wal`, `set the archive_command of ${first.engine}, then reload`)];
  if (lastFailed !== null && lastFailed > (lastArchived ?? '')) return [wrong(check, `cluster ${cluster.name}: archiving fails, last on ${lastFailed}`, "see the server's log for what archive_command said")];
  return [ok(check, `cluster ${cluster.name}: WAL is archived, last ${lastArchived ?? 'nothing yet'}`)];
}

/** libpq ignores a password file that others may read. */
async function passfileFindings({ name, connection }: ClusterConfig): Promise<readonly Finding[]> {
  const { passfile } = connection;
  if (passfile === undefined) return [];
  const check = `cluster/${name}/passfile`;
  const found = await stat(passfile).catch(() => null);
  if (found === null) return [wrong(check, `the password file ${passfile} is not there, or not to be read by this user`, `write it (host:port:database:user:password), then chmod 600 ${passfile}`)];
  if ((found.mode & 0o077) !== 0) return [wrong(check, `the password file ${passfile} is open to others, so PostgreSQL's programs ignore it`, `chmod 600 ${passfile}`)];
  return [ok(check, `the password file ${passfile} is owner-only`)];
}

async function dataDirFindings({ name, dataDir }: ClusterConfig): Promise<readonly Finding[]> {
  if (dataDir === undefined) return [];
  const check = `cluster/${name}/data_dir`;
  const found = await stat(dataDir).catch(() => null);
  if (found === null) return [warning(check, `the data directory ${dataDir} is not there`, 'correct data_dir; or, if it is lost: reprise incident start instance-loss --cluster ' + name)];
  const uid = process.getuid?.() ?? 0;
  if (uid !== 0 && found.uid !== uid) return [wrong(check, `the data directory ${dataDir} belongs to user ${found.uid}, this runs as ${uid}: neither a physical backup nor a recovery can work`, 'run the worker as the owner of the data directory')];
  return [ok(check, `the data directory ${dataDir} is there`)];
}

/** The only copy on the data directory's own device is no backup. */
async function copyFindings(config: Config, cluster: ClusterConfig): Promise<readonly Finding[]> {
  const check = `cluster/${cluster.name}/copies`;
  const policies = Object.values(cluster.policies).filter(({ enabled }) => enabled);
  if (policies.length === 0) return [wrong(check, `cluster ${cluster.name} has no enabled backup policy`, 'add one under `backups`')];
  if (cluster.dataDir === undefined) return [];
  const device = await deviceOf(cluster.dataDir);
  const names = [...new Set(policies.map(({ repository }) => repository))];
  const elsewhere = await Promise.all(names.map(async (name) => {
    const repository = config.repositories[name];
    const path = repository === undefined || (repository.host ?? cluster.host) !== cluster.host ? null : localPathOf(repository);
    return path === null || (await deviceOf(path)) !== device;
  }));
  if (elsewhere.some(Boolean)) return [ok(check, `cluster ${cluster.name} has a copy on another device than its data`)];
  return [warning(check, `every backup of ${cluster.name} lies on the device of its data directory: when that disk dies, both are gone. That is no backup`, 'put a repository on another disk or another machine')];
}

async function hookFindings({ name, hooks, host }: ClusterConfig): Promise<readonly Finding[]> {
  const own = Object.values(hooks).filter((hook) => hook.host === host);
  const found = await Promise.all(own.map((hook) => looked(`cluster/${name}/hooks/${hook.name}`, async () => {
    await requireProgram(hook.argv[0] ?? '');
    return [];
  })));
  return found.flat();
}

function policyFindings(cluster: ClusterConfig): readonly Finding[] {
  const check = `cluster/${cluster.name}`;
  const findings = Object.values(cluster.policies).filter(({ enabled }) => !enabled).map(({ name }) =>
    warning(`${check}/policies/${name}`, `policy ${name} of ${cluster.name} is disabled: it takes no backups`, 'set enabled: true, or take it out'),
  );
  if (cluster.approvals['recover'] === undefined) {
    findings.push(warning(`${check}/approvals`, `cluster ${cluster.name} has no approval policy for recover: a recovery will be refused`, 'add e.g. approvals: { recover: { approvers: 1, from: [dba] } }'));
  }
  return findings;
}

/** Version from the data directory, where the server does not answer. */
async function versionOnDisk({ dataDir }: ClusterConfig): Promise<number | null> {
  if (dataDir === undefined) return null;
  const major = Number.parseInt(await readFile(join(dataDir, 'PG_VERSION'), 'utf8').catch(() => ''), 10);
  return Number.isInteger(major) ? major * 10_000 : null;
}

/** Device of a path, or of its nearest ancestor that exists. */
async function deviceOf(path: string): Promise<number> {
  for (let place = path; ; place = dirname(place)) {
    const found = await realpath(place).then((path) => stat(path)).catch(() => null);
    if (found !== null) return found.dev;
    if (place === dirname(place)) return -1;
  }
}
