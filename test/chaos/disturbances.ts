/** What people, hosts and Temporal itself do to an operation while it runs, each at a seeded instant: a site of its own for each case. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import { expect } from '@jest/globals';
import { approve, signal } from '../../src/client/decide.js';
import { startMedia } from '../../src/client/start.js';
import type { StartedOperation } from '../../src/client/start.js';
import { lockWorkflowId, queryNames } from '../../src/domain/operation/names.js';
import type { OperationStatusView } from '../../src/domain/operation/status.js';
import type { ApprovablePlan } from '../../src/domain/plan/plan.js';
import { openCatalogueForReading } from '../../src/records/catalogue.js';
import { openDirectory } from '../../src/storage/directory/directory-storage.js';
import { MediaBucket } from '../integration/media/bucket.js';
import { withKilledTemporal } from '../helpers/killed-temporal.js';
import { startMinio } from '../helpers/s3-servers.js';
import type { S3Server } from '../helpers/s3-servers.js';
import { editConfig } from '../helpers/site-cli.js';
import type { Policy, Site } from '../helpers/site.js';
import { labelOf, onSite } from './journey.js';
import type { Measured } from './journey.js';
import { Keeper } from './keeper.js';

export const disturbances = [
  'paused and unpaused',
  'terminated',
  'reset',
  'cancelled',
  'its lock workflow terminated',
  'its host worker stopped',
  'the Temporal server restarted',
] as const;
export type Disturbance = (typeof disturbances)[number];

/** With these the operation ends, and another one does the work. */
const ENDS: readonly Disturbance[] = ['terminated', 'cancelled'];

type Stage = 'backup' | 'rotate' | 'recover' | 'media';

export interface DisturbedCase {
  readonly policy: Policy | 'media';
  readonly stage: Stage;
  readonly disturbance: Disturbance;
  /** Which of several instants. */
  readonly number: number;
}

/** All cases: two instants in what takes long, one in what is short. */
export const disturbedCases: readonly DisturbedCase[] = disturbances.flatMap((disturbance) => [
  ...(['dump', 'physical'] as const).flatMap((policy) => [
    ...[1, 2].map((number) => ({ policy, stage: 'backup' as const, disturbance, number })),
    { policy, stage: 'rotate' as const, disturbance, number: 1 },
    ...[1, 2].map((number) => ({ policy, stage: 'recover' as const, disturbance, number })),
  ]),
  { policy: 'media' as const, stage: 'media' as const, disturbance, number: 1 },
]);

export const nameOfDisturbed = ({ policy, stage, disturbance, number }: DisturbedCase): string =>
  `${disturbance === 'the Temporal server restarted' ? 'F8' : 'F46'}: ${policy}, ${stage}: ${disturbance} (${number})`;

/** How long a stage takes on a quiet machine: instants are chosen in it. */
const SPAN_MS: Readonly<Record<Policy | 'media', Readonly<Record<Stage, number>>>> = {
  dump: { backup: 1500, rotate: 800, recover: 4000, media: 0 },
  physical: { backup: 4000, rotate: 1200, recover: 8000, media: 0 },
  base: { backup: 4000, rotate: 1200, recover: 8000, media: 0 },
  media: { backup: 0, rotate: 0, recover: 0, media: 1500 },
};

/** One operation that is disturbed, and what makes it right in the end. */
interface Course {
  start(): Promise<StartedOperation>;
  /** Compares everything by its content. */
  requireRight(): Promise<void>;
}

/** Runs one case. `random` has to be its own: instants do not depend on which cases run beside it. */
export const disturb = (which: DisturbedCase, random: () => number) => async (): Promise<Measured> => {
  if (which.disturbance !== 'the Temporal server restarted')
    return onSite({}, (site) => runCase(site, which, random, () => Promise.resolve()));
  return withKilledTemporal((address, restart) => onSite({ address }, (site) => runCase(site, which, random, restart)));
};

async function runCase(
  site: Site,
  which: DisturbedCase,
  random: () => number,
  restartTemporal: () => Promise<void>,
): Promise<Measured> {
  const course = await prepare(site, which);
  const keeper = await Keeper.begin(site, 'disturbed');
  try {
    return await disturbed(site, which, course, { keeper, random, restartTemporal });
  } finally {
    // Else it would start another worker for the one that goes with the site.
    await keeper.stop().catch(() => undefined);
  }
}

async function disturbed(site: Site, which: DisturbedCase, course: Course, means: Means): Promise<Measured> {
  const { policy, stage, disturbance } = which;
  const { random, keeper } = means;
  const work = await course.start();
  const person = attend(site, work);
  if (stage === 'recover' || stage === 'media') await person.approved;
  await sleep(random() * SPAN_MS[policy][stage]);
  const met = await meet(site, work, disturbance, means);
  const end = await person.ended;
  if (!ENDS.includes(disturbance)) await requireCompleted(site, work, end);
  if (end === 'COMPLETED') await requireOnce(site, work);
  else await doAgain(site, course);
  await course.requireRight();
  await requireNothingLeft(site, keeper, disturbance);
  return { kills: met ? 1 : 0, attachSeconds: [] };
}

/** Another operation has to be able to do what the ended one did not: no lock and no plan is in its way. */
async function doAgain(site: Site, course: Course): Promise<void> {
  const next = await course.start();
  await requireCompleted(site, next, await attend(site, next).ended);
  await requireOnce(site, next);
}

/** Completed, and not because it found that there was nothing to do for it. */
async function requireCompleted(site: Site, { workflowId }: StartedOperation, end: string): Promise<void> {
  const result = await site.session.client.workflow
    .getHandle(workflowId)
    .result()
    .catch((error: unknown) => {
      let cause = error;
      while (cause instanceof Error && cause.cause instanceof Error) cause = cause.cause;
      return String(cause);
    });
  if (end !== 'COMPLETED') throw new Error(`${workflowId} is ${end}: ${String(result)}`);
  const { skipped } = result as { skipped?: unknown };
  expect(skipped ?? null).toBeNull();
}

/** By the supervisor's records each tool was started once; a dump that lost the snapshot of its worker, twice. */
async function requireOnce(site: Site, work: StartedOperation): Promise<void> {
  const jobs = await site.jobs(work.operationId);
  expect(jobs.filter(({ starts, key }) => starts > (key.includes('/dump:') ? 2 : 1))).toEqual([]);
}

async function prepare(site: Site, { policy, stage }: DisturbedCase): Promise<Course> {
  if (policy === 'media') return prepareMedia(site);
  const type = policy === 'physical' ? 'full' : 'auto';
  const worker = await site.startWorker();
  const before = stage === 'backup' ? [] : [labelOf(await site.backUp(policy, type))];
  if (stage === 'rotate') before.push(labelOf(await site.backUp(policy, type)));
  await worker.stop();
  const dumped = await site.contentHash();
  if (stage !== 'rotate') await site.commit(20);
  const now = await site.contentHash();
  if (stage === 'backup')
    return {
      start: () => site.startBackup(policy, type),
      requireRight: async () => {
        expect(await site.contentHash()).toEqual(now);
        const whole = (await site.backups()).filter(
          (backup) => backup.policy === policy && backup.status === 'complete',
        );
        expect(whole.length).toBeGreaterThan(0);
        expect(whole.at(-1)).toMatchObject({ proven: { level: 'verified' } });
      },
    };
  if (stage === 'rotate') {
    await site.configure({ retention: '{ count: 1, min_proven: 1 }' });
    return {
      start: () => site.startRotation(policy),
      requireRight: async () => {
        expect(await site.contentHash()).toEqual(now);
        const left = (await site.backups()).filter(
          (backup) => backup.policy === policy && backup.status === 'complete',
        );
        expect(left.map(({ label }) => label)).toEqual(before.slice(-1));
      },
    };
  }
  if (policy === 'physical') await site.loseInstance('data');
  // By its id: the safety backup of a recovery that was ended is newer, and holds what was there then.
  const dump = (await recorded(site)).backups.find(({ label }) => label === before[0]);
  return {
    start: () => site.recover(policy, policy === 'dump' && dump ? { kind: 'backup', id: dump.id } : { kind: 'latest' }),
    requireRight: async () => {
      // Dumps know nothing of what came after them; WAL does.
      expect(await site.contentHash()).toEqual(policy === 'dump' ? dumped : now);
      await site.commit(1);
    },
  };
}

let minio: Promise<S3Server> | undefined;
let buckets = 0;

async function prepareMedia(site: Site): Promise<Course> {
  minio ??= startMinio();
  const server = await minio;
  const bucket = new MediaBucket(
    server,
    await server.bucket(`chaos-${++buckets}-${randomUUID().slice(0, 8)}`, { versioned: true }),
  );
  const keys = Array.from({ length: 150 }, (_, n) => `photos/${n}`);
  await bucket.put(keys);
  const at = await bucket.instant();
  await bucket.put(keys, () => 'damaged');
  await editConfig(site, (text) =>
    text
      .replace('repositories:\n', `repositories:\n  photos: ${server.repositoryYaml(bucket.name)}\n`)
      .replace('    approvals:\n', '    approvals:\n      media-recover: { approvers: 1, from: [dba] }\n')
      .concat('media:\n  photos: { repository: photos, prefix: photos/, cluster: mairie, concurrency: 4 }\n'),
  );
  return {
    start: () =>
      startMedia(site.session, {
        cluster: site.cluster,
        requester: 'test',
        order: { media: 'photos', task: { kind: 'recover', to: new Date(at).toISOString(), later: 'keep' } },
      }),
    requireRight: async () => {
      expect(await bucket.contents('photos/')).toEqual(
        Object.fromEntries(keys.map((key) => [key, `content of ${key}`])),
      );
      // Only what was being copied when a worker went away may have been copied again.
      const { Versions = [] } = await server.client.send(new ListObjectVersionsCommand({ Bucket: bucket.name }));
      expect(Versions.length).toBeLessThanOrEqual(3 * keys.length + 2 * 4);
    },
  };
}

/** Approves each plan once and lets steps that wait for a person go on: what they wait for has to be said. */
function attend(
  site: Site,
  work: StartedOperation,
): { readonly approved: Promise<void>; readonly ended: Promise<string> } {
  const MOST_CONTINUED = 5;
  const { workflow } = site.session.client;
  const handle = workflow.getHandle(work.workflowId);
  let tell: () => void = () => undefined;
  const approved = new Promise<void>((resolve) => (tell = resolve));
  let continued = 0;

  const look = async (): Promise<string | null> => {
    const { status } = await handle.describe();
    if (status.name !== 'RUNNING' && (status.name as string) !== 'PAUSED' && status.name !== 'UNKNOWN')
      return status.name;
    const view = await handle.query<OperationStatusView>(queryNames.status);
    if (view.state === 'waiting-approval') {
      const plan = await handle.query<ApprovablePlan | null>(queryNames.plan);
      if (plan === null) return null;
      await approve(site.session, work.workflowId, { plan: plan.digest.slice(0, 12), by: 'dba', reason: 'test' });
      tell();
    } else if (view.state === 'paused') {
      expect(view.waitingFor ?? '').not.toBe('');
      if (++continued > MOST_CONTINUED) throw new Error(`${work.workflowId} does not get over: ${view.waitingFor}`);
      await signal(site.session, work.workflowId, 'continue', { by: 'dba', reason: 'looked at' });
      await sleep(1000);
    }
    return null;
  };
  const ended = (async (): Promise<string> => {
    let last: unknown;
    for (const limit = Date.now() + 600_000; Date.now() < limit && !site.isRemoved; await sleep(250)) {
      try {
        const end = await look();
        // A Reset ends one run and starts the next.
        if (end !== null && (end !== 'TERMINATED' || (await isLast(handle.workflowId, site)))) return end;
      } catch (error) {
        if (error instanceof Error && error.message.includes('does not get over')) throw error;
        last = error;
      }
    }
    const { status, raw } = await handle.describe();
    const view = await handle.query<OperationStatusView>(queryNames.status).catch(String);
    const { events } = await handle.fetchHistory();
    const failed = events?.findLast((event) => event.workflowTaskFailedEventAttributes);
    const { failure } = failed?.workflowTaskFailedEventAttributes ?? {};
    const seen = JSON.stringify([status.name, view, raw.pendingActivities, raw.pendingWorkflowTask, failure?.message]);
    throw new Error(`${work.workflowId} does not end: ${seen}, ${String(last)}`);
  })();
  ended.then(tell, tell);
  return { approved, ended };
}

/** Whether the newest run is the one that ended: looked at twice, for a Reset makes the next one a moment later. */
async function isLast(workflowId: string, site: Site): Promise<boolean> {
  await sleep(300);
  return (await site.session.client.workflow.getHandle(workflowId).describe()).status.name === 'TERMINATED';
}

interface Means {
  readonly keeper: Keeper;
  readonly random: () => number;
  readonly restartTemporal: () => Promise<void>;
}

/** Does it; false where the operation had ended before. */
async function meet(site: Site, work: StartedOperation, disturbance: Disturbance, means: Means): Promise<boolean> {
  const handle = site.session.client.workflow.getHandle(work.workflowId);
  if ((await handle.describe()).status.name !== 'RUNNING') return false;
  const { keeper, random, restartTemporal } = means;
  const some = (): Promise<void> => sleep(500 + random() * 2500);
  try {
    switch (disturbance) {
      case 'paused and unpaused':
        await untilTaskStarted(site, work);
        await setPaused(site, work.workflowId, true);
        await some();
        await setPaused(site, work.workflowId, false);
        return true;
      case 'terminated':
        await handle.terminate('chaos');
        return true;
      case 'cancelled':
        await handle.cancel();
        return true;
      case 'reset':
        return await resetSomewhere(site, work.workflowId, random);
      case 'its lock workflow terminated':
        await site.session.client.workflow.getHandle(lockWorkflowId(site.cluster)).terminate('chaos');
        return true;
      case 'its host worker stopped':
        await keeper.rest(some);
        return true;
      case 'the Temporal server restarted':
        await restartTemporal();
        return true;
    }
  } catch (error) {
    // It had ended, or nobody held the lock, by then.
    if (/not found|already completed|NOT_FOUND/i.test(String(error))) return false;
    throw error;
  }
}

/** Paused between a workflow task and its start, no SDK can replay a workflow of server 1.32: docs/debugging.md. */
async function untilTaskStarted(site: Site, { workflowId }: StartedOperation): Promise<void> {
  const handle = site.session.client.workflow.getHandle(workflowId);
  const isScheduled = async (): Promise<boolean> => {
    const { pendingWorkflowTask } = (await handle.describe()).raw;
    return pendingWorkflowTask != null && pendingWorkflowTask.startedTime == null;
  };
  await site.waitFor(async () => !(await isScheduled()), 'a worker has the workflow task');
}

/** Workflow Pause, as in the Web UI of Temporal 1.30 and newer. */
async function setPaused(site: Site, workflowId: string, paused: boolean): Promise<void> {
  const { connection, settings } = site.session;
  const request = {
    namespace: settings.namespace,
    workflowId,
    identity: 'chaos',
    reason: 'chaos',
    requestId: randomUUID(),
  };
  if (paused) await connection.workflowService.pauseWorkflowExecution(request);
  else await connection.workflowService.unpauseWorkflowExecution(request);
}

/** Resets to a workflow task chosen at random. */
async function resetSomewhere(site: Site, workflowId: string, random: () => number): Promise<boolean> {
  const { connection, client, settings } = site.session;
  const handle = client.workflow.getHandle(workflowId);
  const { runId } = await handle.describe();
  const { events } = await client.workflow.getHandle(workflowId, runId).fetchHistory();
  const tasks = (events ?? []).filter((event) => event.workflowTaskCompletedEventAttributes != null);
  const task = tasks[Math.floor(random() * tasks.length)];
  if (task?.eventId == null) return false;
  await connection.workflowService.resetWorkflowExecution({
    namespace: settings.namespace,
    workflowExecution: { workflowId, runId },
    reason: 'chaos',
    workflowTaskFinishEventId: task.eventId,
    requestId: randomUUID(),
  });
  return true;
}

/** No lock, pin, process, scratch or throw-away database: a copy that was not put in its place is known as kept. */
async function requireNothingLeft(site: Site, keeper: Keeper, disturbance: Disturbance): Promise<void> {
  await site.waitFor(async () => (await holders(site)).length === 0, 'nobody holds the lock');
  // What an operation that was ended has left is found by the sweep at a worker's start.
  const { deaths, worker } = keeper;
  await worker.kill();
  while (keeper.deaths === deaths) await sleep(20);
  await site.waitFor(async () => (await recorded(site)).pins.size === 0, 'no backup is pinned');
  await keeper.stop();
  const { kept } = await recorded(site);
  const known = new Set(kept.map(({ where }) => where));
  const left = await site.waitFor(async () => {
    const { processes, files, databases } = await site.leftovers();
    return processes.length === 0 && { files, databases: databases.filter((name) => !known.has(name)) };
  }, 'no process is left');
  // What a terminated operation had begun to write is no backup: the next one reports it, and people look at it.
  const files = left.files.filter((path) => disturbance !== 'terminated' || !path.includes('/incoming/'));
  expect({ ...left, files }).toEqual({ files: [], databases: [] });
}

/** What the repository's records say, without a worker. */
const recorded = (site: Site) =>
  openCatalogueForReading(openDirectory({ path: site.places.backupsDir }), site.cluster).state();

async function holders(site: Site): Promise<readonly unknown[]> {
  const handle = site.session.client.workflow.getHandle(lockWorkflowId(site.cluster));
  try {
    if ((await handle.describe()).status.name !== 'RUNNING') return [];
    return await handle.query<readonly unknown[]>(queryNames.holders);
  } catch (error) {
    if (/not found/i.test(String(error))) return [];
    throw error;
  }
}
