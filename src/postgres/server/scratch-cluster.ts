import { createHash } from 'node:crypto';
import { lstat, mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ConnectionConfig } from '../../domain/config.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import type { OsUser } from '../../process/jobs/jobs.js';
import { readControlData } from './control-data.js';
import { endOrphansIn, endProcessesIn, processesIn, type RunningServer } from './postmaster.js';
import { writeFileAtomic } from '../../files/atomic-file.js';
import { giveTo } from '../../files/directories.js';
import { removeTree } from '../../files/remove-tree.js';
import { cloneRestraints } from '../recovery/recovery-settings.js';
import { plainLog } from './log-lines.js';
import { serviceOf } from './service.js';
import type { Service } from './service.js';
import type { StopMode } from './service-kinds.js';
import { quoteSetting } from '../recovery/auto-conf.js';
import type { Settings } from '../recovery/auto-conf.js';
import { walSizes } from './wal-sizes.js';

export interface ScratchServerRequest {
  /** A restored data directory, nobody else's. */
  readonly dataDir: string;
  readonly pgBin: string;
  readonly user: OsUser | null;
  /** Superuser of the restored cluster, default `postgres`. */
  readonly role?: string;
  readonly settings?: Settings;
  /** Libraries that the source preloads; left out where the server does not start with them. */
  readonly preload?: string;
  /** Names the socket, and where people are let in it is the port; default 5432. */
  readonly port?: number;
  /** People of this host are let in, with the roles and passwords of the copy; absent: only its owner. */
  readonly forPeople?: boolean;
  /** It replays WAL that a `restore_command` fetches, which may need the network; absent: it has none where the host can do that. */
  readonly fetchesWal?: boolean;
  /** A role that needs its password on the socket too. */
  readonly passwordRole?: string;
  /** Default 300. */
  readonly timeoutSeconds?: number;
  readonly signal?: AbortSignal;
}

export interface ScratchServer {
  readonly connection: ConnectionConfig;
  readonly service: Service;
  /** Stops the server and removes what was made for it; the data directory stays. */
  remove(): Promise<void>;
}

/** Where nothing listens on the network, it only names the socket. */
const DEFAULT_PORT = 5432;
/** Major version that knows event triggers on logins, and a setting that turns all event triggers off. */
const WITH_LOGIN_TRIGGERS = 17;
/** A server that still runs then does not react. */
const STOP_SECONDS: Readonly<Record<StopMode, number>> = { fast: 120, immediate: 10 };
/** Room for `/.s.PGSQL.65535.lock` in the 107 bytes of a socket's path. */
const LONGEST_SOCKET_DIR = 84;

/**
 * Starts a restored copy where nobody but its owner can reach it: a private socket and no network, with a configuration
 * of its own, since the restored one may name files, certificates and jobs of production. It archives nothing, pulls from
 * nowhere and runs no scheduled jobs; where the host can do that, what runs in it reaches no other server. A server that an attempt before this one started is taken over.
 * @throws RepriseError `service-failed` with the end of its log, or why its recovery ended.
 */
export async function startScratchServer(request: ScratchServerRequest): Promise<ScratchServer> {
  const { dataDir, pgBin, user } = request;
  const place = await privateDirectory(dataDir, user);
  await writeFileAtomic(join(place, 'pg_hba.conf'), accessRules(request), user);
  await writeFileAtomic(join(place, 'pg_ident.conf'), '', user);
  const withoutNetwork = request.forPeople !== true && request.fetchesWal !== true;
  const logFile = scratchServerLog(dataDir);
  const service = serviceOf({ dataDir, service: { kind: 'pg_ctl' }, logFile, withoutNetwork }, pgBin, user);
  const own = await serverSettings(request, place);
  // Backends of a postmaster that was killed hold its shared memory, and no other one starts beside them.
  await endOrphansIn(dataDir);
  // One that was killed leaves the lock of its socket, and the number of its process is another's after a start of the host.
  if ((await processesIn(dataDir)).length === 0)
    await rm(join(place, `.s.PGSQL.${request.port ?? DEFAULT_PORT}.lock`), { force: true });
  const start = async (preload: string): Promise<void> => {
    const settings = { ...own, shared_preload_libraries: preload };
    await writeFileAtomic(join(place, 'postgresql.conf'), linesOf(settings), user);
    // On the command line they win over postgresql.auto.conf, which came with the copy; recovery's own stay there.
    await service.start({
      settings: { config_file: join(place, 'postgresql.conf'), ...settings },
      timeoutSeconds: request.timeoutSeconds,
      signal: request.signal,
    });
  };
  const { preload = '' } = request;
  await start(preload).catch((error: unknown) => {
    // A library that is not on this host, or that wants more than there is here.
    if (preload === '' || !isRepriseError(error) || error.code !== 'service-failed') throw error;
    return start('');
  });
  return {
    connection: scratchConnection(request),
    service,
    remove: async () => {
      await endScratchServer(service, 'fast');
      await removeTree(place);
    },
  };
}

/**
 * Stops the server of a copy, whatever state it is in: one that does not react (it was stopped by a signal, it hangs) is killed with all its
 * backends.
 */
export async function endScratchServer(service: Service, mode: StopMode): Promise<void> {
  try {
    await service.stop(mode, STOP_SECONDS[mode]);
  } catch (error) {
    if (!isRepriseError(error)) throw error;
    await endProcessesIn(service.dataDir);
  }
}

/** Only its owner reaches the socket. */
const OWNER = 'local all all trust\n';
/** From this host, and with a password: others come by a tunnel. */
const PEOPLE = 'host all all 127.0.0.1/32 scram-sha-256\nhost all all ::1/128 scram-sha-256\n';

function accessRules({ forPeople, passwordRole }: ScratchServerRequest): string {
  const withPassword = passwordRole === undefined ? '' : `local all "${passwordRole}" scram-sha-256\n`;
  return `${withPassword}${OWNER}${forPeople === true ? PEOPLE : ''}`;
}

/** Where a copy's server has its socket and configuration, and with what it connects: the same for the same directory. */
export function scratchConnection({
  dataDir,
  role = 'postgres',
  port = DEFAULT_PORT,
}: Pick<ScratchServerRequest, 'dataDir' | 'role' | 'port'>): ConnectionConfig {
  return { host: privatePlace(dataDir), port, user: role, maintenanceDatabase: 'postgres' };
}

/** Whether it is {@link startScratchServer} that started a server, by the configuration that the server was given. */
export function isScratchServer({ arguments: given }: RunningServer, dataDir: string): boolean {
  return given.some((argument) => argument.endsWith(`=${join(privatePlace(dataDir), 'postgresql.conf')}`));
}

/** What a copy's server has logged since it was started there first. */
export function scratchServerLog(dataDir: string): string {
  return join(privatePlace(dataDir), 'server.log');
}

/** Removes what a copy's server, which has ended, had beside its data directory. */
export async function removePrivatePlace(dataDir: string): Promise<void> {
  await removeTree(privatePlace(dataDir));
}

async function serverSettings(request: ScratchServerRequest, place: string): Promise<Settings> {
  const control = await readControlData(request.pgBin, request.dataDir, request.user);
  const minimums = Object.entries(control?.settings ?? {}).map(([name, value]) => [name, String(value)] as const);
  return {
    ...Object.fromEntries(minimums),
    ...walSizes(control?.segmentBytes ?? 0),
    hba_file: join(place, 'pg_hba.conf'),
    ident_file: join(place, 'pg_ident.conf'),
    port: String(request.port ?? DEFAULT_PORT),
    listen_addresses: request.forPeople === true ? 'localhost' : '',
    unix_socket_directories: place,
    unix_socket_permissions: '0700',
    ssl: 'off',
    log_destination: 'stderr',
    ...plainLog,
    // A copy that is thrown away needs no protection against a crash of the machine; one that people look at for days has it.
    fsync: request.forPeople === true ? 'on' : 'off',
    // What the copied databases have put on logins is not run with our rights.
    ...((control?.major ?? 0) >= WITH_LOGIN_TRIGGERS ? { event_triggers: 'off' } : {}),
    ...cloneRestraints,
    ...request.settings,
  };
}

function linesOf(settings: Settings): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name} = ${quoteSetting(value)}\n`)
    .join('');
}

/** Found again by the same data directory. */
function privatePlace(dataDir: string): string {
  const mark = createHash('sha256').update(dataDir).digest('hex').slice(0, 12);
  const beside = join(dirname(dataDir), `.${mark}`);
  return Buffer.byteLength(beside) <= LONGEST_SOCKET_DIR ? beside : join('/tmp', `.reprise-${mark}`);
}

/** A directory only the owner can enter. */
async function privateDirectory(dataDir: string, user: OsUser | null): Promise<string> {
  const place = privatePlace(dataDir);
  const made = await mkdir(place, { mode: 0o700 }).then(
    () => true,
    () => false,
  );
  if (made) await giveTo(place, user);
  const found = await lstat(place);
  // In a shared directory somebody else may have been first.
  if (!found.isDirectory() || (found.mode & 0o077) !== 0 || found.uid !== (user?.uid ?? process.getuid?.())) {
    throw new RepriseError(
      'path-refused',
      `${place} is not a private directory of the server's owner`,
      'Remove it, then try again.',
    );
  }
  return place;
}
