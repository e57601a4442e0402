import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { buildProgram, runCli } from '../../src/cli/program.js';
import type { Services } from '../../src/cli/services.js';
import type { Terminal } from '../../src/cli/terminal/terminal.js';

const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The built command line as a user's shell runs it: no terminal, an environment of its own. */
export async function reprise(
  argv: readonly string[],
  options: { cwd?: string; env?: Record<string, string>; heard?: (stderr: string) => void } = {},
): Promise<CliResult> {
  if (!existsSync(main)) throw new Error('dist/main.js is missing: npm run build');
  const child = spawn(process.execPath, [main, ...argv], {
    cwd: options.cwd ?? '/',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      TEMPORAL_ADDRESS: undefined,
      REPRISE_CONFIG: undefined,
      REPRISE_BY: undefined,
      ...options.env,
    } as NodeJS.ProcessEnv,
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

/** The same within this process, with rooms that are not there: for parsing, output and errors. */
export async function repriseHere(
  argv: readonly string[],
  env: Record<string, string> = {},
  services: Partial<Services> = {},
): Promise<CliResult> {
  let stdout = '';
  let stderr = '';
  const terminal: Terminal = {
    env: { REPRISE_CONFIG: '/nonexistent/reprise.yml', ...env },
    interactive: false,
    live: false,
    columns: 100,
    out: (text) => (stdout += text),
    err: (text) => (stderr += text),
    paint: (_color, text) => text,
    setColor: () => undefined,
  };
  const code = await runCli(argv, { ...absent, ...services }, terminal);
  return { code, stdout, stderr };
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
  inspectHost: notHere('inspectHost'),
};
