/**
 * A dump streamed into S3 by our uploader against the same pg_dump piped into plain ones, on the same server and data,
 * in turns; and the uploader's peak of memory. Nothing is compressed, so that all of the data goes through the uploader.
 *
 * REPRISE_BENCH_SCALE (70: 1 GB), REPRISE_BENCH_PAIRS (5); `aws` and `s5cmd` are found in PATH, whichever there is.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { requireProgram, toolsDirectory } from '../dist/process/binaries.js';
import { toolEnvironment } from '../dist/process/environment.js';
import { freePorts } from '../dist/process/ports.js';
import { asUser } from '../dist/process/users.js';
import { libpqEnv } from '../dist/postgres/environment.js';
import { makeScratchDirectory } from '../dist/postgres/scratch-data-dir.js';
import { Lab, median, pairs, seconds } from './lab.mjs';

const uploader = fileURLToPath(new URL('../dist/worker/uploader.js', import.meta.url));

export function stream(say) {
  return Lab.with(async (lab) => {
    const bytes = await lab.fill();
    const server = await startServer(join(lab.scratch.root, 's3'));
    try {
      return await compare(lab, server, bytes, say);
    } finally {
      server.child.kill('SIGKILL');
      await once(server.child, 'exit');
    }
  });
}

async function compare(lab, server, bytes, say) {
  const { scratch } = lab;
  const dump = asUser(scratch.user, [join(scratch.pgBin, 'pg_dump'), '--format=custom', '--compress=0']);
  const env = toolEnvironment(scratch.user, libpqEnv(scratch.connection, 'mairie'));
  const order = join(scratch.root, 'order.json');
  const repository = { name: 's3', type: 's3', options: { bucket: 'bench', prefix: '', region: 'us-east-1', endpoint: server.endpoint, forcePathStyle: true, accessKeyId: { env: 'AWS_ACCESS_KEY_ID' }, secretAccessKey: { env: 'AWS_SECRET_ACCESS_KEY' }, partBytes: 16 * 1024 ** 2, concurrency: 4 } };
  await writeFile(order, JSON.stringify({ repository, key: 'ours', argv: dump, env, variables: server.keys }), { mode: 0o600 });
  let peak = 0;
  const ways = {
    ours: async () => (peak = Math.max(peak, await run([process.execPath, '--expose-gc', uploader, order], { ...env, MALLOC_ARENA_MAX: '2' }))),
    ...(await plain('aws', (aws) => run(['/bin/bash', '-o', 'pipefail', '-c', '"${@:3}" | "$1" --endpoint-url "$2" s3 cp - s3://bench/aws --quiet', 'pipe', aws, server.endpoint, ...dump], { ...env, ...server.keys }))),
    ...(await plain('s5cmd', (s5cmd) => run(['/bin/bash', '-o', 'pipefail', '-c', '"${@:3}" | "$1" --endpoint-url "$2" pipe s3://bench/s5cmd', 'pipe', s5cmd, server.endpoint, ...dump], { ...env, ...server.keys }))),
  };
  const times = Object.fromEntries(Object.keys(ways).map((name) => [name, []]));
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
  const [fastest, limit] = Object.entries(others).toSorted(([, a], [, b]) => a - b)[0] ?? ['nothing to compare with', Number.NaN];
  const gigabytes = (bytes / 1e9).toFixed(2);
  return [
    { name: `dump streamed to S3 against pg_dump into ${fastest}, the fastest plain uploader (${gigabytes} GB, median of ${pairs})`, unit: 's', value: ours, limit, detail: times },
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

async function startServer(directory) {
  await makeScratchDirectory(directory, null);
  for (const name of ['data', 'meta']) await mkdir(join(directory, name));
  const [port] = await freePorts(1);
  const keys = { AWS_ACCESS_KEY_ID: `AK${randomBytes(8).toString('hex')}`, AWS_SECRET_ACCESS_KEY: randomBytes(20).toString('hex'), AWS_REGION: 'us-east-1' };
  const argv = ['--port', `127.0.0.1:${port}`, '--region', 'us-east-1', '--quiet', 'posix', '--sidecar', join(directory, 'meta'), join(directory, 'data')];
  const env = { ...process.env, ROOT_ACCESS_KEY: keys.AWS_ACCESS_KEY_ID, ROOT_SECRET_KEY: keys.AWS_SECRET_ACCESS_KEY };
  const child = spawn(join(toolsDirectory(), 'versitygw-1.8.0', 'versitygw'), argv, { env, stdio: 'ignore' });
  const endpoint = `http://127.0.0.1:${port}`;
  const client = new S3Client({ region: 'us-east-1', endpoint, forcePathStyle: true, credentials: { accessKeyId: keys.AWS_ACCESS_KEY_ID, secretAccessKey: keys.AWS_SECRET_ACCESS_KEY } });
  for (let tries = 0; ; tries++) {
    const made = await client.send(new CreateBucketCommand({ Bucket: 'bench' })).then(
      () => true,
      () => false,
    );
    if (made) break;
    if (tries > 100) throw new Error('the S3 server does not answer');
    await sleep(100);
  }
  client.destroy();
  return { child, endpoint, keys };
}
