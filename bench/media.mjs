/** Media back to a point in time against s3-pit-restore on one MinIO, and the memory of a plan over a million keys. */
import { Buffer } from 'node:buffer';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clearInterval, setImmediate, setInterval } from 'node:timers';
import { setTimeout as sleep } from 'node:timers/promises';
import { CopyObjectCommand, CreateBucketCommand, DeleteObjectCommand, ListBucketsCommand, PutBucketVersioningCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import pMap from 'p-map';
import { applyAll } from '../dist/media/apply.js';
import { summarise } from '../dist/media/summary.js';
import { actionsOf } from '../dist/media/work.js';
import { toolsDirectory } from '../dist/process/binaries.js';
import { freePorts } from '../dist/process/ports.js';
import { openBucket } from '../dist/storage/s3/client.js';
import { readS3Options } from '../dist/storage/s3/options.js';
import { openS3 } from '../dist/storage/s3/s3-storage.js';
import { seconds } from './lab.mjs';

const OBJECTS = Number(process.env.REPRISE_BENCH_OBJECTS ?? 10_000);
/** The default of the config. */
const CONCURRENCY = 16;
const SINGLE_COPY_BYTES = 5 * 1024 ** 3;
const MEMORY_LIMIT_MB = 50;
const A_MILLION = 1_000_000;

export async function media(say) {
  const root = await mkdtemp(join(tmpdir(), 'reprise-bench-media-'));
  const children = [];
  try {
    const memory = await planMemory(say);
    const interrupted = new Promise((_, reject) => {
      for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => reject(new Error(`interrupted by ${signal}`)));
    });
    return [...(await Promise.race([recoveries(root, children, say), interrupted])), memory];
  } finally {
    for (const child of children) child.kill('SIGKILL');
    await rm(root, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Every object has two versions; of 5 %, half is deleted and half overwritten after the instant. */
async function recoveries(root, children, say) {
  const packages = join(root, 'packages');
  await run('python3', ['-m', 'pip', 'install', '--quiet', '--target', packages, 's3-pit-restore'], {});
  const server = await startMinio(root, children);
  const keys = Array.from({ length: OBJECTS }, (_, n) => `media/${String(n % 100).padStart(2, '0')}/${String(n).padStart(7, '0')}.jpg`);
  const damaged = keys.filter((_, n) => n % 20 === 7);
  const body = randomBytes(4096);
  const each = (some, command) => pMap(some, (key, n) => server.bucket('source').send(command(key, n), `filling ${key}`), { concurrency: 32 });
  const put = (Key) => new PutObjectCommand({ Bucket: 'source', Key, Body: Buffer.concat([Buffer.from(Key), randomBytes(8), body]) });
  const damage = () => each(damaged, (Key, n) => (n % 2 === 0 ? new DeleteObjectCommand({ Bucket: 'source', Key }) : put(Key)));
  for (const name of ['source', 'ours', 'theirs', 'bare']) await server.make(name, name === 'source');
  for (const version of [1, 2]) {
    await each(keys, put);
    say(`version ${version} of ${OBJECTS} objects is there`);
  }
  await sleep(1500);
  const at = Date.now();
  await sleep(1500);
  await damage();

  const source = server.place('source');
  const intoWork = { kind: 'restore-into', from: source, into: server.place('ours'), at };
  const { whole: into, changing: copying } = await recover(intoWork);
  say(`into another bucket: ${into.toFixed(1)} s, ${copying.toFixed(1)} s of it copying`);
  const bare = await seconds(() => pMap(keys, (Key) => server.bucket('bare').send(new CopyObjectCommand({ Bucket: 'bare', Key, CopySource: `source/${damaged.includes(Key) ? keys[0] : Key}` }), 'copying'), { concurrency: CONCURRENCY }));
  say(`bare copies: ${bare.toFixed(1)} s`);
  const theirs = (bucket) => run('python3', [join(packages, 'bin', 's3-pit-restore'), '-b', 'source', '-B', bucket, '-p', 'media/', '-t', new Date(at).toISOString()], { ...server.environment, PYTHONPATH: packages });
  const theirInto = await seconds(() => theirs('theirs'));
  say(`s3-pit-restore into another bucket: ${theirInto.toFixed(1)} s`);

  const { whole: place, changing } = await recover({ kind: 'restore', place: source, at, later: 'remove' });
  say(`in place: ${place.toFixed(1)} s, ${changing.toFixed(1)} s of it changing`);
  await damage();
  const theirPlace = await seconds(() => theirs('source'));
  say(`s3-pit-restore in place: ${theirPlace.toFixed(1)} s`);
  const wrong = Object.entries((await summarise(actionsOf({ kind: 'restore', place: source, at, later: 'keep' }))).counts).filter(([name, { objects }]) => name !== 'right' && objects > 0);
  if (wrong.length > 0) throw new Error(`s3-pit-restore left ${JSON.stringify(wrong)}`);

  const detail = { objects: OBJECTS, damaged: damaged.length, place, theirPlace, into, theirInto, bare };
  return [
    { name: `media in place, ${OBJECTS} objects of which 5 % are damaged, against a tenth of s3-pit-restore's time`, unit: 's', value: place, limit: theirPlace / 10, detail },
    { name: 'the same into another bucket, all of them, against s3-pit-restore less a sixth', unit: 's', value: into, limit: theirInto / 1.2 },
    { name: 'the copying of it, against as many bare CopyObject calls and a tenth', unit: 's', value: copying, limit: bare * 1.1 },
  ];
}

/** The plan, its second look and the changes are timed; the look at everything afterwards has no counterpart there. */
async function recover(work) {
  let changing = 0;
  const whole = await seconds(async () => {
    const plan = await summarise(actionsOf(work));
    if ((await summarise(actionsOf(work))).changes !== plan.changes) throw new Error('the plan differs');
    changing = await seconds(() => applyAll(work, { concurrency: CONCURRENCY, singleCopyBytes: SINGLE_COPY_BYTES }));
  });
  const { counts } = await summarise(actionsOf(work));
  if (counts.copy.objects + counts.overwrite.objects + counts.undelete.objects + counts.remove.objects > 0) throw new Error(`not all came back: ${JSON.stringify(counts)}`);
  return { whole, changing };
}

/** A listing that is made up as it is read: what grows is ours. */
async function planMemory(say) {
  const version = (n, name, hour) => ({ key: `media/${String(n).padStart(9, '0')}.jpg`, versionId: `${name}-${n}`, latest: name === 'new', deleted: false, sizeBytes: 4096, etag: `${name}-of-${n}`, modifiedAt: `2026-11-21T0${hour}:00:00.000Z` });
  const work = (count) => {
    const versions = async function* () {
      for (let n = 0; n < count; n++) yield* [version(n, 'new', n % 20 === 7 ? 3 : 1), version(n, 'old', 1)];
    };
    const objects = { place: { server: 'none', bucket: 'none', keyOf: (key) => key }, versions, copiedFrom: async () => null, copyFrom: () => new Promise((done) => setImmediate(done)) };
    return { kind: 'restore', place: { name: 'none', storage: { kind: 'none', objects }, folder: '' }, at: Date.parse('2026-11-21T02:00:00Z'), later: 'keep' };
  };
  const peak = async (count) => {
    let most = 0;
    const look = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 20);
    await summarise(actionsOf(work(count)));
    await applyAll(work(count), { concurrency: CONCURRENCY, singleCopyBytes: SINGLE_COPY_BYTES });
    clearInterval(look);
    return most / 1024 ** 2;
  };
  await peak(A_MILLION / 10);
  const small = await peak(A_MILLION / 10);
  const big = await peak(A_MILLION);
  say(`peak RSS over 100,000 keys: ${small.toFixed(0)} MB, over a million: ${big.toFixed(0)} MB`);
  return { name: 'more memory for a plan and its changes over a million keys than over 100,000, listing simulated', unit: 'MB', value: Math.max(0, big - small), limit: MEMORY_LIMIT_MB, detail: { small, big } };
}

async function startMinio(root, children) {
  const [port, consolePort] = await freePorts(2);
  const [id, key] = [`AK${randomBytes(9).toString('hex').toUpperCase()}`, randomBytes(20).toString('hex')];
  const endpoint = `http://127.0.0.1:${port}`;
  const env = { ...process.env, MINIO_ROOT_USER: id, MINIO_ROOT_PASSWORD: key, MINIO_BROWSER: 'off', MINIO_UPDATE: 'off' };
  children.push(spawn(join(toolsDirectory(), 'minio-2026-02-12', 'minio'), ['server', '--quiet', '--address', `127.0.0.1:${port}`, '--console-address', `127.0.0.1:${consolePort}`, join(root, 'minio')], { env, stdio: 'ignore' }));
  const options = (bucket) => readS3Options({ bucket, endpoint, force_path_style: true, access_key_id: { env: 'id' }, secret_access_key: { env: 'key' } });
  const secret = async (reference) => (reference.env === 'id' ? id : key);
  const buckets = new Map();
  const bucket = (name) => buckets.get(name) ?? buckets.set(name, openBucket(options(name), secret)).get(name);
  for (let tries = 0; tries < 300; tries++) {
    const answers = await bucket('none').client().then((client) => client.send(new ListBucketsCommand({}))).then(() => true, () => false);
    if (answers) break;
    await sleep(100);
  }
  return {
    bucket,
    place: (name) => ({ name, storage: openS3(options(name), secret), folder: 'media/' }),
    environment: { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: key, AWS_DEFAULT_REGION: 'us-east-1', AWS_ENDPOINT_URL_S3: endpoint },
    async make(name, versioned) {
      await bucket(name).send(new CreateBucketCommand({ Bucket: name }), 'making a bucket');
      if (versioned) await bucket(name).send(new PutBucketVersioningCommand({ Bucket: name, VersioningConfiguration: { Status: 'Enabled' } }), 'keeping versions');
    },
  };
}

async function run(program, argv, env) {
  const child = spawn(program, argv, { env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'inherit'] });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`${program} ${argv[0]} exited with ${code}`);
}
