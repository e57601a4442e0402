/** Ends all that a tool started: a tool leads a session of its own, and its children and grandchildren are in it. */
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { RepriseError } from '../../domain/errors.js';
import type { ProcessIdentity } from './process-identity.js';
import { currentBootId, processHasEnded, readStat } from './process-identity.js';

/** Variable in the environment of a tool and its children: tells whose they are when their leader is gone. */
export const JOB_MARK = 'REPRISE_JOB';

const POLL_MS = 25;
/** After SIGKILL; what takes longer hangs in the kernel, on a dead network file system for example. */
const GONE_AFTER_KILL_MS = 60_000;

/**
 * Sends SIGTERM to everything in the tool's session, SIGKILL to what is left after `graceMs`, and returns when
 * nothing is left. Returns at once where nothing lives.
 * @throws RepriseError `tool-failed` where something survives SIGKILL for a minute
 */
export async function endSession(leader: ProcessIdentity, mark: string, graceMs: number): Promise<void> {
  const killAt = performance.now() + graceMs;
  let told = false;
  for (;;) {
    const members = await sessionMembers(leader, mark);
    if (members.length === 0) return;
    if (!told) {
      signal(members, 'SIGTERM');
      // One that was stopped takes notice of nothing but this and SIGKILL.
      signal(members, 'SIGCONT');
      told = true;
    } else if (performance.now() >= killAt) {
      signal(members, 'SIGKILL');
    }
    if (performance.now() >= killAt + GONE_AFTER_KILL_MS) {
      throw new RepriseError(
        'tool-failed',
        `the processes ${members.join(', ')} did not end on SIGKILL`,
        'See what they wait for in `ps -o pid,stat,wchan:32,args`; the next attempt tries again.',
      );
    }
    await sleep(POLL_MS);
  }
}

/** Living processes of the tool's session, the tool among them. */
async function sessionMembers(leader: ProcessIdentity, mark: string): Promise<number[]> {
  if (leader.bootId !== (await currentBootId())) return [];
  const current = await readStat(leader.pid);
  // The number was given to another process, which the kernel does only when the old session is empty.
  if (current !== null && current.startTime !== leader.startTime) return [];
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(
    pids.map(async (pid) => {
      const stat = await readStat(pid);
      if (stat === null || processHasEnded(stat)) return undefined;
      // The leader itself counts also in the instant before it has made its session.
      if (pid === leader.pid) return pid;
      if (stat.session !== leader.pid) return undefined;
      return current !== null || (await isMarked(pid, mark)) ? pid : undefined;
    }),
  );
  return found.filter((pid) => pid !== undefined);
}

/** Without its leader a session's number proves little: the mark does. */
async function isMarked(pid: number, mark: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  return environment.split('\0').includes(`${JOB_MARK}=${mark}`);
}

function signal(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch {
      // Ended in between, or became another user's (sudo): what is left shows at the next look.
    }
  }
}
