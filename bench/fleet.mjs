/** A thousand clusters with one scheduled policy each, on one embedded server: what a person waits for. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { startTemporal } from '../dist/embedded/temporal-server.js';
import { stopProcess } from '../dist/process/exec/background.js';

const CLUSTERS = Number(process.env.REPRISE_BENCH_FLEET ?? 1000);
const mainFile = fileURLToPath(new URL('../dist/main.js', import.meta.url));

export async function fleet(say) {
  const directory = await mkdtemp(join(tmpdir(), 'reprise-fleet-'));
  let server;
  try {
    const config = join(directory, 'reprise.yml');
    await writeFile(config, stringify(configOf(directory)));
    server = await startTemporal({ stateDir: directory, databaseFile: join(directory, 'temporal.db') });
    const { address, namespace } = server;
    const where = ['--config', config, '--address', address, '--namespace', namespace];
    const timed = async (what, limit, ...argv) => {
      say(what);
      const value = await seconds(argv.concat(where));
      return { name: `${what}, ${CLUSTERS} clusters with one schedule each`, unit: 's', value, limit };
    };
    return [
      await timed('schedule apply', 20, 'schedule', 'apply'),
      await timed('schedule apply with nothing to do', 5, 'schedule', 'apply'),
      await timed('schedule list', 3, 'schedule', 'list'),
      await timed('status', 1.5, 'status'),
      await timed('config check', 1.5, 'config', 'check'),
    ];
  } finally {
    if (server !== undefined) await stopProcess(server.identity);
    await rm(directory, { recursive: true, force: true });
  }
}

function configOf(directory) {
  const clusters = Array.from({ length: CLUSTERS }, (_none, index) => [
    `c${String(index).padStart(4, '0')}`,
    {
      connection: { host: `10.${index >> 8}.${index & 255}.1`, user: 'reprise' },
      databases: ['app'],
      backups: { nightly: { engine: 'logical', schedule: { cron: `${index % 60} ${index % 24} * * *` } } },
    },
  ]);
  return {
    version: 1,
    hosts: { bench: { state_dir: join(directory, 'state') } },
    repositories: { local: { type: 'directory', path: join(directory, 'backups'), host: 'bench' } },
    clusters: Object.fromEntries(clusters),
  };
}

/** Seconds of a command; its progress is shown where stderr is a terminal. */
async function seconds(argv) {
  const started = performance.now();
  const child = spawn(process.execPath, [mainFile, ...argv], { stdio: ['ignore', 'pipe', 'inherit'] });
  let last = '';
  child.stdout.on('data', (chunk) => (last = (last + chunk).slice(-1000)));
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`${argv.slice(0, 2).join(' ')} ended with ${code}: ${last}`);
  return (performance.now() - started) / 1000;
}
