#!/usr/bin/env node
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { runCli } from './cli/program.js';
import type { Services } from './cli/services.js';
import { processTerminal } from './cli/terminal/terminal.js';

/** Rooms the command line may use, loaded when a command needs them. */
const services: Services = {
  version: async () => {
    const text = await readFile(new URL('../package.json', import.meta.url), 'utf8');
    return (JSON.parse(text) as { version: string }).version;
  },
  runWorker: async (options) => (await import('./worker/main.js')).runWorker(options),
  up: async (options) =>
    (await import('./embedded/up.js')).up({ ...options, mainFile: fileURLToPath(import.meta.url) }),
  down: async (options) => (await import('./embedded/down.js')).down(options),
  embedded: async (config) => (await import('./embedded/record.js')).runningEmbedded(config),
  demo: async (options) => {
    const [{ runDemo }, { demoText }] = await Promise.all([import('./demo/demo.js'), import('./demo/summary.js')]);
    const result = await runDemo(options);
    return { result, text: demoText(result) };
  },
  inspectHost: async (config, host) => (await import('./doctor/inspect-host.js')).inspectHost(config, host),
};

// A reader that has enough (`| head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
// Output to files, pipes and terminals is written by now (they are synchronous); a long poll that is given up must not
// keep the process, nor fail it when its connection is closed.
process.exit(await runCli(process.argv.slice(2), services, processTerminal()));
