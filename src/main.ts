#!/usr/bin/env node
import type * as CommandLine from './command-line.js';

// First of all, and before anything is imported: an older Node would fail inside a library, with no word of why.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 12)) {
  const message = `node ${process.versions.node} is too old for Reprise`;
  const hint = 'install Node 22.12 or newer, or name one: REPRISE_NODE=/path/to/node reprise ...';
  const json = process.argv.some((word, at) => word === '--json' || (word === 'json' && process.argv[at - 1] === '-o'));
  const error = JSON.stringify({ error: { code: 'tool-missing', message, hint } });
  process.stderr.write(json ? `${error}\n` : `error: ${message} (tool-missing)\nHINT: ${hint}\n`);
  process.exit(1);
}

/** How long a command may go on when nobody reads its result any more: one that has just printed it ends with its own code. */
const UNREAD_MS = 500;

// A reader that has enough (`| head`) is no failure. What is told on stderr is then for nobody.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  setTimeout(() => process.exit(0), UNREAD_MS).unref();
});
process.stderr.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

// A worker has a bundle with all that it runs: of that of the commands it would have a part twice in its memory.
const isWorker = process.argv.includes('worker');
await keepCompiledCode();
const { runCommandLine } = await commandLine(isWorker ? './worker-line.bundle.js' : './command-line.bundle.js');
const code = await runCommandLine(process.argv.slice(2));
// A pipe takes 64 kB at once, and the rest as it is read.
await Promise.all([process.stdout, process.stderr].map(written));
// A long poll that is given up must not keep the process, nor fail it when its connection is closed.
process.exit(code);

function commandLine(file: string): Promise<typeof CommandLine> {
  return import(file) as Promise<typeof CommandLine>;
}

/** Resolves when all was handed to the reader, or the reader is gone. */
function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.writableLength === 0 || stream.destroyed) resolve();
    else stream.write('', () => resolve());
  });
}

/**
 * Has Node keep compiled code, which saves a part of each start. Only where nobody else can write, because it is run: Node's
 * own default is a directory in /tmp.
 */
async function keepCompiledCode(): Promise<void> {
  const [{ enableCompileCache }, { ownCacheDirectory }] = await Promise.all([
    import('node:module'),
    import('./files/cache-directory.js'),
  ]);
  const kept = ownCacheDirectory();
  if (kept !== null) enableCompileCache(`${kept}/compiled`);
}
