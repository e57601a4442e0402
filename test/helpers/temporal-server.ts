import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { findTemporalBinary } from '../../src/process/exec/find-programs.js';
import { freePorts } from './ports.js';
import { Reaper } from './reaper.js';
import { makeTempDir } from './make-temp-dir.js';

const searchAttributes = ['RepriseState', 'RepriseCluster', 'RepriseKind'];

/** Workflow Pause, which servers from 1.30 on have and do not offer without it. */
const PAUSE = { 'frontend.WorkflowPauseEnabled': true };

export interface TemporalServer {
  address: string;
  /** Only where the Web UI was asked for. */
  webUi: string | undefined;
  pid: number;
  stop: () => Promise<void>;
}

export interface TemporalOptions {
  webUi?: boolean;
  /** Keeps its state in this file over restarts. */
  dbFile?: string;
  /** The port of a server that is started again. */
  port?: number;
  /** Limits and the like, by the server's own names. */
  dynamicConfig?: Readonly<Record<string, number | boolean>>;
}

/** Starts an embedded Temporal server; whoever starts it stops it. */
export async function startTemporalServer(options: TemporalOptions = {}): Promise<TemporalServer> {
  for (let tries = 1; ; tries++) {
    try {
      return await startOnce(options);
    } catch (error) {
      // Between our look and its start another run may have taken a port.
      if (tries === 3 || !String(error).includes('address already in use')) throw error;
    }
  }
}

async function startOnce(options: TemporalOptions): Promise<TemporalServer> {
  const binary = await findTemporalBinary();
  const [free, http, metrics, ui] = (await freePorts(4)) as [number, number, number, number];
  const port = options.port ?? free;
  const directory = await makeTempDir('temporal');
  const reaper = new Reaper();
  reaper.directory(directory);

  const log = join(directory, 'server.log');
  const output = openSync(log, 'a', 0o600);
  const child = spawn(
    binary,
    [
      ...['server', 'start-dev', '--ip', '127.0.0.1', '--namespace', 'default', '--log-level', 'error'],
      ...['--port', String(port), '--http-port', String(http), '--metrics-port', String(metrics)],
      ...(options.webUi === true ? ['--ui-port', String(ui)] : ['--headless']),
      ...(options.dbFile === undefined ? [] : ['--db-filename', options.dbFile]),
      ...Object.entries({ ...PAUSE, ...options.dynamicConfig }).flatMap(([name, value]) => [
        '--dynamic-config-value',
        `${name}=${value}`,
      ]),
      ...searchAttributes.flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
    ],
    // A session of its own: Ctrl-C in the terminal stops the tests first, and they stop the server.
    { cwd: directory, detached: true, stdio: ['ignore', output, output] },
  );
  closeSync(output);
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => {
      resolve();
    });
    child.once('error', () => {
      resolve();
    });
  });
  const hasExited = () => child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
  child.unref();
  if (child.pid !== undefined) reaper.process(child.pid);

  const stop = async () => {
    if (!hasExited()) {
      child.kill('SIGINT');
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await exited;
      clearTimeout(timer);
    }
    await rm(directory, { recursive: true, force: true, maxRetries: 3 });
    reaper.done();
  };

  const address = `127.0.0.1:${port}`;
  if (!(await answers(address, hasExited))) {
    const said = await readFile(log, 'utf8').catch(() => '');
    await stop();
    throw new Error(`the Temporal server did not start: ${said.slice(-2000)}`);
  }
  const webUi = options.webUi === true ? `http://127.0.0.1:${ui}` : undefined;
  return { address, webUi, pid: child.pid as number, stop };
}

/** Ready is when the namespace is there, which is some time after the port opens. */
async function answers(address: string, hasExited: () => boolean): Promise<boolean> {
  const deadline = performance.now() + 600_000;
  while (performance.now() < deadline && !hasExited()) {
    try {
      const connection = await Connection.connect({ address, connectTimeout: 5000 });
      try {
        await connection.workflowService.describeNamespace({ namespace: 'default' });
        return true;
      } finally {
        await connection.close();
      }
    } catch {
      await sleep(100);
    }
  }
  return false;
}
