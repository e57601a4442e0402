#!/usr/bin/env node
/**
 * Lists the source files that one `reprise backup run` of a logical policy passes, from its arguments to the start of
 * pg_dump: `npm run trace:backup`, or `node scripts/trace-files.mjs [--most N]` (exit 1 when more than N hand it on).
 *
 * Two lists. The first has the files that hand the order on: those on the call stack when the command starts the workflow,
 * where the workflow waits for its activity, and when the worker starts pg_dump. It is the way a reader follows. The second has
 * every file that has a function called on the way: what configures, checks, records and formats as well.
 *
 * How it counts. Nothing is guessed from imports: the command runs for real, against a PostgreSQL server, a Temporal server
 * and a worker that are made for it, while V8 counts the calls of each function (precise coverage, by the inspector).
 * - In the command's process counting begins when the parser calls the command: what declares the commands and their help
 *   is not counted, the files on the call stack at that moment are. It ends with the process, which runs with --detach:
 *   what would show the progress is not on the way.
 * - In the worker counting begins once it polls and has had nothing to do for a while, so that its start, its sweeps and its
 *   configuration are not counted, and ends when pg_dump is started: a program of that name waits until the counters were read.
 * - In the workflow's sandbox calls are traced back to their files by the source map of the bundle. The sandbox loads every
 *   module again for each workflow: what another workflow (that of `backup list`) calls too is left out.
 * A file counts when at least one of its functions was called; types and constants alone are not called, and what a module calls
 * while it is loaded is left out: every module is loaded before counting begins. It is one run: branches that it does not take
 * are not seen.
 */
import { Buffer } from 'node:buffer';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const main = join(root, 'dist/main.js');
const probe = new URL('trace-probe.mjs', import.meta.url).href;
/** A worker has swept and looked around by then. */
const IDLE_MS = 8000;

const mostAt = process.argv.indexOf('--most');
const most = mostAt < 0 ? Infinity : Number(process.argv[mostAt + 1]);

const scratch = mkdtempSync(join(tmpdir(), 'reprise-trace-'));
chmodSync(scratch, 0o755);
const configFile = join(scratch, 'reprise.yml');
const traced = join(scratch, 'traced');
/** Where pg_dump, as whatever user it runs, says that it was started, and waits. */
const shim = join(scratch, 'shim');
const env = { ...process.env, REPRISE_CONFIG: configFile, REPRISE_PG_BIN: join(scratch, 'bin') };
delete env.TEMPORAL_ADDRESS;
// Of functions whose compiled code was kept V8 counts less exactly.
const probed = {
  ...env,
  NODE_OPTIONS: `--import=${probe}`,
  NODE_DISABLE_COMPILE_CACHE: '1',
  REPRISE_TRACE: traced,
};

let files;
let way;
try {
  mkdirSync(traced);
  mkdirSync(shim);
  chmodSync(shim, 0o1777);
  await startPostgres();
  // The server alone first: the worker that is traced then comes into its place.
  const { address } = JSON.parse(reprise(probed, 'up', '--json'));
  reprise(env, 'schedule', 'apply');
  await sleep(IDLE_MS);
  await countFromHere();
  reprise(env, 'backup', 'list');
  const loading = await countFromHere();
  reprise({ ...probed, REPRISE_TRACE_COMMAND: '1' }, 'backup', 'run', 'mairie', '--detach');
  await until(() => existsSync(join(shim, 'started')), 'pg_dump is started');
  await countFromHere();
  way = [...stacks(), ...(await workflowStack(address))];
  files = passedFiles(loading);
} finally {
  writeFileSync(join(shim, 'go'), '');
  reprise(env, 'down');
  asPostgres('pg_ctl', 'stop', '--silent', '--mode=immediate', `--pgdata=${join(scratch, 'data')}`);
  rmSync(scratch, { recursive: true, force: true });
}

list('hand the order on', [...new Set(way)].sort());
list('have a function called', files);
const handing = new Set(way).size;
if (handing > most) {
  console.error(`more than ${most}`);
  process.exitCode = 1;
}

function list(what, paths) {
  const folders = Map.groupBy(paths, (path) => path.split('/')[1].replace(/\.ts$/, ''));
  console.log(`\n${paths.length} files ${what}, from argv to pg_dump`);
  for (const [folder, own] of [...folders].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    console.log(`${folder} (${own.length})`);
    for (const path of own) console.log(`  ${path}`);
  }
}

/** Files on the call stacks when the command starts the workflow and when the worker starts pg_dump. */
function stacks() {
  return readdirSync(traced)
    .filter((name) => name.startsWith('calls-'))
    .flatMap((name) => JSON.parse(readFileSync(join(traced, name), 'utf8')).stack ?? [])
    .map(sourceOf)
    .filter(Boolean);
}

/** Files where the workflow waits for its activity, as the server's own query tells. */
async function workflowStack(address) {
  const { Client, Connection } = await import('@temporalio/client');
  const connection = await Connection.connect({ address });
  try {
    const text = await new Client({ connection }).workflow.getHandle('backup/mairie/dump').query('__stack_trace');
    return [...text.matchAll(/src\/[\w/.-]+\.ts/g)]
      .map(([path]) => path)
      .filter((path) => existsSync(join(root, path)));
  } finally {
    await connection.close();
  }
}

/** Has every process and thread of the worker write what was called since the last time, and begin at zero. */
async function countFromHere() {
  const pids = readdirSync(traced).flatMap((name) => /^worker-(\d+)$/.exec(name)?.[1] ?? []);
  if (pids.length !== 1) throw new Error(`one traced worker is expected, not ${pids.length}`);
  for (const name of readdirSync(traced)) if (name.startsWith('calls-worker-')) rmSync(join(traced, name));
  process.kill(Number(pids[0]), 'SIGUSR2');
  // The worker itself and the thread of its workflows.
  const written = () => readdirSync(traced).filter((name) => name.startsWith('calls-worker-'));
  await until(() => written().length >= 2, 'the worker has written its counters');
  await sleep(1000);
  return new Set(
    calledFunctions().flatMap(({ url, calls }) => (inBundle(url) ? calls.map(({ offset }) => offset) : [])),
  );
}

/** `loading`: functions of the bundle that any workflow calls. */
function passedFiles(loading) {
  const found = new Set();
  for (const { url, calls } of calledFunctions()) {
    if (inBundle(url))
      for (const file of fromBundle(calls.filter(({ offset }) => !loading.has(offset)))) found.add(file);
    else if (calls.length > 0) found.add(sourceOf(url));
  }
  return [...found].filter(Boolean).sort();
}

function inBundle(url) {
  return url.includes('workflow-bundle');
}

/** Of each script; the files on the command's call stack are called too. */
function calledFunctions() {
  return readdirSync(traced)
    .filter((name) => name.startsWith('calls-'))
    .flatMap((name) => {
      const { stack = [], scripts } = JSON.parse(readFileSync(join(traced, name), 'utf8'));
      return [...scripts, ...stack.map((url) => ({ url, calls: [{ name: '', offset: 1 }] }))];
    });
}

/** `file:///.../dist/x/y.js` as `src/x/y.ts`; null for what is not ours. */
function sourceOf(url) {
  const dist = new URL('dist/', `file://${root}`).href;
  const path = url.startsWith('file:') ? url : new URL(url, 'file://').href;
  return path.startsWith(dist) ? `src/${path.slice(dist.length).replace(/\.js$/, '.ts')}` : null;
}

/** Files of the functions at these places of the bundle. */
function fromBundle(calls) {
  const code = readFileSync(join(root, 'dist/workflow-bundle.js'), 'utf8');
  const [, encoded] = /\/\/# sourceMappingURL=data:[^,]*;base64,(\S+)/.exec(code) ?? [];
  if (encoded === undefined) throw new Error('the bundle of the workflows has no source map');
  const starts = [0];
  for (let at = code.indexOf('\n'); at >= 0; at = code.indexOf('\n', at + 1)) starts.push(at + 1);
  const { SourceMap } = process.getBuiltinModule('node:module');
  const map = new SourceMap(JSON.parse(Buffer.from(encoded, 'base64').toString()));
  return (
    calls
      // The bundler's own: a module is a function named by its path, and each of its exports is read by a function.
      .filter(({ name, offset }) => !name.includes('/') && !code.startsWith('() => (/* ', offset))
      .map(({ offset }) => {
        const line = starts.findLastIndex((start) => start <= offset);
        const { originalSource } = map.findEntry(line, offset - starts[line]);
        return /^src\/.*\.ts$/.test(originalSource ?? '') ? originalSource : null;
      })
  );
}

async function startPostgres() {
  const real = realPrograms();
  mkdirSync(env.REPRISE_PG_BIN);
  for (const name of readdirSync(real))
    if (name !== 'pg_dump') symlinkSync(join(real, name), join(env.REPRISE_PG_BIN, name));
  writeFileSync(
    join(env.REPRISE_PG_BIN, 'pg_dump'),
    `#!/bin/sh
case "$*" in
  *--version*) ;;
  *) : >'${shim}/started'; until test -e '${shim}/go'; do sleep 0.1; done ;;
esac
exec '${join(real, 'pg_dump')}' "$@"
`,
    { mode: 0o755 },
  );
  const data = join(scratch, 'data');
  mkdirSync(data);
  if (process.getuid() === 0) execFileSync('chown', ['postgres', data]);
  const port = await freePort();
  asPostgres('initdb', '--auth=trust', '--username=postgres', '--no-sync', `--pgdata=${data}`);
  const settings = `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off`;
  asPostgres('pg_ctl', 'start', '--wait', '--silent', `--pgdata=${data}`, `--log=${data}/log`, `--options=${settings}`);
  asPostgres('createdb', '--host=127.0.0.1', `--port=${port}`, '--username=postgres', 'mairie');
  writeFileSync(
    configFile,
    `version: 1
hosts: { db1: { state_dir: ${scratch}/state } }
repositories: { local: { type: directory, path: ${scratch}/backups, host: db1 } }
clusters:
  mairie:
    host: db1
    connection: { host: 127.0.0.1, port: ${port}, user: postgres }
    databases: [mairie]
    catalogue: local
    backups:
      dump: { engine: logical, repository: local, retention: { days: 14 } }
`,
  );
}

function realPrograms() {
  if (process.env.REPRISE_PG_BIN) return process.env.REPRISE_PG_BIN;
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).map(Number).filter(Boolean) : [];
  if (versions.length === 0) throw new Error('PostgreSQL is not here: name its programs by REPRISE_PG_BIN');
  return join(debian, String(Math.max(...versions)), 'bin');
}

/** PostgreSQL's programs, which refuse root. */
function asPostgres(program, ...argv) {
  const command = [join(realPrograms(), program), ...argv];
  if (process.getuid() === 0) command.unshift('runuser', '-u', 'postgres', '--');
  const { status, stderr } = spawnSync(command[0], command.slice(1), {
    cwd: '/',
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  });
  if (status !== 0) console.error(`${program}: ${stderr}`);
}

function reprise(environment, ...argv) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...argv], {
    cwd: scratch,
    env: environment,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`reprise ${argv.join(' ')}: ${stderr}`);
  return stdout;
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function until(holds, what) {
  for (const limit = Date.now() + 60_000; Date.now() < limit; await sleep(100)) if (holds()) return;
  throw new Error(`waited in vain: ${what}`);
}
