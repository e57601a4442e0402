#!/usr/bin/env node
/**
 * Measures the figures that are promised, prints each with its limit, and fails where one falls short:
 *   npm run bench [-- setup|demo|attach]
 * Machines differ: `docs/performance.md` says where its figures come from.
 */
import { spawnSync } from 'node:child_process';
import { performance } from 'node:perf_hooks';

const RUNS = 5;

/** Runs a command and gives its seconds and what it printed; a failing command is a failing bench. */
function timed(command, args, env = {}) {
  const started = performance.now();
  const done = spawnSync(command, args, { encoding: 'utf8', env: { ...process.env, ...env }, maxBuffer: 64 * 1024 * 1024 });
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${done.status}\n${done.stderr.slice(-2000)}`);
  return { seconds: (performance.now() - started) / 1000, output: done.stdout + done.stderr };
}

const repeated = (times, run) => Array.from({ length: times }, run);
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

const figures = {
  setup: () => {
    timed('bash', ['scripts/setup', '--test']);
    return { what: 'set-up when everything is there, median of 5', limit: 5, seconds: median(repeated(RUNS, () => timed('bash', ['scripts/setup', '--test']).seconds)) };
  },
  demo: () => {
    const runs = repeated(3, () => timed(process.execPath, ['dist/main.js', 'demo', '--yes', '--json']).seconds);
    return { what: 'the demo, both passes, median of 3', limit: 120, seconds: median(runs) };
  },
  attach: () => {
    const jest = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js', '--selectProjects', 'chaos', '--testTimeout=1800000'];
    const { output } = timed(process.execPath, jest, { REPRISE_CHAOS_ONLY: 'the worker is killed while', REPRISE_CHAOS_SEED: '1', REPRISE_CHAOS_AT_ONCE: '1' });
    const [, typical, most, times] = /within ([\d.]+) s of .* \(median\), ([\d.]+) s at most, (\d+) times/.exec(output) ?? [];
    return { what: `first poll of the new worker to its heartbeat on the job, longest of ${times} (median ${typical} s)`, limit: 15, seconds: Number(most) };
  },
};

const asked = process.argv.slice(2);
let short = false;
for (const [name, measure] of Object.entries(figures)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  const { what, limit, seconds } = measure();
  const kept = seconds <= limit;
  short ||= !kept;
  process.stdout.write(`${kept ? 'ok   ' : 'SHORT'}  ${name}: ${seconds.toFixed(1)} s of ${limit} s allowed (${what})\n`);
}
process.exitCode = short ? 1 : 0;
