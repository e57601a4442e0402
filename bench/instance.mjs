/**
 * A temporary instance, from the order of a client to its connection string, against pgBackRest's restore and a start of the server to the
 * same place, in alternating pairs on one backup. Then, where a file system that copies by reference can be mounted, a second instance of
 * a backup, which is made from the first one.
 *
 * REPRISE_BENCH_SCALE (70: 1 GB), REPRISE_BENCH_PAIRS (5)
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { dropExploration, viewOf } from '../dist/client/explore.js';
import { startExploration } from '../dist/client/start.js';
import { withMaintenance } from '../dist/postgres/connection/with-client.js';
import { BareServer } from './bare-server.mjs';
import { Lab, median, pairs, scale, seconds } from './lab.mjs';

/** What is promised. */
const OVERHEAD_SECONDS = 2;
const SECOND_SECONDS = 3;
const POINT = 'looked-at';
const POLL_MS = 50;
const run = promisify(execFile);

export async function instance(say) {
  return [
    await Lab.with((lab) => overBareRestore(lab, say)),
    ...(await withReferences(say, (mount) => Lab.with((lab) => fromTheFirst(lab, mount, say)))),
  ];
}

async function overBareRestore(lab, say) {
  const bytes = await prepared(lab);
  const times = { bare: [], explore: [], phases: {} };
  for (let pair = 0; pair < pairs; pair++)
    for (const how of pair % 2 === 0 ? ['bare', 'explore'] : ['explore', 'bare']) {
      const taken = how === 'bare' ? await bareRestore(lab) : await dropped(await explored(lab, times.phases));
      times[how].push(taken);
      say(`${how} ${pair + 1}/${pairs}: ${taken.toFixed(1)} s`);
    }
  const [ours, alone] = [median(times.explore), median(times.bare)];
  return {
    name: `temporary instance over pgBackRest's restore and a start of the server (${inGb(bytes)}, median of ${pairs} pairs: ${ours.toFixed(1)} s over ${alone.toFixed(1)} s)`,
    ...{ unit: 's', value: ours - alone, limit: OVERHEAD_SECONDS, detail: { bytes, ...times } },
  };
}

async function fromTheFirst(lab, scratchDir, say) {
  const bytes = await prepared(lab, scratchDir);
  const times = { first: [], second: [], phases: {} };
  const first = await explored(lab, {});
  times.first.push(first.taken);
  say(`the first one, with a copy by reference that is kept: ${first.taken.toFixed(1)} s`);
  for (let count = 0; count < pairs; count++) {
    const second = await explored(lab, times.phases);
    times.second.push(second.taken);
    say(`a further one ${count + 1}/${pairs}: ${second.taken.toFixed(1)} s`);
    await second.drop();
  }
  await first.drop();
  return {
    name: `a second temporary instance of a backup of ${inGb(bytes)} on XFS, by reference (median of ${pairs}; the first: ${first.taken.toFixed(1)} s)`,
    ...{ unit: 's', value: median(times.second), limit: SECOND_SECONDS, detail: { bytes, ...times } },
  };
}

const inGb = (bytes) => `${(bytes / 1e9).toFixed(2)} GB`;

/** A backup, some WAL after it, and a restore point in that. */
async function prepared(lab, scratchDir) {
  const bytes = await lab.fill();
  await lab.serve(
    { mairie: lab.cluster(lab.physical) },
    scratchDir === undefined ? {} : { host: { scratch_dir: scratchDir } },
  );
  await lab.backUp();
  await lab.tool('pgbench', ['--no-vacuum', '--client=2', `--transactions=${20 * scale}`, 'mairie']);
  await lab.sql(`SELECT pg_create_restore_point('${POINT}')`);
  await lab.tool('pgbench', ['--no-vacuum', '--client=2', '--transactions=50', 'mairie']);
  const segment = await lab.closeSegment();
  const archived = async () => (await lab.sql('SELECT last_archived_wal AS name FROM pg_stat_archiver'))[0].name;
  while ((await archived()) < segment) await sleep(POLL_MS);
  return bytes;
}

async function dropped({ taken, drop }) {
  await drop();
  return taken;
}

/** As `reprise explore start` waits for it. */
async function explored(lab, phasesOf) {
  let work;
  const taken = await seconds(async () => {
    const order = { target: { kind: 'name', name: POINT }, policy: 'policy' };
    work = await startExploration(lab.session, { cluster: 'mairie', requester: 'bench', order });
    const ended = work.handle.result().then(() => {
      throw new Error('the instance is gone');
    });
    ended.catch(() => undefined);
    while ((await Promise.race([viewOf(lab.session, work.handle), ended])).instance === null)
      await Promise.race([sleep(POLL_MS), ended]);
  });
  const { phases } = await work.handle.query('status');
  for (const { name, seconds: each } of phases)
    if (each !== null) (phasesOf[name] ??= []).push(Number(each.toFixed(2)));
  const { workflowId } = work;
  return { taken, drop: () => dropExploration(lab.session, { workflowId }, { by: 'bench' }) };
}

/** The runbook by hand; what it leaves is removed untimed. */
async function bareRestore(lab) {
  const server = new BareServer(lab, join(lab.scratch.root, 'bare'));
  try {
    return await seconds(async () => {
      await server.restoreFiles('--type=name', `--target=${POINT}`);
      await server.start();
      const isPaused = () =>
        withMaintenance(server.connection, async (client) => {
          const { rows } = await client.query("SELECT pg_get_wal_replay_pause_state() = 'paused' AS paused");
          return rows[0].paused;
        });
      while (!(await isPaused())) await sleep(POLL_MS);
    });
  } finally {
    await server.remove();
  }
}

/** Runs with an XFS in a file; says why there is none where this machine mounts none. */
async function withReferences(say, measure) {
  const place = await mkdtemp(join(process.env.REPRISE_BENCH_DIR ?? tmpdir(), 'reprise-bench-xfs-'));
  const [image, mount] = [join(place, 'image'), join(place, 'm')];
  try {
    try {
      await run('truncate', ['-s', `${1 + Math.ceil(scale / 20)}G`, image]);
      await run('mkfs.xfs', ['-q', '-m', 'reflink=1', image]);
      await run('mkdir', ['-m', '755', mount]);
      await run('chmod', ['755', place]);
      await run('mount', ['-t', 'xfs', '-o', 'loop', image, mount]);
    } catch (error) {
      say(`no second instance is measured, since no XFS can be mounted here: ${error.message.trim()}`);
      return [];
    }
    await run('mkdir', ['-m', '700', join(mount, 'scratch')]);
    await run('chown', ['postgres:', join(mount, 'scratch')]);
    return [await measure(join(mount, 'scratch'))];
  } finally {
    await run('umount', ['-l', mount]).catch(() => undefined);
    await rm(place, { recursive: true, force: true });
  }
}
