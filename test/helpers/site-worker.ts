import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { TemporalSession } from '../../src/client/connect.js';

const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const CONTROL_QUEUE = 'reprise';
const WORKFLOW = 1;

/** `reprise worker` in a process of its own. */
export class SiteWorker {
  readonly startedAt = Date.now();
  private constructor(
    readonly child: ChildProcess,
    private readonly logFile: string,
    private readonly session: TemporalSession,
  ) {}

  static start(
    site: {
      configFile: string;
      logFile: string;
      session: TemporalSession;
      host?: string;
      /** `main.js` of another build. */
      program?: string;
    },
    env: Readonly<Record<string, string>>,
  ): SiteWorker {
    const { address, namespace } = site.session.settings;
    const output = openSync(site.logFile, 'a', 0o600);
    const argv = [
      site.program ?? main,
      '--config',
      site.configFile,
      '--address',
      address,
      '--namespace',
      namespace,
      'worker',
      '--host',
      site.host ?? 'db1',
    ];
    // A session of its own, as in production: what ends the tests' group does not reach it.
    const child = spawn(process.execPath, argv, {
      detached: true,
      cwd: '/',
      stdio: ['ignore', output, output],
      env: { ...process.env, ...env },
    });
    closeSync(output);
    child.unref();
    return new SiteWorker(child, site.logFile, site.session);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Waits until it asks for workflow tasks, or has ended: then by which signal, null for none. */
  async polls(): Promise<void> {
    const { connection, settings } = this.session;
    for (const limit = Date.now() + 600_000; Date.now() < limit && !this.ended; await sleep(50)) {
      const { pollers } = await connection.workflowService.describeTaskQueue({
        namespace: settings.namespace,
        taskQueue: { name: CONTROL_QUEUE },
        taskQueueType: WORKFLOW,
      });
      if ((pollers ?? []).some(({ identity }) => identity?.startsWith(`${this.pid}@`) === true)) return;
    }
    if (this.child.signalCode !== null) return;
    throw new Error(`the worker does not poll: ${(await readFile(this.logFile, 'utf8').catch(() => '')).slice(-2000)}`);
  }

  async exited(): Promise<NodeJS.Signals | number | null> {
    if (!this.ended) await once(this.child, 'exit');
    return this.child.signalCode ?? this.child.exitCode;
  }

  /** SIGTERM, as an operator's restart. */
  async stop(): Promise<void> {
    if (!this.ended) process.kill(this.pid, 'SIGTERM');
    await this.exited();
  }

  async kill(): Promise<void> {
    if (!this.ended) process.kill(this.pid, 'SIGKILL');
    await this.exited();
  }
}
