#!/usr/bin/env node
// First of all, and without an import: an older Node would fail inside a library, with no word of why.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 12)) {
  const message = `node ${process.versions.node} is too old for Reprise`;
  const hint = 'install Node 22.12 or newer, or name one: REPRISE_NODE=/path/to/node reprise ...';
  const json = process.argv.some((word, at) => word === '--json' || (word === 'json' && process.argv[at - 1] === '-o'));
  const error = JSON.stringify({ error: { code: 'tool-missing', message, hint } });
  process.stderr.write(json ? `${error}\n` : `error: ${message} (tool-missing)\nHINT: ${hint}\n`);
  process.exit(1);
}

// A reader that has enough (`| head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
const [{ runCli }, { processTerminal }, { services }] = await Promise.all([
  import('./cli/program.js'),
  import('./cli/terminal/terminal.js'),
  import('./compose.js'),
]);
// Output to files, pipes and terminals is written by now (they are synchronous); a long poll that is given up must not
// keep the process, nor fail it when its connection is closed.
process.exit(await runCli(process.argv.slice(2), services, processTerminal()));

export {};
