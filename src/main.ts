#!/usr/bin/env node
import { runCli } from './cli/program.js';
import { processTerminal } from './cli/terminal/terminal.js';
import { services } from './compose.js';

// A reader that has enough (`| head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
// Output to files, pipes and terminals is written by now (they are synchronous); a long poll that is given up must not
// keep the process, nor fail it when its connection is closed.
process.exit(await runCli(process.argv.slice(2), services, processTerminal()));
