import { readdir, readFile, readlink, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RepriseError } from '../../domain/errors.js';
import { isErrno, pathExists } from '../../files/paths.js';

/** What `postmaster.pid` says (its lines: manual of the source, `pidfile.h`), and whether that server lives. */
export interface Postmaster {
  readonly pid: number;
  readonly port: number;
  readonly socketDir: string;
  /** `starting`, `stopping`, `ready` or `standby`; empty before the server has written it. */
  readonly status: string;
  readonly alive: boolean;
}

/** The server that the data directory's lock file names, alive or not; null where there is no lock file. */
export async function readPostmaster(dataDir: string): Promise<Postmaster | null> {
  const text = await readFile(join(dataDir, 'postmaster.pid'), 'utf8').catch(() => null);
  if (text === null) return null;
  const lines = text.split('\n');
  // A standalone backend writes its pid as a negative number.
  const pid = Math.abs(Number.parseInt(lines[0] ?? '', 10));
  if (!Number.isInteger(pid) || pid === 0) return null;
  return {
    pid,
    port: Number.parseInt(lines[3] ?? '', 10) || 0,
    socketDir: (lines[4] ?? '').trim(),
    status: (lines[7] ?? '').trim(),
    alive: (await isLiving(pid)) && (await worksIn(pid, dataDir)),
  };
}

/**
 * Living processes whose working directory is this data directory: the server and its backends, which change into
 * it. After a SIGKILL of the postmaster backends may go on for a while, and may write.
 */
export async function processesIn(dataDir: string): Promise<number[]> {
  const real = await realpath(dataDir).catch(() => null);
  if (real === null) return [];
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name) || (await workingDirectory(Number(name))) !== real) continue;
    if (await isPostgres(Number(name))) found.push(Number(name));
  }
  return found;
}

/** How long what was killed may take to end: it may wait for a disk. */
const KILLED_MS = 60_000;
/** Backends notice by themselves that their postmaster has ended. */
const NOTICED_MS = 5000;

/**
 * Ends by SIGKILL what works in the data directory of a copy: never one of production.
 * @throws RepriseError `service-failed` for what does not end
 */
export async function endProcessesIn(dataDir: string): Promise<void> {
  for (const until = Date.now() + KILLED_MS; ; await sleep(POLL_MS)) {
    const left = await processesIn(dataDir);
    if (left.length === 0) return;
    if (Date.now() >= until)
      throw new RepriseError(
        'service-failed',
        `processes ${left.join(', ')} in ${dataDir} do not end, although they were killed`,
        'see what they wait for: a disk or a mount that does not answer',
      );
    for (const pid of left) kill(pid);
  }
}

/** The same of backends whose postmaster was killed, after a moment in which they may end by themselves, or a new one begins. */
export async function endOrphansIn(dataDir: string): Promise<void> {
  for (const until = Date.now() + NOTICED_MS; Date.now() < until; await sleep(POLL_MS))
    if ((await readPostmaster(dataDir))?.alive === true || (await processesIn(dataDir)).length === 0) return;
  await endProcessesIn(dataDir);
}

const POLL_MS = 100;

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    // It has ended by itself.
    if (!isErrno(error, 'ESRCH')) throw error;
  }
}

/** A server of this host: the directory that its processes work in, and with what its postmaster was started. */
export interface RunningServer {
  readonly dataDir: string;
  /** 0 where its lock file cannot be read. */
  readonly port: number;
  readonly arguments: readonly string[];
}

/** Every PostgreSQL server that runs on this host and whose processes this user may look at. */
export async function runningServers(): Promise<readonly RunningServer[]> {
  const found = new Map<string, RunningServer>();
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const dataDir = await workingDirectory(Number(name));
    if (dataDir === null || found.has(dataDir) || !(await isPostgres(Number(name)))) continue;
    // One that only says its version, or has just begun, works elsewhere.
    if (!(await pathExists(join(dataDir, 'PG_VERSION')))) continue;
    const postmaster = await readPostmaster(dataDir);
    const commandLine = await readFile(`/proc/${postmaster?.pid ?? name}/cmdline`, 'utf8').catch(() => '');
    found.set(dataDir, { dataDir, port: postmaster?.port ?? 0, arguments: commandLine.split('\0') });
  }
  return [...found.values()];
}

/** Whether a process exists and has not ended: a zombie has, though a signal still finds it. */
async function isLiving(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  return stat !== null && !/\) [ZX] /.test(stat);
}

async function worksIn(pid: number, dataDir: string): Promise<boolean> {
  const directory = await workingDirectory(pid);
  // Another user's process does not show its directory: then its name has to do.
  if (directory === null) return isPostgres(pid);
  // A directory renamed under a running server keeps its processes: they show the new name.
  return directory === (await realpath(dataDir).catch(() => dataDir));
}

async function workingDirectory(pid: number): Promise<string | null> {
  return readlink(`/proc/${pid}/cwd`).catch(() => null);
}

async function isPostgres(pid: number): Promise<boolean> {
  const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
  return /^(postgres|postmaster|pg_)/.test(name);
}
