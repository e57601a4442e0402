/** Figures that whole programs promise: set-up, demo, attaching to a job. */
import { spawnSync } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { median } from './lab.mjs';

const RUNS = 5;

/** Runs a command and gives its seconds and what it printed; a failing command is a failing bench. */
function timed(command, args, env = {}) {
  const started = performance.now();
  const done = spawnSync(command, args, {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    maxBuffer: 64 * 1024 * 1024,
  });
  if (done.status !== 0)
    throw new Error(`${command} ${args.join(' ')} ended with ${done.status}\n${done.stderr.slice(-2000)}`);
  return { seconds: (performance.now() - started) / 1000, output: done.stdout + done.stderr };
}

const repeated = (times, run) => Array.from({ length: times }, run);

export function setup() {
  timed('bash', ['scripts/setup', '--test']);
  const runs = repeated(RUNS, () => timed('bash', ['scripts/setup', '--test']).seconds);
  return [{ name: 'set-up when everything is there, median of 5', unit: 's', limit: 5, value: median(runs) }];
}

export function demo() {
  const runs = repeated(3, () => timed(process.execPath, ['dist/main.js', 'demo', '--yes', '--json']).seconds);
  return [{ name: 'the demo, both passes, median of 3', unit: 's', limit: 120, value: median(runs) }];
}

export function attach() {
  const jest = [
    '--experimental-vm-modules',
    '--disable-warning=ExperimentalWarning',
    'node_modules/jest/bin/jest.js',
    '--selectProjects',
    'chaos',
    '--testTimeout=1800000',
  ];
  const { output } = timed(process.execPath, jest, {
    REPRISE_CHAOS_ONLY: 'the worker is killed while',
    REPRISE_CHAOS_SEED: '1',
    REPRISE_CHAOS_AT_ONCE: '1',
  });
  const [, typical, most, times] =
    /within ([\d.]+) s of .* \(median\), ([\d.]+) s at most, (\d+) times/.exec(output) ?? [];
  return [
    {
      name: `first poll of the new worker to its heartbeat on the job, longest of ${times} (median ${typical} s)`,
      unit: 's',
      limit: 15,
      value: Number(most),
    },
  ];
}
