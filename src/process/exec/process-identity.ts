/**
 * A process by more than its number, which is another's after a while: a process is the same only if its number, its
 * start time and the boot agree.
 */
import { readFile } from 'node:fs/promises';

export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat: clock ticks after boot. */
  readonly startTime: number;
  readonly bootId: string;
}

/** What /proc says about a process. */
export interface ProcessStat {
  readonly state: string;
  readonly session: number;
  readonly startTime: number;
}

export async function currentBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

/** Null where there is no such process any more. */
export async function identify(pid: number): Promise<ProcessIdentity | null> {
  const stat = await readStat(pid);
  return stat === null ? null : { pid, startTime: stat.startTime, bootId: await currentBootId() };
}

export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  if (identity.bootId !== (await currentBootId())) return false;
  const stat = await readStat(identity.pid);
  return stat !== null && stat.startTime === identity.startTime && !processHasEnded(stat);
}

/** A zombie has ended, only nobody has asked for its exit code: for ever, where process 1 of a container collects none. */
export function processHasEnded(stat: ProcessStat): boolean {
  return stat.state === 'Z' || stat.state === 'X';
}

export async function readStat(pid: number): Promise<ProcessStat | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  if (text === '') return null;
  // The name, in brackets, may hold anything, brackets and spaces too: count from its end. Field 3 is the first then.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0] ?? 'X', session: Number(fields[3]), startTime: Number(fields[19]) };
}
