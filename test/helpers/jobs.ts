import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { JobView, Progress } from '../../src/domain/operation/progress.js';
import type { JobRequest, JobResult, Jobs, JobsContext } from '../../src/process/jobs/jobs.js';
import { createJobs } from '../../src/process/jobs/supervisor.js';
import type { JobWorkerInput } from '../fixtures/job-worker.js';
import { onCleanup } from './cleanup.js';
import { allPids, ofProcess } from './proc.js';
import { until } from './until.js';
import { makeTempDir } from './make-temp-dir.js';
import { reaperOfFile } from './temp.js';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const TOOL = here('../fixtures/tool.sh');

/** What a worker process said at its end. */
export interface Outcome {
  readonly result?: JobResult;
  readonly error?: { code: string; message: string; hint?: string; details?: Record<string, unknown> };
  /** Set where it was killed and said nothing. */
  readonly signal?: string;
}

/** A worker in a process of its own. */
export interface WorkerProcess {
  readonly child: ChildProcess;
  readonly reports: { progress?: Progress; job: JobView }[];
  readonly outcome: Promise<Outcome>;
}

/** One job's surroundings: a state directory, a directory the tool writes into, and workers. */
export class JobBench {
  readonly abort = new AbortController();
  readonly reports: { progress: Progress | undefined; job: JobView }[] = [];
  cleanUps = 0;
  private readonly workers: WorkerProcess[] = [];
  private readonly runs: Promise<unknown>[] = [];

  private constructor(private readonly root: string) {}

  static async create(): Promise<JobBench> {
    const left = reaperOfFile();
    const bench = new JobBench(await makeTempDir('jobs'));
    left.directory(bench.dir);
    onCleanup(() => bench.close());
    return bench;
  }

  get stateDir(): string {
    return join(this.root, 'state');
  }

  get dir(): string {
    return this.root;
  }

  /** The fixture tool as a job that waits for `go`. */
  request(options: Partial<JobRequest> & { exit?: number; mode?: string } = {}): JobRequest {
    const { exit = 0, mode = '', ...rest } = options;
    const env = { REPRISE_TEST_FILE_ID: process.env['REPRISE_TEST_FILE_ID'] ?? '' };
    return { step: 'dump', tool: 'tool', argv: [TOOL, this.root, String(exit), mode], env, onGone: 'restart', ...rest };
  }

  /** Jobs of this very process. */
  jobs(context: Partial<JobsContext> = {}): Jobs {
    return createJobs({
      stateDir: this.stateDir,
      operationId: 'op-1',
      user: null,
      signal: this.abort.signal,
      leaveOnAbort: () => false,
      graceMs: 500,
      report: (progress, job) => this.reports.push({ progress, job }),
      ...context,
    });
  }

  /** Runs in this process, counting clean-ups. */
  run(request: JobRequest, context: Partial<JobsContext> = {}): Promise<JobResult> {
    const run = this.jobs(context).run({ cleanUp: async () => void this.cleanUps++, ...request });
    this.runs.push(run.catch(() => undefined));
    return run;
  }

  /** A worker in a process of its own; `crashAt` names where it dies. */
  worker(request: JobRequest, options: { crashAt?: string; graceMs?: number } = {}): WorkerProcess {
    const input: JobWorkerInput = {
      ...{ stateDir: this.stateDir, operationId: 'op-1', graceMs: options.graceMs ?? 500, request },
      cleanUpLog: join(this.root, 'cleanups'),
    };
    const crash = options.crashAt === undefined ? {} : { REPRISE_CRASH_AT: options.crashAt };
    const argv = ['--import', here('typescript.mjs'), here('../fixtures/job-worker.ts'), JSON.stringify(input)];
    const child = spawn(process.execPath, argv, {
      env: { ...process.env, ...crash },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const reports: WorkerProcess['reports'] = [];
    const worker = { child, reports, outcome: outcomeOf(child, reports) };
    this.workers.push(worker);
    return worker;
  }

  /** Pids of the tool, one for each time it was really started. */
  starts(): number[] {
    return this.lines('starts').map(Number);
  }

  lines(name: string): string[] {
    const path = join(this.root, name);
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : [];
  }

  /** Lets waiting tools end. */
  async letGo(): Promise<void> {
    await writeFile(join(this.root, 'go'), '');
  }

  async hold(): Promise<void> {
    await rm(join(this.root, 'go'), { force: true });
  }

  /** A file of a generation of the job, e.g. `pid.json`. */
  file(name: string, generation = 1, step = 'dump'): string {
    return join(this.stateDir, 'jobs', 'op-1', step, String(generation), name);
  }

  async json(name: string, generation = 1): Promise<Record<string, unknown>> {
    return JSON.parse(await readFile(this.file(name, generation), 'utf8')) as Record<string, unknown>;
  }

  /** Ends whatever a test left running, then removes the files. */
  private async close(): Promise<void> {
    // First those who would start something again: attempts of a test that failed in the middle.
    this.abort.abort();
    for (const { child, outcome } of this.workers) {
      child.kill('SIGKILL');
      await outcome;
    }
    await this.letGo();
    await writeFile(join(this.root, 'stop'), '');
    await Promise.all(this.runs);
    for (const pid of this.processes()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // Ended by itself.
      }
    }
    await until(() => this.processes().length === 0, 'what the test started has ended');
    await rm(this.root, { recursive: true, force: true, maxRetries: 3 });
  }

  /** Living processes of our jobs: their wrappers and tools name our directory in argv or environment. */
  private processes(): number[] {
    return allPids().filter((pid) => {
      const text = `${ofProcess(pid, 'cmdline')}\0${ofProcess(pid, 'environ')}`;
      return pid !== process.pid && text.includes(this.root) && isAlive(ofProcess(pid, 'stat'));
    });
  }
}

async function outcomeOf(child: ChildProcess, reports: WorkerProcess['reports']): Promise<Outcome> {
  let outcome: Outcome | undefined;
  const lines = createInterface({ input: child.stdout as NonNullable<ChildProcess['stdout']> });
  lines.on('line', (text) => {
    const line = JSON.parse(text) as Outcome & WorkerProcess['reports'][number];
    if (line.job === undefined) outcome = line;
    else reports.push(line);
  });
  const [[, signal]] = (await Promise.all([once(child, 'exit'), once(lines, 'close')])) as unknown as [
    [number, string],
  ];
  return outcome ?? { signal };
}

/** Waits for a condition, not for a time; the limit is only there so that a failing test ends. */
export async function lives(pid: number): Promise<boolean> {
  return isAlive(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''));
}

const isAlive = (stat: string): boolean => stat !== '' && !/\) [ZX] /.test(stat);
