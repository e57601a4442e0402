import { Context } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import { clusterOfBackup } from '../../domain/backup/backup.js';
import type { ClusterConfig, Config } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import type { Inspection } from '../../domain/operation/inspections.js';
import { lightQueue } from '../../domain/operation/names.js';
import type { StepLimits } from '../../domain/operation/retries.js';
import { livingPollers, taskQueueTypes } from '../../domain/operation/pollers.js';
import { watchHeartbeatSeconds } from '../../domain/operation/status.js';
import { wrapActivity } from '../activity-wrapper.js';
import type { ControlActivities } from '../api.js';
import { clusterOf, repositoryOf } from '../config-lookup.js';
import type { ControlDependencies } from '../dependencies.js';
import { isWorkflowOpen } from './executions.js';
import { lockActivities } from './locks.js';
import { notifyingActivities, toldEvents } from './notify.js';
import { scheduleActivities } from './schedules.js';
import { slotActivities } from './slots.js';

/** Activities of the queue `reprise`: they know the config and Temporal, and open no database and no repository. */
export function createControlActivities(deps: ControlDependencies): ControlActivities {
  const { config } = deps;
  return {
    ...notifyingActivities(deps),
    ...lockActivities(),
    ...slotActivities(config),
    ...scheduleActivities(deps),
    describeCluster: wrapActivity('describeCluster', async ({ cluster }) => {
      const { host, policies, recovery, drill } = clusterOf(config, cluster);
      const elsewhere = Object.values(recovery.targets).filter((target) => target.host !== host);
      const targetHosts = Object.fromEntries(elsewhere.map((target) => [target.name, target.host]));
      const hosts = [...new Set([host, ...Object.values(targetHosts), ...(drill ? [drill.host] : [])])];
      const facts = Object.values(policies).map(
        ({ name, engine, repository, enabled, proof, restoreEvery, schedule }) => {
          const nextRunAt = schedule && deps.nextRun(schedule, new Date())?.toISOString();
          return [name, { engine, repository, enabled, proof, restoreEvery, nextRunAt }] as const;
        },
      );
      return {
        host,
        targetHosts: elsewhere.length > 0 ? targetHosts : undefined,
        configDigest: config.digest,
        policies: Object.fromEntries(facts),
        tells: toldEvents(config),
        suspects: true,
        heartbeatSeconds: heartbeatsOf(config, hosts),
        stepLimits: limitsOf(config, hosts),
        ...(drill && { drill: { host: drill.host, signOff: drill.signOff } }),
        watchHeartbeatSeconds: watchHeartbeatSeconds(config.hosts[host]),
      };
    }),
    hostsOf: wrapActivity('hostsOf', async ({ question, without }) =>
      hostsOf(config, question, (host) =>
        host === without ? Promise.resolve(false) : isHostPolled(Context.current().client, host),
      ),
    ),
    lastDrillDue: wrapActivity('lastDrillDue', async ({ cluster, upTo }) => {
      const { drill } = clusterOf(config, cluster);
      return (drill && deps.lastRun(drill.schedule, new Date(upTo))?.toISOString()) ?? null;
    }),
    workflowIsOpen: wrapActivity('workflowIsOpen', async ({ workflowId }) =>
      isWorkflowOpen(Context.current().client, workflowId),
    ),
    hostAnswers: wrapActivity('hostAnswers', async ({ host }) => isHostPolled(Context.current().client, host)),
  };
}

/** What these hosts' configs say about heartbeats; absent where none says anything. */
function heartbeatsOf(config: Config, hosts: readonly string[]): Readonly<Record<string, number>> | undefined {
  const set = hosts.flatMap((name) => {
    const seconds = config.hosts[name]?.heartbeatSeconds;
    return seconds === undefined ? [] : [[name, seconds] as const];
  });
  return set.length > 0 ? Object.fromEntries(set) : undefined;
}

/** What these hosts' configs say about steps that fail. */
function limitsOf(config: Config, hosts: readonly string[]): Readonly<Record<string, StepLimits>> {
  return Object.fromEntries(
    hosts.map((name) => {
      const { retryForSeconds, lostWorkers } = config.hosts[name] ?? {};
      return [name, { retryForSeconds, lostWorkers }];
    }),
  );
}

type HasWorker = (host: string) => Promise<boolean>;

/** The hosts that own what is asked for; for a cluster whose host is dead, one that it can be recovered onto. */
async function hostsOf(config: Config, question: Inspection, hasWorker: HasWorker): Promise<readonly string[]> {
  const named = hostIn(question);
  if (named !== undefined) return [named];
  if ('repository' in question) return [hostOfRepository(config, question.repository)];
  const name = 'cluster' in question && question.cluster ? question.cluster : clusterNamed(config, question);
  if (question.kind === 'beside') return besideHosts(config, name, hasWorker);
  const clusters = Object.values(config.clusters);
  if (!name) return question.kind === 'drills' ? drillHosts(clusters, hasWorker) : hostsOfClusters(clusters);
  const cluster = clusterOf(config, name);
  const planned = plannedOn(cluster, question);
  if (planned !== undefined) return [planned];
  const others = otherHosts(cluster, question);
  if (others.length === 0) return [cluster.host];
  const all = [cluster.host, ...others];
  const running = (await Promise.all(all.map(async (host) => ((await hasWorker(host)) ? [host] : [])))).flat();
  // Jobs are where they run; the records are the same for all.
  if (question.kind === 'jobs' && running.length > 0) return running;
  return [running[0] ?? cluster.host];
}

const hostsOfClusters = (clusters: readonly ClusterConfig[]): readonly string[] => [
  ...new Set(clusters.map(({ host }) => host)),
];

/** The hosts of the clusters; for one that has no worker, where its cluster is drilled: the records are the same. */
async function drillHosts(clusters: readonly ClusterConfig[], hasWorker: HasWorker): Promise<readonly string[]> {
  const hosts = clusters.map(async ({ host, drill }) =>
    drill !== undefined && !(await hasWorker(host)) && (await hasWorker(drill.host)) ? drill.host : host,
  );
  return [...new Set(await Promise.all(hosts))];
}

/** Hosts besides its own that know of a cluster what is asked. */
function otherHosts({ host, recovery, drill }: ClusterConfig, { kind }: Inspection): readonly string[] {
  const targets = Object.values(recovery.targets).map((target) => target.host);
  // Jobs of a drill are there. Of policies that host may not reach all.
  const staging = drill !== undefined && (kind === 'drills' || kind === 'jobs') ? [drill.host] : [];
  return [...new Set([...targets, ...staging])].filter((other) => other !== host);
}

/** The host that would make a plan, which is not always the cluster's own. */
function plannedOn({ host, drill, recovery }: ClusterConfig, question: Inspection): string | undefined {
  if (question.kind === 'drill-plan') return drill?.host ?? host;
  return question.kind === 'plan' ? (recovery.targets[question.order.into]?.host ?? host) : undefined;
}

/** Copies are where they were recovered to: hosts that are named as places, those with a worker where any has one. */
async function besideHosts(config: Config, name: string | undefined, hasWorker: HasWorker): Promise<readonly string[]> {
  const clusters = name ? [clusterOf(config, name)] : Object.values(config.clusters);
  const hosts = clusters.flatMap(({ recovery }) => Object.values(recovery.targets).map(({ host }) => host));
  const all = [...new Set(hosts.length === 0 ? clusters.map(({ host }) => host) : hosts)];
  const running = (await Promise.all(all.map(async (host) => ((await hasWorker(host)) ? [host] : [])))).flat();
  return running.length === 0 ? all : running;
}

/** The host that a question names. */
function hostIn(question: Inspection): string | undefined {
  if (question.kind === 'host' || question.kind === 'page' || question.kind === 'beside-stop') return question.host;
  if (question.kind === 'explore-plan') return question.order.host;
  return question.kind === 'action' && question.order.kind === 'kept-drop' ? question.order.host : undefined;
}

/** The host that owns a repository; of one that every host reaches, that of a cluster that uses it, because it has the key. */
function hostOfRepository(config: Config, name: string): string {
  const repository = repositoryOf(config, name);
  const clusters = Object.values(config.clusters);
  const user = clusters.find(
    ({ catalogue, policies }) =>
      catalogue === name || Object.values(policies).some((policy) => policy.repository === name),
  );
  const host = repository.host ?? user?.host ?? Object.keys(config.hosts)[0];
  if (host === undefined)
    throw new RepriseError('not-found', `no host can reach the repository "${name}"`, 'name one under `hosts`');
  return host;
}

/** Ids name their cluster: `mairie:logical:…`, `incident/mairie/…`, `recover/mairie/…`. */
function clusterNamed(config: Config, question: Inspection): string | undefined {
  if (!('id' in question)) return undefined;
  const named = question.id.includes('/') ? question.id.split('/')[1] : clusterOfBackup(question.id);
  return named && config.clusters[named] ? named : undefined;
}

/** Whether the worker of a host is running. */
async function isHostPolled({ connection, options }: Client, host: string): Promise<boolean> {
  const { pollers } = await connection.workflowService.describeTaskQueue({
    namespace: options.namespace,
    taskQueue: { name: lightQueue(host) },
    taskQueueType: taskQueueTypes.activity,
  });
  return livingPollers(pollers, Date.now()).length > 0;
}
