import { runCli } from './cli/program.js';
import { processTerminal } from './cli/terminal/terminal.js';
import { services } from './compose.js';

/**
 * Runs one command line of this process and returns its exit code. The build makes one file of this module and of all that
 * it loads (`command-line.bundle.js`, `worker-line.bundle.js`): hundreds of small modules take longer to be found than to run.
 */
export function runCommandLine(argv: readonly string[]): Promise<number> {
  return runCli(argv, services, processTerminal());
}
