/** Ends jobs whose state directory is about to be removed: nobody could attach to them any more. */
import { readdir, readFile } from 'node:fs/promises';
import { identify } from '../exec/process-identity.js';
import { stopProcess } from '../exec/background.js';
import { JOB_MARK } from '../exec/process-session.js';

/** Ends every living process that carries the mark of a job below `directory`. Returns how many there were. */
export async function endJobsBelow(directory: string): Promise<number> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const marked = await Promise.all(
    pids.map(async (pid) => ((await isMarked(pid, directory)) ? await identify(pid) : null)),
  );
  const found = marked.filter((identity) => identity !== null);
  await Promise.all(found.map((identity) => stopProcess(identity, 3_000)));
  return found.length;
}

async function isMarked(pid: number, directory: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  return environment.split('\0').some((entry) => entry.startsWith(`${JOB_MARK}=${directory}/`));
}
