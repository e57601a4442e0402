import { AsyncLocalStorage } from 'node:async_hooks';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Connection } from '@temporalio/client';
import type { Command } from 'commander';
import { buildProgram, runCli } from '../../src/cli/program.js';
import type { Services } from '../../src/cli/services.js';
import { processTerminal } from '../../src/cli/terminal/terminal.js';
import { services } from '../../src/compose.js';
import { onCleanup } from './cleanup.js';

/** Where completion keeps names, for this test file alone. */
const cacheHome = mkdtempSync(join(tmpdir(), 'reprise-cache-'));
onCleanup(() => rm(cacheHome, { recursive: true, force: true }));
const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly cwd?: string;
  readonly env?: Record<string, string>;
  readonly heard?: (stderr: string) => void;
  /** stdout is a terminal of this width. */
  readonly columns?: number;
}

/** Commands that are about processes, signals or this program's own files: always run for real. */
const ofProcesses = new Set(['worker', 'up', 'down', 'demo', 'version']);

/**
 * The command line as a user's shell runs it: no terminal, an environment of its own. It runs within this process, which
 * saves a second of CPU for each call; as the built program in a process of its own where a test asks for a working
 * directory or listens while it runs, and where the command itself is about processes.
 */
export async function reprise(argv: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const isReal = options.cwd !== undefined || options.heard !== undefined || argv.some((word) => ofProcesses.has(word));
  return isReal ? spawnReprise(argv, options) : runHere(argv, services, environment(options.env), 80, options.columns);
}

/** The built command line in a process of its own. */
async function spawnReprise(argv: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  if (!existsSync(main)) throw new Error('dist/main.js is missing: npm run build');
  const child = spawn(process.execPath, [main, ...argv], {
    cwd: options.cwd ?? '/',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: environment(options.env),
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
    options.heard?.(stderr);
  });
  const code = await new Promise<number>((resolve) => child.once('close', (exit) => resolve(exit ?? -1)));
  return { code, stdout, stderr };
}

const environment = (own: Record<string, string> = {}): NodeJS.ProcessEnv => ({
  ...process.env,
  TEMPORAL_ADDRESS: undefined,
  REPRISE_CONFIG: undefined,
  REPRISE_BY: undefined,
  // What one test is told is not offered by completion in another one.
  XDG_CACHE_HOME: cacheHome,
  ...own,
});

/**
 * A command that gives up a long poll leaves it to the end of its process: with the connection closed under it, the
 * client's next try throws where nobody catches it. So connections of commands are closed at the end of the test file, as
 * the last thing (this module is loaded before anything is started): by then the workflows have ended, and the polls with them.
 */
const commands = new AsyncLocalStorage<true>();
const toClose = new Set<Connection>();
const { close } = Connection.prototype;
Connection.prototype.close = function (this: Connection): Promise<void> {
  if (commands.getStore() !== true) return close.call(this);
  toClose.add(this);
  return Promise.resolve();
};
onCleanup(() => Promise.allSettled([...toClose].map((connection) => close.call(connection))));

async function runHere(
  argv: readonly string[],
  services: Services,
  env: NodeJS.ProcessEnv,
  columns: number,
  outColumns?: number,
): Promise<CliResult> {
  let stdout = '';
  let stderr = '';
  const terminal = processTerminal({
    env,
    stdin: {},
    stdout: { isTTY: outColumns !== undefined, columns: outColumns, write: (text) => (stdout += text) },
    stderr: { columns, write: (text) => (stderr += text) },
  });
  const code = await commands.run(true, () => runCli(argv, services, terminal));
  return { code, stdout, stderr };
}

/** The command line without its services: for parsing, output and errors. */
export function repriseHere(
  argv: readonly string[],
  env: Record<string, string> = {},
  some: Partial<Services> = {},
): Promise<CliResult> {
  return runHere(argv, { ...absent, ...some }, { REPRISE_CONFIG: '/nonexistent/reprise.yml', ...env }, 100);
}

/** The whole command line to look at: nothing of it can run. */
export function wholeProgram(): Command {
  const services = new Proxy({}, { get: () => () => Promise.reject(new Error('not here')) });
  const silent = {
    env: {},
    interactive: false,
    live: false,
    columns: 100,
    out: () => undefined,
    err: () => undefined,
    paint: (_c: string, text: string) => text,
    setColor: () => undefined,
  };
  return buildProgram(services as never, silent as never);
}

/** Splits as a shell does, as far as examples and documents need it. */
export function words(line: string): string[] {
  return (line.replace(/ > \S+$/, '').match(/"[^"]*"|\S+/g) ?? []).map((word) => word.replace(/^"|"$/g, ''));
}

const notHere = (name: string) => (): Promise<never> => Promise.reject(new Error(`${name} is not part of this test`));
const absent: Services = {
  version: () => Promise.resolve('0.0.0-test'),
  runWorker: notHere('runWorker'),
  up: notHere('up'),
  down: notHere('down'),
  embedded: () => Promise.resolve(null),
  demo: notHere('demo'),
  startDetached: notHere('startDetached'),
  inspectHost: notHere('inspectHost'),
  runPsql: notHere('runPsql'),
  verifyEvidence: notHere('verifyEvidence'),
  findClusters: notHere('findClusters'),
  makeDirectory: notHere('makeDirectory'),
};
