import { hostname } from 'node:os';
import {
  NativeConnection,
  type NativeConnectionOptions,
  Runtime,
  Worker,
  type WorkerDeploymentOptions,
} from '@temporalio/worker';
import { Client } from '@temporalio/client';
import { createControlActivities } from '../activities/control/control.js';
import { hostOf } from '../activities/config-lookup.js';
import { createHostActivities } from '../activities/index.js';
import type { Config, HostConfig } from '../domain/config.js';
import { RepriseError } from '../domain/errors.js';
import type { LogSettings } from '../domain/log-settings.js';
import {
  CONTROL_QUEUE,
  heavyQueue,
  lightQueue,
  mediaQueue,
  recoveryQueue,
  watchQueue,
} from '../domain/operation/names.js';
import { DEPLOYMENT } from '../domain/operation/builds.js';
import { HEARTBEAT_SECONDS, watchHeartbeatSeconds } from '../domain/operation/status.js';
import { formatIdentity, shortConfig } from '../domain/operation/worker-identity.js';
import { jobUser } from '../process/exec/users.js';
import { controlDependencies, hostDependencies } from './dependencies.js';
import { runtimeLogging } from './logging.js';
import { keepSwept } from './sweeps.js';
import { registerSearchAttributes } from './search-attributes.js';
import { prepareStateDirectory } from './state-directory.js';
import { hasDeployments, rollOut } from './rollout.js';
import { packageVersion, workflowSource } from './workflow-source.js';
import { waitForShutdown } from './stop-signals.js';
import { surviveStrayFailures } from './stray-failures.js';
import { shellWord } from '../domain/text/text.js';

export interface WorkerSettings {
  readonly config: Config;
  readonly hosts: readonly string[];
  /** Whether this process also runs the workflows themselves (queue `reprise`). */
  readonly control: boolean;
  readonly log: LogSettings;
  readonly temporal: {
    readonly address: string;
    readonly namespace: string;
    readonly webUi?: string;
    readonly connection?: Pick<NativeConnectionOptions, 'tls' | 'apiKey' | 'metadata'>;
  };
}

/** Sticky workflow tasks of a dead worker go back to the queue after this long. */
const STICKY = '4s';

/**
 * A worker: workflows and control activities on `reprise`, and for each host its queues. Returns when it was
 * told to stop (SIGTERM, SIGINT); jobs under way are left alone, the next worker attaches to them.
 * @throws RepriseError `temporal-unreachable`, `not-found` for a host the config does not have
 */
export async function runWorker({ config, hosts, control, log, temporal }: WorkerSettings): Promise<void> {
  for (const host of hosts) hostOf({ config, host });
  process.umask(0o077);
  Runtime.install({ ...runtimeLogging(log), shutdownSignals: ['SIGTERM', 'SIGINT'] });
  for (const { place, message, hint } of config.warnings)
    Runtime.instance().logger.warn(`${place}: ${message} (${hint})`);
  const better = await withoutRoot(config, hosts);
  if (better !== null) Runtime.instance().logger.warn(better);
  const [connection, version] = await Promise.all([connect(temporal), packageVersion()]);
  const stopped = new AbortController();
  const removeListener = waitForShutdown();
  const removeSurvival = surviveStrayFailures((message) => Runtime.instance().logger.error(message));
  try {
    const identity = formatIdentity({
      worker: `${process.pid}@${hostname()}`,
      version,
      config: shortConfig(config.digest),
      since: new Date().toISOString(),
    });
    const shared = {
      connection,
      namespace: temporal.namespace,
      identity,
      shutdownGraceTime: '2s',
      shutdownForceTime: '15s',
    };
    const workers: Worker[] = [];
    let buildId: string | null = null;
    if (control) {
      await registerSearchAttributes(connection, temporal.namespace);
      const source = await workflowSource(version);
      if (await hasDeployments(connection, temporal.namespace)) buildId = source.buildId;
      workers.push(
        await Worker.create({
          ...shared,
          ...source.options,
          // Only workflows are versioned: host queues serve the workflows of every build.
          ...(buildId === null ? {} : { workerDeploymentOptions: pinnedTo(buildId) }),
          taskQueue: CONTROL_QUEUE,
          activities: createControlActivities(controlDependencies(config, temporal.webUi)),
          maxHeartbeatThrottleInterval: heartbeatEvery(config, Object.keys(config.hosts)),
          stickyQueueScheduleToStartTimeout: STICKY,
          maxConcurrentActivityTaskExecutions: 50,
        }),
      );
    }
    for (const host of hosts) {
      await prepareStateDirectory(config, host);
      const activities = createHostActivities(hostDependencies(config, host), config.hosts[host]?.stallSeconds);
      for (const [taskQueue, slots] of queuesOf(hostOf({ config, host }))) {
        workers.push(
          await Worker.create({
            ...shared,
            taskQueue,
            activities,
            maxConcurrentActivityTaskExecutions: slots,
            maxHeartbeatThrottleInterval:
              taskQueue === watchQueue(host) ? watchHeartbeatEvery(config, host) : heartbeatEvery(config, [host]),
          }),
        );
      }
    }
    const rollingOut =
      buildId === null
        ? undefined
        : rollOut({ connection, namespace: temporal.namespace, buildId, identity }, stopped.signal);
    const client = new Client({ connection, namespace: temporal.namespace });
    const { logger } = Runtime.instance();
    for (const host of hosts)
      void keepSwept(hostDependencies(config, host), { client, logger, signal: stopped.signal });
    await Promise.all(workers.map((worker) => worker.run()));
    stopped.abort();
    await rollingOut;
  } finally {
    stopped.abort();
    await connection.close();
    removeSurvival();
    removeListener();
  }
}

/**
 * Root's rights are needed for nothing: jobs run as the owner of the data directory, and the state directory is that user's.
 * Null where this is not root.
 */
export async function withoutRoot(
  { clusters, file }: Pick<Config, 'clusters' | 'file'>,
  hosts: readonly string[],
): Promise<string | null> {
  const cluster = Object.values(clusters).find(({ host }) => hosts.includes(host));
  const user = await jobUser(cluster?.dataDir).catch(() => null);
  if (user === null) return null;
  const options = hosts.map((host) => `--host ${host}`).join(' ');
  return `runs as root, and its jobs as ${user.name}: nothing needs root's rights; run it as that user: sudo -u ${shellWord(user.name)} reprise worker ${options} --config ${shellWord(file)}`;
}

/** A workflow stays with the build that began it, while a worker of that build is there. */
function pinnedTo(buildId: string): WorkerDeploymentOptions {
  return {
    version: { deploymentName: DEPLOYMENT, buildId },
    useWorkerVersioning: true,
    defaultVersioningBehavior: 'PINNED',
  };
}

/**
 * An operation takes its slot before its steps reach the worker, and none of them may wait here: for an attempt, for instance, that
 * was given up for dead and hangs.
 */
const SPARE = 16;

/** The queues of a host, and how many activities of each run at once. */
export function queuesOf({
  name,
  heavySlots,
  recoverySlots,
  mediaSlots,
}: HostConfig): readonly (readonly [string, number])[] {
  return [
    [lightQueue(name), 20],
    [heavyQueue(name), heavySlots + SPARE],
    [recoveryQueue(name), recoverySlots + SPARE],
    [mediaQueue(name), mediaSlots + SPARE],
    [watchQueue(name), 200],
  ];
}

/** Milliseconds between two heartbeats that are sent: four in a time-out, so that one that comes late does no harm. */
function heartbeatEvery(config: Config, hosts: readonly string[]): number {
  const timeouts = hosts.map((host) => config.hosts[host]?.heartbeatSeconds ?? HEARTBEAT_SECONDS);
  return (Math.min(...timeouts) * 1000) / 4;
}

/** The same for what runs all the time: as few as the time-out allows, because each one is an action on Temporal Cloud. */
function watchHeartbeatEvery(config: Config, host: string): number {
  return watchHeartbeatSeconds(config.hosts[host]) * 1000 * 0.8;
}

async function connect({ address, connection }: WorkerSettings['temporal']): Promise<NativeConnection> {
  try {
    return await NativeConnection.connect({ address, ...connection });
  } catch (error) {
    throw new RepriseError(
      'temporal-unreachable',
      `no Temporal server answers at ${address}`,
      'start one with `reprise up`, or set TEMPORAL_ADDRESS to the one that is running',
      {
        reason: error instanceof Error ? error.message : String(error),
      },
    );
  }
}
