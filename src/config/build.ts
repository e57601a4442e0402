import { createHash } from 'node:crypto';
import { checkKinds } from '../checks/registry.js';
import { canonicalJson } from '../domain/text/canonical-json.js';
import type * as Domain from '../domain/config.js';
import { parseDuration, parseSize } from '../domain/text/units.js';
import { engineKinds } from '../engines/registry.js';
import { notifierKinds } from '../notifiers/registry.js';
import { storageKinds } from '../storage/registry.js';
import { buildEncryption } from './encryption.js';
import { calendarSpec } from './schema/schedule.js';
import {
  mapValues,
  type SettledCluster,
  type SettledConfig,
  type SettledPolicy,
  type SettledRepository,
} from './resolve-defaults.js';

/** The configuration in the program's own terms: camelCase, seconds, what the kinds' own readers made of their options. */
export function buildConfig(settled: SettledConfig, file: string): Domain.Config {
  const { language, temporal } = settled;
  const resolved = {
    language,
    temporal: {
      webUi: temporal.web_ui,
      ...(temporal.address === undefined ? {} : { address: temporal.address }),
      ...(temporal.namespace === undefined ? {} : { namespace: temporal.namespace }),
    },
    hosts: mapValues(settled.hosts, (host, name) => ({
      name,
      stateDir: host.state_dir,
      scratchDir: host.scratch_dir,
      heavySlots: host.heavy_slots,
      heartbeatSeconds: host.timeouts?.heartbeat === undefined ? undefined : parseDuration(host.timeouts.heartbeat),
    })),
    repositories: mapValues(settled.repositories, buildRepository),
    clusters: mapValues(settled.clusters, buildCluster),
    contacts: mapValues(settled.contacts, (contact) => ({ ...contact })),
    notifiers: mapValues(settled.notifiers, ({ type, ...own }, name) => {
      const kind = notifierKinds[type];
      return { name, type, addressed: (kind?.address ?? null) !== null, options: kind?.read(own) ?? own };
    }),
    notify: settled.notify,
    raci: buildRaci(settled.raci),
    media: mapValues(settled.media, buildMedia),
  };
  // Where the file lies is no part of it: the same file on two hosts is the same configuration.
  return { file, ...resolved, digest: createHash('sha256').update(canonicalJson(resolved)).digest('hex') };
}

function buildMedia(
  {
    repository,
    prefix,
    cluster,
    concurrency,
    multipart_copy_above,
    objects_query: objectsQuery,
  }: SettledConfig['media'][string],
  name: string,
): Domain.MediaConfig {
  // A folder, never the beginning of a name: `photos` does not hold `photos-old/1.jpg`.
  const folder = prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`;
  return {
    name,
    repository,
    folder,
    cluster,
    concurrency,
    singleCopyBytes: parseSize(multipart_copy_above),
    ...(objectsQuery ? { objectsQuery } : {}),
  };
}

function buildRepository(repository: SettledRepository, name: string): Domain.RepositoryConfig {
  const { type, host, encryption: _encryption, prices, ...own } = repository;
  return {
    name,
    type,
    ...(host === undefined ? {} : { host }),
    ...(prices === undefined
      ? {}
      : { prices: { currency: prices.currency, perGbMonth: prices.per_gb_month, thawPerGb: prices.thaw_per_gb } }),
    options: storageKinds[type]?.read(own) ?? own,
  };
}

function buildCluster(cluster: SettledCluster, name: string): Domain.ClusterConfig {
  const { connection, objectives, watch, recovery } = cluster;
  return {
    name,
    host: cluster.host,
    connection: {
      host: connection.host,
      port: connection.port,
      user: connection.user,
      ...(connection.passfile === undefined ? {} : { passfile: connection.passfile }),
      maintenanceDatabase: connection.maintenance_database,
    },
    ...(cluster.data_dir === undefined ? {} : { dataDir: cluster.data_dir }),
    ...(cluster.service === undefined ? {} : { service: buildService(cluster.service) }),
    databases: cluster.databases,
    catalogue: cluster.catalogue,
    objectives: {
      ...(objectives.rto === undefined ? {} : { rtoSeconds: parseDuration(objectives.rto) }),
      ...(objectives.rpo === undefined ? {} : { rpoSeconds: parseDuration(objectives.rpo) }),
    },
    ...(watch === undefined ? {} : { watch: { everySeconds: parseDuration(watch.every), failures: watch.failures } }),
    policies: mapValues(cluster.backups, (policy, policyName) => buildPolicy(policy, policyName, name)),
    recovery: {
      oldData: buildOldData(recovery.old_data),
      targets: mapValues(recovery.targets, ({ host, data_dir, port }, target) => ({
        name: target,
        host,
        dataDir: data_dir,
        port,
      })),
      steps: recovery.steps,
    },
    hooks: mapValues(cluster.hooks, ({ argv, host, timeout, undo }, hook) => ({
      name: hook,
      argv,
      host,
      timeoutSeconds: parseDuration(timeout),
      ...(undo === undefined ? {} : { undo }),
    })),
    checks: mapValues(cluster.checks, ({ type, ...own }, check) => ({
      name: check,
      type,
      options: checkKinds[type]?.read(own) ?? own,
    })),
    approvals: buildApprovals(cluster.approvals),
  };
}

function buildOldData({ mode, path }: SettledCluster['recovery']['old_data']): Domain.OldDataConfig {
  return mode === 'aside-on' ? { mode, path: path ?? '' } : { mode };
}

function buildService(service: NonNullable<SettledCluster['service']>): Domain.ServiceConfig {
  return service.kind === 'pg_ctlcluster' ? { ...service, version: String(service.version) } : service;
}

function buildPolicy(policy: SettledPolicy, name: string, cluster: string): Domain.PolicyConfig {
  const { engine, repository, enabled, schedule, retention, proof, options } = policy;
  const { min_proven, max_deletions, ...rules } = retention;
  return {
    name,
    cluster,
    engine,
    repository,
    enabled,
    ...(schedule === undefined
      ? {}
      : {
          schedule: {
            ...(schedule.cron === undefined ? {} : { cron: schedule.cron.trim() }),
            ...(schedule.calendar === undefined ? {} : { calendar: calendarSpec(schedule.calendar) }),
            catchUpSeconds: parseDuration(schedule.catch_up),
          },
        }),
    retention: { ...rules, minProven: min_proven, maxDeletions: max_deletions },
    proof,
    ...buildEncryption(policy.encryption),
    options: engineKinds[engine]?.read(options) ?? options,
  };
}

/** Whoever is responsible first, each contact once. */
function buildRaci(raci: SettledConfig['raci']): Record<string, readonly string[]> {
  const areas = Object.entries(raci).filter(
    (entry): entry is [string, NonNullable<(typeof entry)[1]>] => entry[1] !== undefined,
  );
  const people = ({ responsible, accountable, support, consulted, informed }: (typeof areas)[number][1]) =>
    [responsible, accountable, support, consulted, informed].flatMap((named) => named ?? []);
  return mapValues(Object.fromEntries(areas), (parts) => [...new Set(people(parts))]);
}

function buildApprovals(approvals: SettledCluster['approvals']): Record<string, Domain.ApprovalPolicy> {
  const present = Object.entries(approvals).filter(
    (entry): entry is [string, NonNullable<(typeof entry)[1]>] => entry[1] !== undefined,
  );
  return mapValues(Object.fromEntries(present), (policy) => ({
    approvers: policy.approvers,
    from: policy.from,
    requesterMayApprove: policy.requester_may_approve,
    approveWithinSeconds: parseDuration(policy.approve_within),
    executeWithinSeconds: parseDuration(policy.execute_within),
    signatures: policy.signatures,
  }));
}
