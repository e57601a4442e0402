/**
 * A dump streamed into S3 by our uploader against the same pg_dump piped into plain ones, on the same server and data,
 * in turns; and the uploader's peak of memory. Nothing is compressed, so that all of the data goes through the uploader.
 *
 * REPRISE_BENCH_SCALE (70: 1 GB), REPRISE_BENCH_PAIRS (5), REPRISE_BENCH_PART_MIB (8, the default of part_size); `aws` and `s5cmd` are found in PATH, whichever there is.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { requireProgram } from '../dist/process/exec/find-programs.js';
import { toolEnvironment } from '../dist/process/exec/environment.js';
import { asUser } from '../dist/process/exec/users.js';
import { libpqEnv } from '../dist/postgres/connection/environment.js';
import { Lab, median, pairs, seconds } from './lab.mjs';
import { s3Options, startS3 } from './s3.mjs';

const partMib = Number(process.env.REPRISE_BENCH_PART_MIB ?? 8);
/** As a worker starts it. */
const uploader = [
  process.execPath,
  '--expose-gc',
  '--max-semi-space-size=1',
  fileURLToPath(new URL('../dist/worker/uploader.js', import.meta.url)),
];

export function stream(say) {
  return Lab.with(async (lab) => {
    const bytes = await lab.fill();
    const server = await startS3(join(lab.scratch.root, 's3'), { buckets: ['bench'] });
    try {
      return await compare(lab, server, bytes, say);
    } finally {
      await server.stop();
    }
  });
}

async function compare(lab, server, bytes, say) {
  const { scratch } = lab;
  const dump = asUser(scratch.user, [join(scratch.pgBin, 'pg_dump'), '--format=custom', '--compress=0']);
  const env = toolEnvironment(scratch.user, libpqEnv(scratch.connection, 'mairie'));
  const order = join(scratch.root, 'order.json');
  const repository = {
    name: 's3',
    type: 's3',
    options: s3Options(server, 'bench', { partBytes: partMib * 1024 ** 2 }),
  };
  await writeFile(order, JSON.stringify({ repository, key: 'ours', argv: dump, env, variables: server.keys }), {
    mode: 0o600,
  });
  let peak = 0;
  const ways = {
    ours: async () => (peak = Math.max(peak, await run([...uploader, order], { ...env, MALLOC_ARENA_MAX: '2' }))),
    ...(await plain('aws', (aws) =>
      run(
        [
          '/bin/bash',
          '-o',
          'pipefail',
          '-c',
          '"${@:3}" | "$1" --endpoint-url "$2" s3 cp - s3://bench/aws --quiet',
          'pipe',
          aws,
          server.endpoint,
          ...dump,
        ],
        { ...env, ...server.keys },
      ),
    )),
    ...(await plain('s5cmd', (s5cmd) =>
      run(
        [
          '/bin/bash',
          '-o',
          'pipefail',
          '-c',
          '"${@:3}" | "$1" --endpoint-url "$2" pipe s3://bench/s5cmd',
          'pipe',
          s5cmd,
          server.endpoint,
          ...dump,
        ],
        { ...env, ...server.keys },
      ),
    )),
  };
  const times = Object.fromEntries(Object.keys(ways).map((name) => [name, []]));
  // What is read for the first time is slower for whoever comes first.
  for (const way of Object.values(ways)) await way();
  for (let pair = 0; pair < pairs; pair++) {
    // Who is first takes turns.
    for (const name of pair % 2 === 0 ? Object.keys(ways) : Object.keys(ways).toReversed()) {
      const taken = await seconds(ways[name]);
      times[name].push(taken);
      say(`${name} ${pair + 1}/${pairs}: ${taken.toFixed(1)} s`);
    }
  }
  const medians = Object.fromEntries(Object.entries(times).map(([name, all]) => [name, median(all)]));
  const { ours, ...others } = medians;
  const [fastest, limit] = Object.entries(others).toSorted(([, a], [, b]) => a - b)[0] ?? [
    'nothing to compare with',
    Number.NaN,
  ];
  const gigabytes = (bytes / 1e9).toFixed(2);
  return [
    {
      name: `dump streamed to S3 against pg_dump into ${fastest}, the fastest plain uploader (${gigabytes} GB, median of ${pairs})`,
      unit: 's',
      value: ours,
      limit,
      detail: times,
    },
    { name: `peak RSS of the uploader, ${gigabytes} GB`, unit: 'MB', value: peak / 1e6, limit: 150 },
  ];
}

async function plain(name, how) {
  const program = await requireProgram(name).catch(() => null);
  return program === null ? {} : { [name]: () => how(program) };
}

/** Runs a command to its end; returns the peak of its memory in bytes. */
async function run([program, ...argv], env) {
  const child = spawn(program, argv, { env, cwd: '/', stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = once(child, 'exit');
  let peak = 0;
  while (child.exitCode === null && child.signalCode === null) {
    const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '');
    peak = Math.max(peak, Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1024);
    await Promise.race([ended, sleep(50)]);
  }
  const [code] = await ended;
  if (code !== 0) throw new Error(`${program} ended with ${code}`);
  return peak;
}
