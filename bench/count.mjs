/**
 * How fast the rows of a dump are counted, by the width of a row: the counter as a worker starts it, behind a program that
 * prints what pg_restore would. No server and no compression, so that only the counting is measured.
 *
 * REPRISE_BENCH_GB (0.6): text for each width, and the width of the widest row.
 */
import { Buffer } from 'node:buffer';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const bytes = Number(process.env.REPRISE_BENCH_GB ?? 0.6) * 1e9;
/** 200 MB in a second. */
const SECONDS_PER_GB = 5;
const counter = [
  process.execPath,
  '--max-semi-space-size=1',
  fileURLToPath(new URL('../dist/worker/row-counter.js', import.meta.url)),
];

export async function count(say) {
  const file = join(tmpdir(), `reprise-bench-count-${process.pid}`);
  const times = {};
  let peak = 0;
  try {
    for (const width of [1, 20, 200, 60_000, bytes]) {
      const rows = await fill(file, width);
      const { seconds, rss, output } = await run([...counter, 'cat', file]);
      if (!output.startsWith(`${rows}\tCOPY`))
        throw new Error(`${rows} rows of ${width} bytes were counted as ${output}`);
      times[width] = seconds / (bytes / 1e9);
      peak = Math.max(peak, rss);
      say(`rows of ${width} bytes: ${times[width].toFixed(2)} s for a gigabyte`);
    }
  } finally {
    await rm(file, { force: true });
  }
  return [
    {
      name: `counting a gigabyte of a dump's rows, the slowest of rows of 1 byte to ${(bytes / 1e6).toFixed(0)} MB`,
      unit: 's',
      value: Math.max(...Object.values(times)),
      limit: SECONDS_PER_GB,
      detail: times,
    },
    {
      name: `peak RSS of the counter of rows, rows up to ${(bytes / 1e6).toFixed(0)} MB`,
      unit: 'MB',
      value: peak / 1e6,
      limit: 100,
    },
  ];
}

/** A table as COPY's text format has it; returns how many rows. */
async function fill(path, width) {
  const file = await open(path, 'w', 0o600);
  const rows = Math.max(1, Math.round(bytes / (width + 1)));
  const perPiece = Math.max(1, Math.floor(1e6 / (width + 1)));
  const piece = Buffer.from(`${'7'.repeat(Math.min(width, 1e6))}\n`.repeat(width > 1e6 ? 1 : perPiece));
  try {
    await file.write('COPY public.t (x) FROM stdin;\n');
    if (width > 1e6) {
      for (let left = width; left > 0; left -= 1e6) await file.write(piece.subarray(0, Math.min(left, 1e6)));
      await file.write('\n');
    } else
      for (let left = rows; left > 0; left -= perPiece)
        await file.write(piece.subarray(0, Math.min(left, perPiece) * (width + 1)));
    await file.write('\\.\n\n');
  } finally {
    await file.close();
  }
  return rows;
}

async function run([program, ...argv]) {
  const started = performance.now();
  const child = spawn(program, argv, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, MALLOC_ARENA_MAX: '2' },
  });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  const ended = once(child, 'close');
  let rss = 0;
  while (child.exitCode === null && child.signalCode === null) {
    const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '');
    rss = Math.max(rss, Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1024);
    await sleep(50);
  }
  await ended;
  if (child.exitCode !== 0) throw new Error(`the counter ended with ${child.exitCode ?? child.signalCode}`);
  const lines = output.split('\n').filter((line) => !line.endsWith('\tBYTES'));
  return { seconds: (performance.now() - started) / 1000, rss, output: lines.join('\n') };
}
