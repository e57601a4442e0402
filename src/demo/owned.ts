import { rm } from 'node:fs/promises';
import { endJobsBelow } from '../process/jobs/job-store.js';
import { stopProcess } from '../process/exec/background.js';
import { isAlive } from '../process/exec/process-identity.js';
import type { ProcessIdentity } from '../process/exec/process-identity.js';
import { service } from './cluster.js';
import type { Scratch } from './scratch.js';

/** Processes and directories of this run: whatever is started is entered here, and only that is ended. */
export class Owned {
  private readonly processes: { readonly name: string; readonly identity: ProcessIdentity }[] = [];
  scratch: Scratch | null = null;
  private closed = false;

  place(scratch: Scratch): void {
    this.scratch = scratch;
  }

  /** Starts something and enters it. After the end nothing is started any more, whatever was still under way. */
  async start(name: string, start: () => Promise<ProcessIdentity>): Promise<ProcessIdentity> {
    if (this.closed) throw new Error(`${name} is not started: the demo is over`);
    const identity = await start();
    this.processes.push({ name, identity });
    if (this.closed) await stopProcess(identity);
    return identity;
  }

  /** Commands for a shell, in the right order. */
  async howToRemove(): Promise<string> {
    const pids = (await this.running()).toReversed().map(({ pid }) => pid);
    const { scratch } = this;
    if (scratch === null) return '';
    const asOwner =
      scratch.user === null ? '' : `setpriv --reuid=${scratch.user.name} --regid=${scratch.user.gid} --init-groups `;
    return [
      `kill ${pids.join(' ')}`,
      `${asOwner}${scratch.pgBin}/pg_ctl stop -m immediate -D ${scratch.dataDir}`,
      `rm -rf ${scratch.root}`,
    ].join('\n');
  }

  /** Those that still run; business clients end by themselves. */
  async running(): Promise<readonly { readonly name: string; readonly pid: number }[]> {
    const alive = await Promise.all(this.processes.map(async (one) => ((await isAlive(one.identity)) ? one : null)));
    return alive.filter((one) => one !== null).map(({ name, identity }) => ({ name, pid: identity.pid }));
  }

  /** Ends everything, newest first (a worker before its server), then removes the files. One failure hides no other. */
  async removeAll(): Promise<void> {
    this.closed = true;
    const problems: unknown[] = [];
    const attempt = (run: () => Promise<unknown>) => run().catch((problem: unknown) => problems.push(problem));
    for (const { identity } of this.processes.toReversed()) await attempt(() => stopProcess(identity));
    const { scratch } = this;
    if (scratch !== null) {
      await attempt(() => endJobsBelow(scratch.stateDir));
      for (const dataDir of [scratch.staging.dataDir, scratch.dataDir])
        await attempt(() => service({ ...scratch, dataDir }).stop('immediate', 20));
      await attempt(() => rm(scratch.root, { recursive: true, force: true, maxRetries: 5 }));
    }
    if (problems.length > 0)
      throw new AggregateError(
        problems,
        `not everything of the demo could be removed: ${problems.map(String).join('; ')}`,
      );
  }
}
