/** Loaded first (`node --import`) into what scripts/trace-files.mjs traces: counts the calls of each function, and writes them. */
import { readdirSync, writeFileSync } from 'node:fs';
import childProcess from 'node:child_process';
import inspector from 'node:inspector';
import { registerHooks, syncBuiltinESMExports } from 'node:module';
import { basename, join } from 'node:path';
import { BroadcastChannel, isMainThread, threadId } from 'node:worker_threads';

const directory = process.env.REPRISE_TRACE;
const isWorker = process.argv.includes('worker') || !isMainThread;
const isCommand = isMainThread && process.env.REPRISE_TRACE_COMMAND !== undefined;
const mine = basename(process.argv[1] ?? '') === 'main.js' || !isMainThread;

if (directory !== undefined && mine && (isWorker || isCommand)) {
  // Files are told apart: the command line runs from its modules, not from the few files that the build makes of them.
  registerHooks({
    resolve: (specifier, context, next) =>
      next(specifier.replace(/\/(?:command|worker)-line\.bundle\.js$/, '/command-line.js'), context),
  });
  const session = new inspector.Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
  if (isCommand) await traceCommand(session);
  else traceWorker(session);
}

/** What runs when it is loaded, or only in the sandbox of the workflows. */
const programs =
  /^(?:main|workflow-bundle|worker\/(?:uploader|row-counter)|(?:command|worker)-line.*\.bundle)\.js$|^(?:workflows|demo)\//;

/** Our files on the call stack, those that await it included. */
function callStack() {
  Error.stackTraceLimit = 200;
  return new Error('where').stack.match(/file:\/\/[^\s)]*\/dist\/[^\s):]*/g) ?? [];
}

/** What a module calls while it is loaded is no step of the way: everything is loaded before counting begins. */
async function loadEverything() {
  const dist = new URL('../dist/', import.meta.url);
  for (const name of readdirSync(dist, { recursive: true })) {
    if (name.endsWith('.js') && !programs.test(name)) await import(new URL(name, dist).href);
  }
}

/** What was called since the last time; the inspector of one's own thread answers at once. */
function takeCalls(session) {
  let scripts = [];
  session.post('Profiler.takePreciseCoverage', (error, answer) => {
    if (error) throw error;
    scripts = answer.result
      .filter(({ url }) => (url.includes('/dist/') || url.includes('workflow-bundle')) && !url.includes('node_modules'))
      .map(({ url, functions }) => ({
        url,
        calls: functions
          // The module itself begins at 0.
          .filter(({ ranges: [{ count, startOffset }] }) => count > 0 && startOffset > 0)
          .map(({ functionName, ranges: [{ startOffset }] }) => ({ name: functionName, offset: startOffset })),
      }));
  });
  return scripts;
}

async function traceCommand(session) {
  const { Command } = await import('commander');
  const { action } = Command.prototype;
  let declared = [];
  let sent = [];
  Command.prototype.action = function (run) {
    return action.call(this, async (...args) => {
      declared = callStack();
      await loadEverything();
      takeCalls(session);
      return run.apply(this, args);
    });
  };
  const { WorkflowClient } = await import('@temporalio/client');
  const { start } = WorkflowClient.prototype;
  WorkflowClient.prototype.start = function (...args) {
    sent = callStack();
    return start.apply(this, args);
  };
  process.once('exit', () => {
    writeFileSync(
      join(directory, 'calls-command'),
      JSON.stringify({ stack: [...declared, ...sent], scripts: takeCalls(session) }),
    );
  });
}

/** Writes at SIGUSR2, in each thread. */
function traceWorker(session) {
  const name = `calls-worker-${process.pid}-${threadId}`;
  let stack = [];
  const write = () => writeFileSync(join(directory, name), JSON.stringify({ stack, scripts: takeCalls(session) }));
  const channel = new BroadcastChannel('reprise-trace');
  channel.unref();
  if (isMainThread) {
    const { spawn } = childProcess;
    childProcess.spawn = (...args) => {
      if (JSON.stringify(args).includes('pg_dump')) stack = callStack();
      return spawn(...args);
    };
    syncBuiltinESMExports();
    writeFileSync(join(directory, `worker-${process.pid}`), '');
    process.on('SIGUSR2', async () => {
      await loadEverything();
      channel.postMessage('write');
      write();
    });
  } else channel.onmessage = write;
}
