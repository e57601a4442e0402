import { join } from 'node:path';
import type { Backup, BoundContent } from '../../domain/backup/backup.js';
import { otherClusterOf } from '../../domain/backup/other-cluster.js';
import type { ClusterConfig, ConnectionConfig } from '../../domain/config.js';
import { RepriseError, isRepriseError } from '../../domain/errors.js';
import type { RecoveryOrder } from '../../domain/operation/orders.js';
import {
  type CapablePolicy,
  ablePolicies,
  allowsRestart,
  candidateBackups,
  namedBackup,
  noPolicyReaches,
  passedOver,
  restartSource,
  recoveredInstant,
  requireBeside,
} from '../../domain/plan/choose-source.js';
import type { PlanTerms, PlanningRequest } from '../../domain/plan/plan-terms.js';
import { mediaRefusal } from '../../domain/plan/recovered-media.js';
import type {
  PlaceObservations,
  RecoveryObservations,
  RecoverySource,
} from '../../domain/plan/recovery-observations.js';
import { connectionAt } from '../../domain/plan/recovery-place.js';
import { sizeInWords } from '../../domain/text/text.js';
import { pathExists } from '../../files/paths.js';
import { probe } from '../../postgres/connection/probe.js';
import { freeBytes } from '../../postgres/server/disk.js';
import { makeHostScratch } from '../../postgres/server/scratch-directory.js';
import { leftoverTargets } from '../../postgres/recovery/leftover-targets.js';
import { presentArchiving } from '../../postgres/recovery/present-archiving.js';
import { missingFiles } from '../../postgres/recovery/restore-configuration.js';
import { inspectDataDir, isFreshCluster } from '../../postgres/server/data-directory.js';
import { observeLayout, tablespaceLinks } from '../../postgres/server/layout.js';
import { processesIn } from '../../postgres/server/postmaster.js';
import { readClusterTopology, readDatabaseTopology } from '../../postgres/server/topology.js';
import type { ActivityRun } from '../activity-wrapper.js';
import type { StepInput } from '../api.js';
import {
  type ClusterContext,
  currentBackups,
  engineFor,
  forBackup,
  majorOfDataDir,
  policyOf,
  postgresBinOf,
  readContext,
} from '../cluster-context.js';
import { policiesHere, requireHere } from '../config-lookup.js';
import { measuredRestores } from '../measured.js';
import { bindConfiguration } from '../backup/configuration.js';
import { damagedBackup } from './damaged-backup.js';
import { observeDisk } from './observe-disk.js';
import { oldDataDirOf } from './old-data.js';
import { PhysicalSource } from '../temporary/instance-source.js';
import { mediaPlanAt } from './recovered-media.js';
import { observeColdFiles } from './thaw.js';

type Request = PlanningRequest & StepInput;
type PlannedFor = Pick<Request, 'operationId'> & { readonly run: ActivityRun };

/**
 * Reads everything that a recovery plan rests on, and changes nothing. What is refused is decided from it afterwards,
 * but for an order that no backup can answer: its refusal is all there is to observe.
 * @throws RepriseError of the first policy that refuses, where all do; what the storage, the disk and the server throw
 */
export async function observeRecovery(
  clusterContext: ClusterContext,
  terms: PlanTerms,
  request: Request,
  run: ActivityRun,
): Promise<RecoveryObservations> {
  const at = new Date().toISOString();
  const { operationId, order } = request;
  const source = (await restartSuffices(clusterContext, order)) ?? (await chooseBackups(clusterContext, request, run));
  const policy = source.policy && policyOf(clusterContext, source.policy.name);
  const { dataDir } = terms.place;
  const dataDirExists = dataDir !== null && (await pathExists(dataDir));
  const layout =
    source.method === 'data-directory' && dataDir !== null
      ? await observeLayout(dataDir, clusterContext.user)
      : undefined;
  const there = await serverIsThere(clusterContext, terms, request);
  return {
    at,
    source,
    dataDirExists,
    ...(await observePlace(clusterContext, terms, source, { ...request, run }, there)),
    coldFiles: policy ? await observeColdFiles(clusterContext, policy, source.outline.backups, run, operationId) : null,
    engineConfigDigest: policy && (await engineFor(clusterContext, policy).configDigest?.(policy)),
    media: await observeMedia(clusterContext, request, recoveredInstant(source), run),
    disk:
      source.method === 'databases' ? null : await observeDisk(clusterContext, terms, source, dataDirExists, layout),
    layout,
    measured: await measuredRestores(clusterContext, {
      engine: source.policy?.engine ?? 'none',
      method: source.method,
    }),
    ...there,
  };
}

const databasesOf = ({ outline: { backups } }: RecoverySource): readonly string[] =>
  backups.flatMap(({ database }) => database ?? []);

/** Of the cluster itself: another host sees only whether the worker of the cluster's own runs. */
async function serverIsThere(
  { cluster }: ClusterContext,
  { host }: PlanTerms,
  { sourceAnswers }: Request,
): Promise<Pick<PlaceObservations, 'serverIsThere'>> {
  if (host === cluster.host) return { serverIsThere: await isThere(cluster.connection) };
  return sourceAnswers === false ? { serverIsThere: false } : {};
}

/** What is in the place that is recovered into, as far as the method touches it. */
async function observePlace(
  clusterContext: ClusterContext,
  { cluster, place }: PlanTerms,
  source: RecoverySource,
  operation: PlannedFor,
  { serverIsThere: isLive }: Pick<PlaceObservations, 'serverIsThere'>,
): Promise<PlaceObservations> {
  const { method, outline } = source;
  const untouched = {
    topology: null,
    replacesRunningServer: false,
    processes: [],
    targetServer: null,
    oldDataDir: null,
    missingConfiguration: [],
  };
  if (method === 'restart') return untouched;
  if (method === 'databases')
    return {
      ...untouched,
      topology: place.inPlace ? await readDatabaseTopology(cluster.connection, databasesOf(source)) : null,
      targetServer: await probe(connectionAt(cluster, { port: place.port, targetHost: place.host })),
    };
  const leftovers = await leftoverTargets(configurationFiles(clusterContext, outline.backups));
  if (!place.inPlace)
    return {
      ...untouched,
      processes: place.dataDir ? await processesIn(place.dataDir) : [],
      leftoverTargets: leftovers,
      liveTablespaces: place.host === cluster.host && cluster.dataDir ? await tablespaceLinks(cluster.dataDir) : [],
    };
  return {
    ...untouched,
    leftoverTargets: leftovers,
    topology: await readClusterTopology(cluster.connection, cluster.dataDir, receiverSlots(clusterContext)),
    replacesRunningServer: isLive === true,
    oldDataDir: place.dataDir ? await oldDataDirOf(clusterContext, place.dataDir) : null,
    missingConfiguration: await missingConfiguration(outline.backups),
    ...(await observeArchiving(clusterContext, source, operation)),
  };
}

/** Slots by which our own workers receive WAL: they are made again on what is recovered. */
function receiverSlots(clusterContext: ClusterContext): readonly string[] {
  const { cluster } = clusterContext;
  return Object.values(cluster.policies).flatMap((policy) => {
    const { receiver } = engineFor(clusterContext, policy);
    return receiver?.wanted(policy.options) === true ? [receiver.slot({ cluster, policy })] : [];
  });
}

/** It answers, or it refuses our login. */
async function isThere(connection: ConnectionConfig): Promise<boolean> {
  const seen = await probe(connection);
  return seen.ok || seen.fix !== undefined;
}

/** With what the server that is replaced archives, and what it would get where that is nothing. */
async function observeArchiving(
  clusterContext: ClusterContext,
  { outline, policy }: RecoverySource,
  { operationId, run }: PlannedFor,
): Promise<Pick<PlaceObservations, 'archiving' | 'archivingIsUnfit' | 'ownArchiveCommand'>> {
  const { cluster, user } = clusterContext;
  if (!policy || cluster.dataDir === undefined) return {};
  const dataDir = await oldDataDirOf(clusterContext, cluster.dataDir);
  const archiving =
    outline.freshCluster === undefined
      ? await presentArchiving({
          ...{ connection: cluster.connection, service: cluster.service, user },
          dataDir: (await pathExists(dataDir)) ? dataDir : null,
          pgBin: await postgresBinOf(clusterContext),
        })
      : null;
  const configured = policyOf(clusterContext, policy.name);
  const { physical } = engineFor(clusterContext, configured);
  return {
    archiving,
    archivingIsUnfit: archiving !== null && physical?.acceptsArchiveCommand?.(archiving.command) === false,
    ownArchiveCommand:
      physical?.archiveCommand(await readContext(clusterContext, configured, run, operationId)) ?? null,
  };
}

/** Where the cluster on this host has its configuration, inside its data directory and outside. */
function configurationFiles({ cluster, deps }: ClusterContext, backups: readonly Backup[]): readonly string[] {
  const { dataDir, host, service } = cluster;
  if (host !== deps.host) return [];
  const debian =
    service?.kind === 'pg_ctlcluster' ? [`/etc/postgresql/${service.version}/${service.name}/postgresql.conf`] : [];
  const inside =
    dataDir === undefined ? [] : ['postgresql.conf', 'postgresql.auto.conf'].map((name) => join(dataDir, name));
  const outside = backups.flatMap(({ configuration }) => configuration?.files ?? []);
  return [...debian, ...inside, ...outside.filter((path) => path.endsWith('.conf'))];
}

/** Where the data directory is whole and only the server is down, a start is enough. */
async function restartSuffices(clusterContext: ClusterContext, order: RecoveryOrder): Promise<RecoverySource | null> {
  const { cluster, user } = clusterContext;
  if (!allowsRestart(order) || !cluster.dataDir || !cluster.service) return null;
  const seen = await probe(cluster.connection);
  if (seen.ok) return null;
  if (seen.fix !== undefined) throw loginRefused(cluster, seen.reason, seen.fix);
  const found = await inspectDataDir(await postgresBinOf(clusterContext), cluster.dataDir, user);
  if (found.state !== 'whole' || (await isOther(clusterContext, found.control?.systemIdentifier))) return null;
  return restartSource({ reason: found.reason, systemIdentifier: found.control?.systemIdentifier ?? null });
}

/** The server is there, so that a start of it helps nothing; whether anything is lost is not known. */
function loginRefused({ name, connection }: ClusterConfig, reason: string, fix: string): RepriseError {
  return new RepriseError(
    'database-unreachable',
    `the server of ${name} at ${connection.host}:${connection.port} is there and refuses the login (${reason}): whether it is lost cannot be seen`,
    `${fix}; to replace its data nevertheless, name a policy: reprise recover ${name} --policy NAME`,
    { final: true },
  );
}

/** A new, empty cluster where the one of the backups was: started, it would look as if everything was lost. */
async function isOther({ catalogue, cluster }: ClusterContext, found: string | undefined): Promise<boolean> {
  const known = (await catalogue.state()).backups.flatMap(({ server }) => server?.systemIdentifier ?? []);
  if (found === undefined || known.length === 0 || known.includes(found)) return false;
  return isFreshCluster(cluster.dataDir ?? '');
}

/** Asks the engines in turn, until one can say how it would recover. */
async function chooseBackups(
  clusterContext: ClusterContext,
  request: Request,
  run: ActivityRun,
): Promise<RecoverySource> {
  const { order } = request;
  const backups = await currentBackups(clusterContext, run);
  const named = namedBackup(order, clusterContext.cluster.name, backups);
  let refusal: unknown = null;
  for (const one of await candidatePolicies(clusterContext, order, named)) {
    try {
      return await outlineOf(clusterContext, one, request, backups, run);
    } catch (error) {
      if (!isRepriseError(error) || damagedBackup(error) !== null) throw error;
      refusal ??= error;
    }
  }
  throw refusal ?? noPolicyReaches(clusterContext.cluster, order);
}

async function candidatePolicies(
  clusterContext: ClusterContext,
  order: RecoveryOrder,
  ofBackup: Backup | undefined,
): Promise<readonly CapablePolicy[]> {
  const capable = (policy: CapablePolicy['policy']): CapablePolicy => ({
    policy,
    capabilities: engineFor(clusterContext, policy).capabilities,
  });
  const named = order.policy ?? ofBackup?.policy;
  if (!named)
    return ablePolicies((await policiesHere(clusterContext.deps, clusterContext.cluster)).map(capable), order);
  const policy = policyOf(clusterContext, named);
  await requireHere(clusterContext.deps, policy.repository, policy.cluster);
  return [capable(policy)];
}

async function outlineOf(
  clusterContext: ClusterContext,
  one: CapablePolicy,
  { order, operationId }: Request,
  backups: readonly Backup[],
  run: ActivityRun,
): Promise<RecoverySource> {
  const { cluster } = clusterContext;
  const { policy } = one;
  const engine = engineFor(clusterContext, policy);
  if (order.database !== undefined && one.capabilities.method === 'data-directory')
    return oneDatabaseOf(clusterContext, one, { order, operationId, database: order.database }, backups, run);
  const candidates = candidateBackups(one, order, backups);
  const [newest] = candidates;
  if (newest && one.capabilities.method === 'data-directory')
    requireBeside(order, newest, otherClusterOf(newest, backups), await majorOfDataDir(clusterContext));
  const context = await readContext(
    newest ? forBackup(clusterContext, newest) : clusterContext,
    policy,
    run,
    operationId,
  );
  const outline = await engine.outlineRecovery(context, {
    target: order.target,
    timeline: order.timeline,
    candidates,
    oldDataDir:
      order.into === 'in-place' && cluster.dataDir ? await oldDataDirOf(clusterContext, cluster.dataDir) : null,
    databases: order.database ? [order.database] : cluster.databases,
  });
  const known = backups.filter((backup) => backup.policy === policy.name);
  const content: Record<string, BoundContent> = {};
  for (const backup of outline.backups)
    content[backup.id] = {
      ...(await engine.bindBackup(context, backup, known)),
      ...(await bindConfiguration(clusterContext, policy, backup)),
    };
  return {
    method: engine.capabilities.method,
    content,
    outline: { ...outline, warnings: [...outline.warnings, ...passedOver(backups, policy.name, outline)] },
    policy: {
      name: policy.name,
      engine: policy.engine,
      overwrites: engine.capabilities.overwrites ?? false,
    },
  };
}

/**
 * One database of a physical backup, by way of a temporary instance.
 * @throws RepriseError `disk-full` where that has no room in the scratch directory
 */
async function oneDatabaseOf(
  clusterContext: ClusterContext,
  { policy }: CapablePolicy,
  { order, operationId, database }: Pick<Request, 'order' | 'operationId'> & { readonly database: string },
  backups: readonly Backup[],
  run: ActivityRun,
): Promise<RecoverySource> {
  const { target, timeline } = order;
  const named = target.kind === 'backup' ? target.id : undefined;
  const source = await PhysicalSource.open({ clusterContext, run, operationId, policy }, named);
  const outline = await source.outline(target, timeline);
  const { host, cluster } = clusterContext;
  await makeHostScratch(host, clusterContext.user);
  const free = await freeBytes(host.scratchDir);
  if (free < outline.neededBytes)
    throw new RepriseError(
      'disk-full',
      `a temporary instance of ${cluster.name} needs ${sizeInWords(outline.neededBytes)}, and ${sizeInWords(free)} are free in ${host.scratchDir}`,
      `free space there, or name a directory on a larger disk: hosts.${host.name}.scratch_dir`,
    );
  return {
    method: 'databases',
    through: 'temporary-instance',
    content: await source.contentOf(outline),
    outline: {
      ...outline,
      backups: outline.backups.map((backup) => ({ ...backup, database })),
      warnings: [...outline.warnings, ...passedOver(backups, policy.name, outline)],
    },
    policy: { name: policy.name, engine: policy.engine, overwrites: false },
  };
}

/** Files of a backup's configuration that are gone from this host: the plan says that they are put back. */
function missingConfiguration(backups: readonly Backup[]): Promise<readonly string[]> {
  return missingFiles(backups.flatMap(({ configuration }) => (configuration?.key ? configuration.files : [])));
}

/** Lists the media only where they can go to the same instant: what is refused is not listed first. */
async function observeMedia(
  clusterContext: ClusterContext,
  request: Request,
  stateAt: string | null,
  run: ActivityRun,
): Promise<RecoveryObservations['media']> {
  const { withMedia: name } = request.order;
  if (name === undefined || stateAt === null || mediaRefusal(request, clusterContext.cluster, stateAt) !== null)
    return null;
  return mediaPlanAt(clusterContext, { ...request, name, instant: new Date(stateAt).toISOString() }, run);
}
