/** Media back to a point in time against s3-pit-restore on one MinIO, and the memory of a plan over a million keys. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clearInterval, setImmediate, setInterval } from 'node:timers';
import { CopyObjectCommand } from '@aws-sdk/client-s3';
import pMap from 'p-map';
import { applyAll } from '../dist/media/apply.js';
import { MediaScan } from '../dist/media/scan.js';
import { summarise } from '../dist/media/summary.js';
import { actionsOf } from '../dist/media/carry-out.js';
import { median, seconds } from './lab.mjs';
import { damagedBucket, startMinio } from './media-lab.mjs';

const OBJECTS = Number(process.env.REPRISE_BENCH_OBJECTS ?? 10_000);
const PAIRS = Number(process.env.REPRISE_BENCH_PAIRS ?? 3);
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
      for (const signal of ['SIGINT', 'SIGTERM'])
        process.once(signal, () => reject(new Error(`interrupted by ${signal}`)));
    });
    return [...(await Promise.race([recoveries(root, children, say), interrupted])), memory];
  } finally {
    for (const child of children) child.kill('SIGKILL');
    await rm(root, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Both sides in turn, each from the same state, after a smaller round that is not counted. */
async function recoveries(root, children, say) {
  const packages = join(root, 'packages');
  await run('python3', ['-m', 'pip', 'install', '--quiet', '--target', packages, 's3-pit-restore'], {});
  const server = await startMinio(root, children);
  const tool = ({ name, at }, bucket) =>
    run(
      'python3',
      [
        join(packages, 'bin', 's3-pit-restore'),
        '-b',
        name,
        '-B',
        bucket,
        '-p',
        'media/',
        '-t',
        new Date(at).toISOString(),
      ],
      { ...server.environment, PYTHONPATH: packages },
    );
  await round(server, await damagedBucket(server, 'warm', OBJECTS / 10), tool, 0);
  const lab = await damagedBucket(server, 'source', OBJECTS);
  say(`two versions of ${OBJECTS} objects are there`);
  const rounds = [];
  for (let n = 0; n < PAIRS; n++) {
    rounds.push(await round(server, lab, tool, n));
    say(
      Object.entries(rounds.at(-1))
        .map(([what, took]) => `${what} ${took.toFixed(1)} s`)
        .join(', '),
    );
  }
  const of = (what) => median(rounds.map((one) => one[what]));
  const [theirPlace, theirInto, bare] = [of('theirPlace'), of('theirInto'), of('bare')];
  return [
    {
      name: `media in place, ${OBJECTS} objects of which 5 % are damaged, against a tenth of s3-pit-restore's time (${theirPlace.toFixed(1)} s; median of ${PAIRS} pairs)`,
      unit: 's',
      value: of('place'),
      limit: theirPlace / 10,
      detail: { rounds },
    },
    {
      name: `the same into another bucket, all of them, against s3-pit-restore less a sixth (${theirInto.toFixed(1)} s)`,
      unit: 's',
      value: of('into'),
      limit: theirInto / 1.2,
    },
    {
      name: `the copying of it, against as many bare CopyObject calls and a tenth (${bare.toFixed(1)} s)`,
      unit: 's',
      value: of('copying'),
      limit: bare * 1.1,
    },
  ];
}

/** Seconds of each side in place, and of each into a bucket of its own; who comes first changes with every round. */
async function round(server, lab, tool, n) {
  const took = {};
  const inTurn = async (sides) => {
    for (const side of n % 2 === 0 ? sides : sides.toReversed()) await side();
  };
  const source = server.place(lab.name);
  await inTurn([
    async () => {
      await lab.damage();
      const { whole, changing } = await recover({ kind: 'restore', place: source, at: lab.at, later: 'remove' });
      Object.assign(took, { place: whole, changing });
    },
    async () => {
      await lab.damage();
      took.theirPlace = await seconds(() => tool(lab, lab.name));
      const { counts } = await summarise(actionsOf({ kind: 'restore', place: source, at: lab.at, later: 'keep' }));
      if (left(counts) > 0) throw new Error(`s3-pit-restore left ${JSON.stringify(counts)}`);
    },
  ]);
  await lab.damage();
  const empty = (side) => server.make(`${lab.name}-${n}-${side}`);
  await inTurn([
    async () => {
      const { whole, changing } = await recover({
        kind: 'restore-into',
        from: source,
        into: server.place(await empty('ours')),
        at: lab.at,
      });
      Object.assign(took, { into: whole, copying: changing });
    },
    async () => {
      const Bucket = await empty('bare');
      took.bare = await seconds(() =>
        pMap(
          lab.versions,
          ({ Key, VersionId }) =>
            server.client.send(
              new CopyObjectCommand({ Bucket, Key, CopySource: `${lab.name}/${Key}?versionId=${VersionId}` }),
            ),
          { concurrency: CONCURRENCY },
        ),
      );
    },
    async () => {
      const bucket = await empty('theirs');
      took.theirInto = await seconds(() => tool(lab, bucket));
    },
  ]);
  return took;
}

/** The plan, its second look and the changes are timed; the look at everything afterwards has no counterpart there. */
async function recover(work) {
  let changing = 0;
  const whole = await seconds(async () => {
    const plan = await summarise(actionsOf(work));
    const look = new MediaScan();
    if ((await summarise(look.over(actionsOf(work)))).changes !== plan.changes) throw new Error('the plan differs');
    changing = await seconds(() =>
      applyAll(work, { concurrency: CONCURRENCY, singleCopyBytes: SINGLE_COPY_BYTES, found: look.fresh }),
    );
  });
  const { counts } = await summarise(actionsOf(work));
  if (left(counts) > 0) throw new Error(`not all came back: ${JSON.stringify(counts)}`);
  return { whole, changing };
}

const left = ({ copy, overwrite, undelete, remove }) =>
  copy.objects + overwrite.objects + undelete.objects + remove.objects;

/** A listing that is made up as it is read: what grows is ours. */
async function planMemory(say) {
  const version = (n, name, hour) => ({
    key: `media/${String(n).padStart(9, '0')}.jpg`,
    versionId: `${name}-${n}`,
    latest: name === 'new',
    deleted: false,
    sizeBytes: 4096,
    etag: `${name}-of-${n}`,
    modifiedAt: `2026-11-21T0${hour}:00:00.000Z`,
  });
  const work = (count) => {
    const versions = async function* () {
      for (let n = 0; n < count; n++) yield* [version(n, 'new', n % 20 === 7 ? 3 : 1), version(n, 'old', 1)];
    };
    const objects = {
      place: { server: 'none', bucket: 'none', keyOf: (key) => key },
      versions,
      copiedFrom: async () => null,
      copyFrom: () => new Promise((done) => setImmediate(done)),
    };
    return {
      kind: 'restore',
      place: { name: 'none', storage: { kind: 'none', objects }, folder: '' },
      at: Date.parse('2026-11-21T02:00:00Z'),
      later: 'keep',
    };
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
  return {
    name: 'more memory for a plan and its changes over a million keys than over 100,000, listing simulated',
    unit: 'MB',
    value: Math.max(0, big - small),
    limit: MEMORY_LIMIT_MB,
    detail: { small, big },
  };
}

async function run(program, argv, env) {
  const child = spawn(program, argv, { env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'inherit'] });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`${program} ${argv[0]} exited with ${code}`);
}
