import { readFile } from 'node:fs/promises';
import { allPids, ofProcess, workingDirectoryOf } from './proc.js';
import { pause } from './until.js';

export interface SiteProcess {
  readonly pid: number;
  readonly command: string;
}

/** What an operation left behind. */
export interface Leftovers {
  readonly processes: readonly SiteProcess[];
  readonly files: readonly string[];
  readonly databases: readonly string[];
}

/** Living processes that name a directory in argv, environment or working directory: wrappers, tools, servers. */
export function processesOf(root: string): SiteProcess[] {
  return allPids().flatMap((pid) => {
    const [stat, argv] = [ofProcess(pid, 'stat'), ofProcess(pid, 'cmdline')];
    if (pid === process.pid || stat === '' || /\) [ZX] /.test(stat)) return [];
    if (![argv, ofProcess(pid, 'environ'), workingDirectoryOf(pid)].some((text) => text.includes(root))) return [];
    return [{ pid, command: argv.replaceAll('\0', ' ').trim() }];
  });
}

/** A process and all that descends from it. */
export async function withDescendants(pid: number): Promise<Set<number>> {
  const family = new Set([pid]);
  for (const one of family) {
    const children = await readFile(`/proc/${one}/task/${one}/children`, 'utf8').catch(() => '');
    for (const child of children.split(' ').filter(Boolean)) family.add(Number(child));
  }
  return family;
}

/** Pid of a program below a process, however deep; null where none runs. */
export async function below(pid: number, program: string): Promise<number | null> {
  for (const one of await withDescendants(pid)) {
    if (one !== pid && (await readFile(`/proc/${one}/comm`, 'utf8').catch(() => '')).trim() === program) return one;
  }
  return null;
}

/** SIGKILL, and a wait until all are gone; pids must be known to be ours. */
export async function killAll(list: () => readonly SiteProcess[] | Promise<readonly SiteProcess[]>): Promise<void> {
  const since = Date.now();
  for (const limit = since + 180_000; Date.now() < limit; await pause(since)) {
    const left = await list();
    if (left.length === 0) return;
    for (const { pid } of left) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // Ended by itself.
      }
    }
  }
  throw new Error(`still there after SIGKILL: ${JSON.stringify(await list())}`);
}
