import { ActivityCancellationType, type ActivityOptions, proxyActivities } from '@temporalio/workflow';
import type { ControlActivities, HostActivities } from '../../activities/api.js';
import { errorTable } from '../../domain/errors.js';
import {
  CONTROL_QUEUE,
  heavyQueue,
  lightQueue,
  mediaQueue,
  recoveryQueue,
  watchQueue,
} from '../../domain/operation/names.js';
import { type StepLimits, LOST_WORKERS } from '../../domain/operation/retries.js';
import { HEARTBEAT_SECONDS, watchHeartbeatSeconds } from '../../domain/operation/status.js';

/**
 * Heartbeat time-outs of hosts (seconds) as the config of this workflow's cluster sets them. They come from the result
 * of `describeCluster`, so a replay has the same; every workflow execution has its own copy of this module's state.
 */
let heartbeatSeconds: Readonly<Record<string, number>> = {};
/** The same of how long failing steps are tried again. */
let stepLimits: Readonly<Record<string, StepLimits>> = {};
/** The same for the watch and the WAL receivers of its own host. */
let watchSeconds: number | undefined;
/** Control activities run on any worker; the cluster's own host speaks for them. */
let clusterHost = '';

/** A dead worker is noticed after this long; the next one attaches to the job within 15 s of its first poll. */
const heartbeatOf = (host: string): number => (heartbeatSeconds[host] ?? HEARTBEAT_SECONDS) * 1000;
const watchHeartbeatMs = (): number => (watchSeconds ?? watchHeartbeatSeconds(undefined)) * 1000;
const cancellationType = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED;

/** How long failing steps of a host are tried again. */
export const stepLimitsOf = (host: string): StepLimits => stepLimits[host] ?? {};

/** Short, so that after several deaths in a row the next worker still attaches within 15 s of its first poll. */
const STEP_PAUSE = '3s';

/** No step ends by it: a worker that is lost and a step that hangs are noticed long before. */
const LONGEST = '7d';

const describeCluster = controlActivity('describeCluster', 'look up the cluster in the configuration');

/** Short reads of Temporal and of the config, repeated until they succeed. */
export const controlActivities: Omit<ControlActivities, 'awaitClosed' | 'sendNotice'> = {
  async describeCluster(input) {
    const facts = await describeCluster(input);
    heartbeatSeconds = facts.heartbeatSeconds ?? {};
    stepLimits = facts.stepLimits ?? {};
    watchSeconds = facts.watchHeartbeatSeconds;
    clusterHost = facts.host;
    return facts;
  },
  hostsOf: controlActivity('hostsOf', 'look up which hosts to ask'),
  hostAnswers: controlActivity('hostAnswers', "check that the host's worker is running"),
  acquireLock: controlActivity('acquireLock', 'acquire the cluster lock'),
  releaseLock: controlActivity('releaseLock', 'release the cluster lock'),
  isScheduled: controlActivity('isScheduled', 'check whether the schedule is on'),
  acquireSlot: controlActivity('acquireSlot', 'take a slot of the host'),
  releaseSlot: controlActivity('releaseSlot', 'give back the slot of the host'),
  slotHolders: controlActivity('slotHolders', 'look up which operations have slots of the host'),
  lockedOperations: controlActivity('lockedOperations', 'look up which operations hold the cluster lock'),
  lastDrillDue: controlActivity('lastDrillDue', 'look up when the last drill was due'),
  lookAtSchedules: controlActivity('lookAtSchedules', 'look at the schedules on the Temporal server'),
  workflowIsOpen: controlActivity('workflowIsOpen', 'check whether the workflow is still running'),
  recoveryHolds: controlActivity('recoveryHolds', 'check whether a recovery is running'),
  deliveriesOf: controlActivity('deliveriesOf', 'look up whom to notify'),
};

/** One of them, with its words for the Web UI's timeline. */
function controlActivity<K extends keyof ControlActivities>(name: K, summary: string): ControlActivities[K] {
  const call = (input: never): unknown => {
    const activities = proxyActivities<ControlActivities>({
      taskQueue: CONTROL_QUEUE,
      summary,
      startToCloseTimeout: '30s',
      heartbeatTimeout: heartbeatOf(clusterHost),
      cancellationType,
      retry: { initialInterval: '500ms', maximumInterval: '10s' },
    });
    return (activities[name] as (input: never) => unknown)(input);
  };
  return call as ControlActivities[K];
}

/**
 * Sends a notification, tried again for `retryForMs`, because a notifier that is down comes back. A person's test is
 * tried twice, for a worker that dies.
 */
export function noticeActivities(
  summary: string,
  retryForMs: number,
  maximumAttempts?: number,
): Pick<ControlActivities, 'sendNotice'> {
  return proxyActivities<ControlActivities>({
    taskQueue: CONTROL_QUEUE,
    summary,
    startToCloseTimeout: '2m',
    scheduleToCloseTimeout: retryForMs,
    heartbeatTimeout: heartbeatOf(clusterHost),
    cancellationType,
    retry: { initialInterval: '5s', maximumInterval: '5m', maximumAttempts },
  });
}

/** Waits in the queue of a host until a worker of it runs: one action, however long it takes. */
export function awaitHostWorker(host: string): Promise<void> {
  return proxyActivities<HostActivities>({
    taskQueue: lightQueue(host),
    summary: `wait for the worker of host ${host}`,
    startToCloseTimeout: '30s',
    cancellationType,
    retry: { initialInterval: '1s', maximumInterval: '5m', nonRetryableErrorTypes: ['NotFoundError'] },
  }).confirmWorker({ host });
}

/**
 * Waits for the end of other workflows by long polls, which cost no action; the heartbeats, of which one in 48 s is sent, say that
 * the worker is there. Who no longer needs the answer does not wait for the end of the activity.
 */
export function followActivities(summary: string): Pick<ControlActivities, 'awaitClosed'> {
  return proxyActivities<ControlActivities>({
    taskQueue: CONTROL_QUEUE,
    summary,
    startToCloseTimeout: '30d',
    heartbeatTimeout: '1m',
    cancellationType: ActivityCancellationType.TRY_CANCEL,
    retry: { initialInterval: '1s', maximumInterval: '1m' },
  });
}

/** Reads and records on a host; a write is a fact that must be kept, so it is repeated until it succeeds. */
export function hostActivities(host: string, summary?: string): HostActivities {
  return proxyActivities<HostActivities>({
    taskQueue: lightQueue(host),
    summary,
    startToCloseTimeout: '10m',
    heartbeatTimeout: heartbeatOf(host),
    cancellationType,
    retry: { initialInterval: '500ms', maximumInterval: '20s' },
  });
}

/** A record that may wait for its host, but not for ever: nothing else depends on it, or something else does it later. */
export function hostActivitiesFor(host: string, summary: string, limit: '1m' | '10m' | '1d' | '7d'): HostActivities {
  return proxyActivities<HostActivities>({
    taskQueue: lightQueue(host),
    summary,
    startToCloseTimeout: '10m',
    scheduleToCloseTimeout: limit,
    heartbeatTimeout: heartbeatOf(host),
    cancellationType,
    retry: { initialInterval: '500ms', maximumInterval: '5m' },
  });
}

/** Reads that a person waits for at a terminal: a few attempts, so that what cannot be done is told soon. */
export function quickHostActivities(host: string, summary?: string): HostActivities {
  return quickActivities(host, '10m', summary);
}

/** The same for what lists everything, a million objects perhaps: it may take days, watched by heartbeats. */
export function scanActivities(host: string, summary: string): HostActivities {
  return quickActivities(host, LONGEST, summary);
}

function quickActivities(host: string, startToCloseTimeout: '10m' | typeof LONGEST, summary?: string): HostActivities {
  return proxyActivities<HostActivities>({
    taskQueue: lightQueue(host),
    summary,
    startToCloseTimeout,
    scheduleToStartTimeout: '30s',
    heartbeatTimeout: heartbeatOf(host),
    cancellationType,
    retry: { initialInterval: '500ms', maximumInterval: '5s', maximumAttempts: 4 },
  });
}

/** Backups, verifications and rotations: they take hours, and their jobs outlive a worker. */
export function heavyActivities(host: string, summary: string): HostActivities {
  return proxyActivities<HostActivities>(stepOptions(host, heavyQueue(host), summary));
}

/** Steps of a recovery, on slots of their own. */
export function recoveryActivities(host: string, summary: string): HostActivities {
  return proxyActivities<HostActivities>(stepOptions(host, recoveryQueue(host), summary));
}

/** Steps of a recovery of media, which take hours: no recovery of a database waits for them. */
export function mediaActivities(host: string, summary: string): HostActivities {
  return proxyActivities<HostActivities>(stepOptions(host, mediaQueue(host), summary));
}

/** Plans and other reads of an operation: beside what takes a slot, for as long as a read of everything takes. */
export const readActivities = (host: string, summary: string): HostActivities => lightActivities(host, summary);

/** Steps of an operation that takes no slot of its host: nothing heavy is before them. */
export function lightActivities(host: string, summary: string): HostActivities {
  return proxyActivities<HostActivities>(stepOptions(host, lightQueue(host), summary));
}

/**
 * Steps, called by `RepeatedStep`. The server only replaces a worker that was lost, so often as the host's config says; every
 * failure comes to the workflow, which knows how long to go on and whom to tell. No limit for a start: a host that is away comes back.
 */
function stepOptions(host: string, taskQueue: string, summary: string): ActivityOptions {
  return {
    taskQueue,
    summary,
    startToCloseTimeout: LONGEST,
    heartbeatTimeout: heartbeatOf(host),
    cancellationType,
    retry: {
      initialInterval: '1s',
      maximumInterval: STEP_PAUSE,
      maximumAttempts: stepLimitsOf(host).lostWorkers ?? LOST_WORKERS,
      nonRetryableErrorTypes: Object.keys(errorTable),
    },
  };
}

/**
 * The watch of a cluster: one attempt, so that its heartbeat time-out is itself a finding. `startWithin`: how long it may
 * wait for a worker of the host; absent: as long as it takes, which costs nothing.
 */
export function watchActivities(host: string, startWithin?: '20s' | '8s'): Pick<HostActivities, 'watchCluster'> {
  return proxyActivities<HostActivities>({
    taskQueue: watchQueue(host),
    summary: 'watch the cluster',
    startToCloseTimeout: '1h',
    scheduleToStartTimeout: startWithin,
    heartbeatTimeout: watchHeartbeatMs(),
    cancellationType,
    retry: { maximumAttempts: 1 },
  });
}

/**
 * Receiving of WAL: like the watch it never ends, and has one attempt, so that the workflow sees when the host is lost; a
 * dead worker is listed for up to 75 s.
 */
export function receiveActivities(host: string): Pick<HostActivities, 'receiveWal'> {
  return proxyActivities<HostActivities>({
    taskQueue: watchQueue(host),
    summary: 'receive WAL',
    startToCloseTimeout: '1h',
    scheduleToStartTimeout: '90s',
    heartbeatTimeout: watchHeartbeatMs(),
    cancellationType,
    retry: { maximumAttempts: 1 },
  });
}
