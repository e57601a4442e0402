/** What is done to repairs of a table: afterwards the table is as it was or as approved, everybody can write to it, and nothing is left. */
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { expect } from '@jest/globals';
import pg from 'pg';
import type { HostActivities } from '../../src/activities/api.js';
import { signal } from '../../src/client/decide.js';
import type { StartedOperation } from '../../src/client/start.js';
import type { RepairOrder } from '../../src/domain/operation/orders.js';
import { repairRole } from '../../src/postgres/repair/repair-login.js';
import type { RepairOutput } from '../../src/workflows/api.js';
import { makeTempDir } from '../helpers/make-temp-dir.js';
import type { Site } from '../helpers/site.js';
import { type Journey, repairSteps } from './cases.js';
import type { Measured } from './journey.js';
import { withKilledTemporal } from '../helpers/killed-temporal.js';
import { differing, recordsOf, scheduled } from './leavings.js';
import { type Damage, onRepairSite, type RepairedFrom, type RepairSite } from './repairs.js';

const killed = (kills: number): Measured => ({ kills, attachSeconds: [] });

/** One repair with the kills of the journey. */
export async function travelRepair(on: RepairSite, { policy, kills }: Journey): Promise<Measured> {
  const label = await on.newestLabel();
  const crashAt = kills.map(({ at }) => at.replace('NEWEST', label));
  return killed(await on.passes(await on.damage(policy as RepairedFrom), { crashAt }));
}

/** Kills at seeded random instants. */
export async function repairAtRandom(
  on: RepairSite,
  from: RepairedFrom,
  random: () => number,
  times: number,
): Promise<Measured> {
  const during = async (
    _work: unknown,
    keeper: Parameters<Parameters<typeof on.withKeeper>[1]>[0],
    over: AbortSignal,
  ) => void (await keeper.killAtRandom(times, random, () => over.aborted));
  return killed(await on.passes(await on.damage(from), { during }));
}

/** Where a repair is left alone by its worker, and then ended by somebody: after each step, and between a change and its record. */
export const repairLeftAt: readonly string[] = [
  ...repairSteps.map((step) => `activity:${step}:after`),
  ...['freeze:noted', 'repair:login', 'repair:noted@0', 'repair:noted@1', 'repair:committed@0', 'freeze:opened'],
];

/**
 * A repair is terminated, or cancelled, after its worker has died at a point. The next worker clears up; of a transaction the rows are as
 * before or as approved; a second repair brings all of them to that.
 */
async function endRepair(
  on: RepairSite,
  from: RepairedFrom,
  point: string,
  how: 'terminated' | 'cancelled',
): Promise<Measured> {
  const { site } = on;
  const before = await on.production();
  const damage = await on.damage(from);
  const work = await on.untilLeft(damage, point);
  // This repair has no use for that step.
  if (work === null) return killed(0);
  if (how === 'terminated') await work.handle.terminate('chaos');
  else await work.handle.cancel();
  const worker = await site.startWorker();
  await leavesAllInOrder(on, { before, damage, work, worker }, how);
  return killed(1);
}

/** What has to hold once a repair was ended by somebody: nothing is left, the journal tells it, and what it changed can be taken back. */
async function leavesAllInOrder(
  on: RepairSite,
  ended: {
    readonly before: Awaited<ReturnType<RepairSite['production']>>;
    readonly damage: Damage;
    readonly work: StartedOperation;
    readonly worker: Awaited<ReturnType<Site['startWorker']>>;
  },
  how: 'terminated' | 'cancelled',
): Promise<void> {
  const { before, damage, work, worker } = ended;
  await on.site.result(work).catch(() => undefined);
  await on.requireNothingLeft(before, how);
  await on.requireJournal(work);
  await worker.stop();
  await takeBack(on, damage, work, how);
  await on.passes(damage, { after: how });
}

/** What an ended repair has changed: all of it or nothing, or whole batches. It can be taken back, as its end tells people. */
async function takeBack(
  on: RepairSite,
  damage: Damage,
  { operationId }: StartedOperation,
  after: 'terminated' | 'cancelled',
): Promise<void> {
  const now = await on.rows();
  if (differing(now, damage.before).length === 0) return;
  if (damage.from === 'physical') await on.requireRows(damage.after);
  const told = (await recordsOf(on.site)).journalOf(operationId).map(({ text }) => text);
  expect(told.join('\n')).toMatch(/rows changed|to take that back: reprise table undo/);
  const { database, table } = damage.order;
  const order: RepairOrder = { database, table, source: { kind: 'repair', operationId }, strategy: 'undo' };
  await on.passes({ ...damage, order, before: now, after: damage.before }, { after });
}

/** The same, one point after the other. */
export async function endRepairs(
  on: RepairSite,
  from: RepairedFrom,
  points: readonly string[],
  how: 'terminated' | 'cancelled',
): Promise<Measured> {
  let kills = 0;
  for (const point of points) kills += (await endRepair(on, from, point, how)).kills;
  return killed(kills);
}

/** Worker and server die in the middle of the change, and the repair is terminated: the sweep clears up once the server is back, however late. */
export async function endWithoutServer(on: RepairSite, from: RepairedFrom): Promise<Measured> {
  const { site } = on;
  const before = await on.production();
  const damage = await on.damage(from);
  const work = await on.untilLeft(damage, 'repair:noted@0');
  if (work === null) throw new Error('the repair has ended');
  await site.loseInstance('killed');
  await work.handle.terminate('chaos');
  const worker = await site.startWorker();
  // Several sweeps find no server.
  await sleep(70_000);
  await site.startServer();
  await on.requireNothingLeft(before, 'terminated');
  await on.requireJournal(work);
  await worker.stop();
  await takeBack(on, damage, work, 'terminated');
  await on.passes(damage, { after: 'terminated' });
  return killed(1);
}

/** Steps in which a repair is ended while its worker runs on. */
export const repairEndedIn: readonly (keyof HostActivities)[] = [
  'openInstance',
  'collectRows',
  'planRepair',
  'recheckRepair',
  'runHook',
  'freezeTable',
  'applyRepair',
  'checkRepair',
  'unfreezeTable',
  'undoHook',
];

/** A repair is terminated, or cancelled, a seeded moment after each of the steps has begun, and its worker runs on: that worker clears up. */
export async function endBeside(
  on: RepairSite,
  from: RepairedFrom,
  steps: readonly string[],
  random: () => number,
  how: 'terminated' | 'cancelled',
): Promise<Measured> {
  const { site } = on;
  for (const step of steps) {
    const pause = random() * 400;
    const before = await on.production();
    const damage = await on.damage(from);
    const worker = await site.startWorker();
    const work = await on.start(damage.order);
    const over = new AbortController();
    const person = on.attend(work, over.signal);
    await site.waitFor(async () => (await scheduled(work)).has(step), `${step} has begun`);
    await sleep(pause);
    over.abort();
    await person;
    // It may have ended meanwhile.
    await (how === 'terminated' ? work.handle.terminate('chaos') : work.handle.cancel()).catch(() => undefined);
    await leavesAllInOrder(on, { before, damage, work, worker }, how);
  }
  return killed(0);
}

/** Keeps the rows of a repair from being changed, in the middle of its transaction. Returns how to let it go on. */
async function held({ server }: Site): Promise<() => Promise<void>> {
  const holder = new pg.Client({ ...server, database: 'mairie' });
  // The server may be killed under it.
  holder.on('error', () => undefined);
  await holder.connect();
  await holder.query('BEGIN; SELECT FROM metier.demandes_rdv FOR UPDATE');
  return () => holder.end().catch(() => undefined);
}

/** The sessions of a repair that wait for a lock, or null where there is none yet. */
async function waiting(site: Site, { operationId }: StartedOperation): Promise<readonly number[] | null> {
  const { rows } = await site.query(
    `SELECT pid FROM pg_stat_activity WHERE usename = '${repairRole(operationId)}' AND wait_event_type = 'Lock'`,
  );
  return rows.length > 0 ? (rows as { pid: number }[]).map(({ pid }) => pid) : null;
}

/** In the middle of the change of the rows, while its transaction is open: something happens to the server or to the worker. */
export async function inTheChange(
  on: RepairSite,
  from: RepairedFrom,
  what: 'the worker is killed' | 'the server crashes' | 'the connection is lost',
): Promise<Measured> {
  const { site } = on;
  const damage = await on.damage(from);
  await on.passes(damage, {
    during: async (work, keeper) => {
      // After the approval, as the comparison before it waits for no row.
      const letGo = await held(site);
      try {
        const pids = await site.waitFor(() => waiting(site, work), 'the repair waits for a row');
        if (what === 'the worker is killed') await keeper.worker.kill();
        else if (what === 'the connection is lost')
          await site.query(`SELECT ${pids.map((pid) => `pg_terminate_backend(${pid})`).join(', ')}`);
        else {
          await site.loseInstance('killed');
          await site.startServer();
        }
      } finally {
        await letGo();
      }
    },
  });
  return killed(1);
}

/**
 * Worker and server die between the note of a transaction and its commit, and the server gives the transaction's number again to a
 * citizen, who commits: the repair does not take that for its own.
 */
export async function numberGivenAgain(on: RepairSite): Promise<Measured> {
  const { site } = on;
  const before = await on.production();
  const all = await on.damage('physical');
  // Few rows, whose WAL stays in memory as long as nobody writes it.
  const scope = [{ column: 'id', from: '2', below: '20' }];
  const few = [...all.after].filter(([id]) => Number(id) >= 2 && Number(id) < 20);
  const damage = { ...all, order: { ...all.order, scope }, after: new Map([...all.before, ...few]) };
  const { rows } = await site.query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'");
  process.kill((rows[0] as { pid: number }).pid, 'SIGSTOP');
  const work = await on.untilLeft(damage, 'repair:noted@0');
  if (work === null) throw new Error('the repair has ended');
  await site.loseInstance('killed');
  await site.startServer();
  await on.requireRows(damage.before);
  const noted = await notedXid(site, work);
  for (let xid = 0n; xid < noted;) {
    const { rows: given } = await site.query('SELECT pg_current_xact_id()::text AS xid');
    xid = BigInt((given[0] as { xid: string }).xid);
  }
  await on.withKeeper([], async () => {
    const over = new AbortController();
    const ended = site.result<RepairOutput>(work).finally(() => over.abort());
    const [output] = await Promise.all([ended, on.attend(work, over.signal)]).finally(() => over.abort());
    expect(output).toMatchObject({ state: 'completed' });
    await on.requireRows(damage.after);
    await on.requireNothingLeft(before);
  });
  return killed(2);
}

async function notedXid({ places }: Site, { operationId }: StartedOperation): Promise<bigint> {
  const directory = join(places.stateDir, 'repairs', operationId);
  const [name] = (await readdir(directory)).filter((one) => /^batch-.*-0\.json$/.test(one));
  const { xid } = JSON.parse(await readFile(join(directory, name ?? ''), 'utf8')) as { xid: string };
  return BigInt(xid);
}

/** The disk of the state directory is full when the rows are to be changed: nothing is changed, until a person has made room. */
export async function fullStateDisk(on: RepairSite): Promise<Measured> {
  if (!(await mayMount())) return killed(0);
  const { site } = on;
  const repairs = join(site.places.stateDir, 'repairs');
  await mkdir(repairs, { recursive: true, mode: 0o700 });
  const damage = await on.damage('physical');
  return onSmallDisk(repairs, async (fill) => {
    let pauses = 0;
    const paused = async (work: StartedOperation, why: string): Promise<void> => {
      if (pauses++ === 0) {
        expect(why).toContain('storage-full');
        await on.requireRows(damage.before);
        await rm(join(repairs, 'filler'));
      }
      await signal(site.session, work.workflowId, 'continue', { by: 'dba', reason: 'there is room again' });
      await site.waitFor(async () => (await site.status(work)).state !== 'paused', 'it goes on');
    };
    await on.passes(damage, {
      paused,
      during: async (work) => {
        await on.planOf(work);
        await fill();
      },
    });
    expect(pauses).toBeGreaterThan(0);
    return killed(1);
  });
}

/** The scratch disk is full when the temporary instance is restored: the repair fails before anything was asked, and leaves nothing. */
export async function fullScratchDisk(on: RepairSite): Promise<Measured> {
  if (!(await mayMount())) return killed(0);
  const { site } = on;
  const before = await on.production();
  const damage = await on.damage('physical');
  const scratch = join(site.places.stateDir, 'scratch');
  await mkdir(scratch, { recursive: true, mode: 0o700 });
  await onSmallDisk(
    scratch,
    async (fill) => {
      const work = await on.untilLeft(damage, 'activity:planInstance:after');
      if (work === null) throw new Error('the repair has ended');
      await fill();
      const worker = await site.startWorker();
      await expect(site.result(work)).rejects.toThrow();
      await rm(join(scratch, 'filler'));
      await on.requireNothingLeft(before);
      await on.requireRows(damage.before);
      await worker.stop();
    },
    '300m',
  );
  await on.passes(damage);
  return killed(1);
}

/** With a small file system in place of a directory, which `fill` fills to the last block. */
async function onSmallDisk<T>(
  directory: string,
  fn: (fill: () => Promise<void>) => Promise<T>,
  size = '8m',
): Promise<T> {
  const run = promisify(execFile);
  const { stdout: owner } = await run('stat', ['--format=%U:%G', directory]);
  const { stdout: mode } = await run('stat', ['--format=%a', directory]);
  await run('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=${mode.trim()}`, 'reprise-test', directory]);
  try {
    await run('chown', [owner.trim(), directory]);
    return await fn(async () => {
      const { bavail, bsize } = await statfs(directory);
      await writeFile(join(directory, 'filler'), Buffer.alloc(bavail * bsize));
    });
  } finally {
    await run('umount', ['--lazy', directory]);
  }
}

/** Whether this process may mount: as root of a machine of its own. */
async function mayMount(): Promise<boolean> {
  const run = promisify(execFile);
  const path = await makeTempDir('may-mount');
  try {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'reprise-test', path]);
    await run('umount', [path]);
    return true;
  } catch {
    return false;
  } finally {
    await rm(path, { recursive: true, force: true });
  }
}

/** F8: the Temporal server is killed and comes back with its database, while the approval is waited for and while rows are changed. */
export const killTemporalInRepair = (from: RepairedFrom) => async (): Promise<Measured> =>
  withKilledTemporal((address, restart) =>
    onRepairSite(
      async (on) => {
        await on.passes(await on.damage(from), {
          during: async (work) => {
            await on.planOf(work);
            await restart();
          },
        });
        await on.passes(await on.damage(from), {
          during: async (work) => {
            const letGo = await held(on.site);
            try {
              await on.site.waitFor(() => waiting(on.site, work), 'the repair waits for a row');
              await restart();
            } finally {
              await letGo();
            }
          },
        });
        return killed(2);
      },
      { address: address },
    ),
  );
