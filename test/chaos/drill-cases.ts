/** What is done to drills: each ends with the right verdict, with evidence that was sealed once, and with nothing left. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from '@jest/globals';
import { type StartedOperation, startVerification } from '../../src/client/start.js';
import type { DrillOrder } from '../../src/domain/operation/orders.js';
import { readPostmaster } from '../../src/postgres/server/postmaster.js';
import { openTemporaryInstances } from '../../src/records/temporary-instances.js';
import type { VerifyOutput } from '../../src/workflows/api.js';
import { reaches, refusal } from '../helpers/site-cli.js';
import type { Policy } from '../helpers/site.js';
import type { Journey } from './cases.js';
import { DrillSite } from './drills.js';
import { labelOf, type Measured } from './journey.js';
import type { Keeper } from './keeper.js';
import { withKilledTemporal } from '../helpers/killed-temporal.js';
import { caught } from './tools-at-work.js';

const killed = (kills: number): Measured => ({ kills, attachSeconds: [] });
const orderOf = (policy: Policy): DrillOrder => ({ engines: [policy === 'physical' ? 'pgbackrest' : policy] });
/** Keys of the jobs that restore. */
const RESTORES = { dump: /\/restore:/, physical: /\/restore-\d{8}/ } as const;
export type DrilledPolicy = keyof typeof RESTORES;

/** Runs `fn` on a site with drills and clears it away, whatever happens. */
export async function onDrillSite<T>(
  fn: (drills: DrillSite) => Promise<T>,
  ...how: Parameters<typeof DrillSite.create>
): Promise<T> {
  const drills = await DrillSite.create(...how);
  try {
    return await fn(drills);
  } finally {
    await drills.site.remove();
  }
}

/** One drill of one engine, with the kills of the journey. */
export async function travelDrill(drills: DrillSite, { policy, kills }: Journey): Promise<Measured> {
  const newest = await drills.newest(policy);
  const crashAt = kills.map(({ at }) => at.replace('NEWEST', newest.label));
  const { deaths } = await drills.passes({ order: orderOf(policy), crashAt });
  return killed(deaths);
}

/** F3: the tool that restores is killed: it is started again. */
export async function killRestoringTool(drills: DrillSite, policy: DrilledPolicy): Promise<Measured> {
  await drills.passes({
    order: orderOf(policy),
    during: async (work) => {
      const { pid } = await caught(drills.site, work.operationId, RESTORES[policy], async () => true);
      process.kill(pid, 'SIGKILL');
    },
  });
  return killed(1);
}

/** F2: the host restarts at the beginning of each step: worker and staging server are killed, and both come back. */
export async function killWithServer(
  drills: DrillSite,
  policy: DrilledPolicy,
  steps: readonly string[],
): Promise<Measured> {
  const { deaths } = await drills.passes({
    order: orderOf(policy),
    crashAt: steps.map((step) => `activity:${step}:before`),
    during: async (_work, keeper, over) => {
      for (let seen = 0; seen < steps.length && !over.aborted; seen++) {
        while (keeper.deaths <= seen && !over.aborted) await sleep(10);
        await killServer(drills);
      }
    },
  });
  return killed(deaths);
}

/** The staging server is killed in the middle of the checks, and while people look at it. */
export async function killServerOnly(drills: DrillSite, policy: DrilledPolicy): Promise<Measured> {
  const flag = killFlagOf(drills.site.root);
  await writeFile(flag, '', { mode: 0o666 });
  const { outcome } = await drills.passes({
    order: orderOf(policy),
    during: async (work, _keeper, over) => {
      await drills.site.waitFor(
        async () =>
          over.aborted || ((await drills.site.status(work)).state === 'waiting-sign-off' && killServer(drills)),
        'the server was killed while it was looked at',
      );
    },
  });
  expect(existsSync(flag)).toBe(false);
  expect(outcome.checks.find(({ name }) => name === 'kill-server')).toMatchObject({ status: 'passed' });
  return killed(2);
}

const killFlagOf = (root: string): string => join(root, 'staging-host', 'kill-server');

/** A check that kills the server which it checks, once, where {@link killServerOnly} asked for it; it then fails, and so do those beside it. */
export const killingCheck = (root: string, staging: string): string =>
  `      kill-server: { type: command, argv: [/bin/sh, -c, "rm '${killFlagOf(root)}' 2>/dev/null || exit 0; kill -9 $(head -n 1 '${staging}/postmaster.pid'); exit 1"] }\n`;

/** True where there was a server. */
async function killServer({ staging }: Pick<DrillSite, 'staging'>): Promise<boolean> {
  const postmaster = await readPostmaster(staging);
  if (postmaster?.alive !== true) return false;
  process.kill(postmaster.pid, 'SIGKILL');
  return true;
}

/** F8: the Temporal server is killed and comes back with its database, while files are restored and while the sign-off is waited for. */
export const killTemporalInDrill = (policy: DrilledPolicy) => async (): Promise<Measured> =>
  withKilledTemporal((address, restart) =>
    onDrillSite(
      async (drills) => {
        await drills.passes({
          order: orderOf(policy),
          during: async (work) => {
            const { pid } = await caught(drills.site, work.operationId, RESTORES[policy], async () => true);
            await restart();
            process.kill(pid, 'SIGCONT');
          },
        });
        await drills.passes({
          order: orderOf(policy),
          during: async (work) => {
            await drills.site.waitFor(
              async () => (await drills.site.status(work)).phases.some(({ name }) => name === 'open staging'),
              'staging is being opened',
            );
            await restart();
          },
        });
        return killed(2);
      },
      { address: address },
    ),
  );

/** Kills at seeded random instants. */
export async function drillAtRandom(
  drills: DrillSite,
  policy: DrilledPolicy,
  random: () => number,
  times: number,
): Promise<Measured> {
  const { deaths } = await drills.passes({
    order: orderOf(policy),
    during: async (_work, keeper, over) => void (await keeper.killAtRandom(times, random, () => over.aborted)),
  });
  return killed(deaths);
}

/** Points at which a drill is left alone by its worker, and then ended by somebody: what it had taken at each. */
export const leftAt = (policy: DrilledPolicy): readonly string[] => [
  'activity:planDrill:before',
  'activity:planDrill:after',
  'activity:wipeStaging:after',
  `job:after-pid@${policy === 'dump' ? 'pg_restore' : 'restore-NEWEST'}`,
  'activity:restoreStaging:after',
  'activity:startStaging:after',
  'job:after-pid@pg_dump',
  'activity:checkStaging:after',
  'activity:openStaging:after',
  'activity:sealEvidence:before',
  'activity:sealEvidence:after',
  'activity:closeStaging:before',
];

/** Runs a drill until its worker dies at a point, and nobody starts another one. */
async function untilLeft(drills: DrillSite, policy: DrilledPolicy, point: string): Promise<StartedOperation> {
  const { label } = await drills.newest(policy);
  const work = await drills.start(orderOf(policy));
  const worker = await drills.site.startWorker({ REPRISE_CRASH_AT: point.replace('NEWEST', label) });
  const over = new AbortController();
  const person = drills.signOffWhenAsked(work, 'pass', over.signal).catch(() => undefined);
  const ended = drills.site.waitFor(
    async () => over.signal.aborted || (await work.handle.describe()).status.name !== 'RUNNING',
    'the drill has ended',
    600_000,
  );
  const died = worker.exited();
  try {
    expect(await Promise.race([died, ended.then(() => 'the drill has ended without it')])).toBe('SIGKILL');
    return work;
  } finally {
    over.abort();
    await worker.kill();
    await Promise.all([person, ended.catch(() => undefined)]);
  }
}

/** Stops the tool that works on, so that it is there however long the next worker takes; one that has ended needs no end. */
async function stopTool({ site }: DrillSite, { operationId }: StartedOperation): Promise<void> {
  await caught(site, operationId, /./, async () => true).catch(() => undefined);
}

/**
 * A drill is terminated, not cancelled, after its worker has died at a point: no step of it runs any more. The sweep of the next
 * worker releases all that it had; or, where `next` is asked for, the next drill begins at once and passes.
 */
export async function terminateDrill(
  drills: DrillSite,
  policy: DrilledPolicy,
  point: string,
  next = false,
): Promise<Measured> {
  const before = await drills.production();
  const work = await untilLeft(drills, policy, point);
  if (point.startsWith('job:')) await stopTool(drills, work);
  await work.handle.terminate('chaos');
  if (next) await drills.passes({ order: orderOf(policy) });
  else {
    const worker = await drills.site.startWorker();
    await drills.requireNothingLeft();
    await worker.stop();
  }
  expect(await drills.production()).toEqual(before);
  return killed(1);
}

/** The same with a cancellation while no worker runs: the drill says what it came to, and clears up by itself. */
export async function cancelDrill(drills: DrillSite, policy: DrilledPolicy, point: string): Promise<Measured> {
  const before = await drills.production();
  const work = await untilLeft(drills, policy, point);
  await work.handle.cancel();
  const worker = await drills.site.startWorker();
  await drills.site.result(work).catch(() => undefined);
  const { drills: recorded, register } = await drills.recorded();
  const own = recorded.filter(({ drillId }) => drillId === work.operationId);
  // Before it had a plan there was nothing to say; after it was sealed, nothing else is said.
  const verdict = /sealEvidence|closeStaging/.test(point) ? 'pass' : 'incomplete';
  if (!point.startsWith('activity:planDrill') || own.length > 0)
    expect(own.map((one) => one.verdict)).toEqual([verdict]);
  expect(register.filter(({ drillId }) => drillId === work.operationId)).toEqual([]);
  await drills.requireNothingLeft();
  await drills.requireSealed();
  await worker.stop();
  expect(await drills.production()).toEqual(before);
  return killed(1);
}

/** A restore test is killed in the same ways, and proves the backup all the same: worker, tool, and its server. */
export async function killRestoreTest(drills: DrillSite, policy: DrilledPolicy): Promise<Measured> {
  const { label } = await drills.newest(policy);
  const tool = policy === 'dump' ? 'pg_restore' : `restore-${label}`;
  const points = ['activity:proveBackup:before', `job:after-spawn@${tool}`, `job:before-return@${tool}`];
  return restoreTest(drills, policy, points, async (work, keeper, over) => {
    while (keeper.deaths < 3 && !over.aborted) {
      await sleep(10);
      // It has lost its worker: its server goes too, and nobody was told.
      if (keeper.deaths === 2) await killScratchServer(drills, work);
    }
  });
}

async function restoreTest(
  drills: DrillSite,
  policy: DrilledPolicy,
  crashAt: readonly string[],
  during: (work: StartedOperation, keeper: Keeper, over: AbortSignal) => Promise<void>,
): Promise<Measured> {
  const { site } = drills;
  const before = await drills.production();
  const { id } = await drills.newest(policy);
  const order = { backupId: id, restore: true };
  const deaths = await drills.withKeeper(crashAt, async (keeper) => {
    const work = await startVerification(site.session, { cluster: site.cluster, requester: 'test', order });
    const over = new AbortController();
    const ended = site.result<VerifyOutput>(work).finally(() => over.abort());
    const [{ ok }] = await Promise.all([ended, during(work, keeper, over.signal)]);
    expect(ok).toBe(true);
    expect(keeper.missing()).toEqual([]);
    return keeper.deaths;
  });
  expect((await drills.newest(policy)).proven).toMatchObject({ level: 'restored' });
  await drills.requireNothingLeft();
  expect(await drills.production()).toEqual(before);
  return killed(deaths);
}

async function killScratchServer({ site }: DrillSite, { operationId }: StartedOperation): Promise<void> {
  const instances = await openTemporaryInstances(site.places.stateDir).all();
  for (const { dataDir, operationId: own } of instances)
    if (own.startsWith(operationId)) await killServer({ staging: dataDir });
}

/** A restore test is terminated while its tool restores: the sweep ends the tool and removes the copy. */
export async function terminateRestoreTest(drills: DrillSite, policy: DrilledPolicy): Promise<Measured> {
  const { site } = drills;
  const { id, label } = await drills.newest(policy);
  const order = { backupId: id, restore: true };
  const work = await startVerification(site.session, { cluster: site.cluster, requester: 'test', order });
  const dying = await site.startWorker({
    REPRISE_CRASH_AT: `job:after-pid@${policy === 'dump' ? 'pg_restore' : `restore-${label}`}`,
  });
  expect(await dying.exited()).toBe('SIGKILL');
  await work.handle.terminate('chaos');
  const worker = await site.startWorker();
  await drills.requireNothingLeft();
  await worker.stop();
  return killed(1);
}

/**
 * F29: a drill that is being looked at holds its place and its backups, and nothing else: another drill is refused; a backup, a rotation and
 * a recovery in place are not. The site keeps one backup.
 */
export async function besideDrill(drills: DrillSite): Promise<Measured> {
  const { site } = drills;
  const worker = await site.startWorker();
  const held = await drills.newest('physical');
  const labels = async () =>
    (await site.backups())
      .filter(({ policy, status }) => policy === 'physical' && status === 'complete')
      .map(({ label }) => label);
  const work = await drills.start({ engines: ['pgbackrest'] });
  await reaches(site, work.workflowId, 'waiting-sign-off');
  const staged = await readPostmaster(drills.staging);
  expect(await refusal(site, 'drill', 'run', 'mairie', '--engine', 'dump')).toMatchObject({
    ...{ exit: 7, code: 'conflict' },
    message: expect.stringContaining(work.workflowId),
  });
  const newer = labelOf(await site.backUp('physical', 'full'));
  await site.rotate('physical');
  expect(await labels()).toEqual([held.label, newer]);
  await site.commit(5);
  const expected = await site.contentHash();
  await site.loseInstance('data');
  const recovery = await site.recover('physical');
  await site.approve(recovery);
  expect((await site.recovered(recovery)).state).toBe('completed');
  expect(await site.contentHash()).toEqual(expected);
  expect(await readPostmaster(drills.staging)).toEqual(staged);
  await drills.signOffWhenAsked(work);
  expect(await site.result(work)).toMatchObject({ outcome: { verdict: 'pass' } });
  await worker.stop();
  // Claims of backups are kept until the next worker looks.
  const next = await site.startWorker();
  await drills.requireNothingLeft();
  await site.rotate('physical');
  expect(await labels()).not.toContain(held.label);
  await next.stop();
  return killed(0);
}
