import type { BoundContent } from '../backup/backup.js';
import { mayApprove } from '../approval/approval-policy.js';
import type { ClusterConfig } from '../config.js';
import { RepriseError } from '../errors.js';
import { recoveredInstant } from './choose-source.js';
import { planWarnings } from './plan-warnings.js';
import { undoHooksOf } from './hooks.js';
import type { PlanTerms, PlanningRequest } from './plan-terms.js';
import type { Plan, PlanBinding, PlanObservations } from './plan.js';
import { mediaRefusal, plannedMedia } from './recovered-media.js';
import type { RecoveryObservations, RecoverySource } from './recovery-observations.js';
import { predictSeconds } from './predict-duration.js';
import { connectionAt } from './recovery-place.js';
import { formatTarget } from '../target/target.js';
import { growthWarnings, roomFor } from './disk-room.js';
import {
  layoutWarnings,
  partsOfOldData,
  plannedLayout,
  refuseLiveTablespaces,
  refuseUnfitLayout,
} from './decide-layout.js';
import { type OldDataFate, oldDataFate, replacements } from './replacements.js';
import { type ObservedThaw, type PlannedThaw, planThaw } from './thaw.js';
import { detachedFrom, topologyRefusal, withoutDetached } from './topology.js';

/**
 * Decides on a recovery: says exactly what would be done, or refuses what cannot end well. It reads nothing but its
 * arguments, so the same observations always lead to the same plan.
 * @throws RepriseError with the first reason why this recovery is refused
 */
export function decideRecovery(
  terms: PlanTerms,
  request: PlanningRequest,
  seen: RecoveryObservations,
): Omit<Plan, 'digest'> {
  refuseUnfitPlace(terms, request, seen);
  const thaw = seen.coldFiles && planThaw(seen.coldFiles, request.order.thawTier, request.approvedThaw);
  const binding = bindingOf(terms, request, seen, thaw?.planned);
  const observed: PlanObservations = {
    ...predictions(seen, thaw && thaw.observed && hoursOf(thaw.planned, thaw.observed)),
    warnings: [
      ...planWarnings(terms, binding, request, seen),
      ...(seen.layout ? layoutWarnings(terms.place, seen.layout) : []),
      ...growthWarnings(seen.source.outline, seen),
    ],
    ...roomFor(seen.source.outline, {
      ...{ disk: seen.disk, dataDir: terms.place.dataDir, fate: fateOf(terms, seen) },
      ...(terms.place.inPlace && seen.layout ? { layout: seen.layout } : {}),
    }),
    thaw: thaw?.observed ?? undefined,
    serverIsThere: seen.serverIsThere,
    approval: { approvers: terms.approval.approvers, from: mayApprove(terms.approval, request.requester) },
  };
  const approveBy = new Date(Date.parse(seen.at) + terms.approval.approveWithinSeconds * 1000).toISOString();
  return { binding, observed, createdAt: seen.at, approveBy };
}

/** What becomes of the data directory that is there. */
const fateOf = ({ cluster, place }: PlanTerms, { source, dataDirExists }: RecoveryObservations): OldDataFate =>
  oldDataFate(place, cluster.recovery.oldData, {
    ...{ method: source.method, dataDirExists },
    isForeign: source.outline.freshCluster !== undefined,
  });

/** Refuses a place whose data cannot be replaced, or that dumps cannot be restored into. */
function refuseUnfitPlace(terms: PlanTerms, request: PlanningRequest, seen: RecoveryObservations): void {
  const { cluster, place } = terms;
  const {
    source: { method },
    topology,
    processes,
    targetServer,
    layout,
  } = seen;
  const dependent = topology && withoutDetached(topology, detachedBy(request, seen));
  const refusal = dependent && topologyRefusal(dependent, { mayDetach: method === 'databases' });
  if (refusal) throw refusal;
  if (method === 'data-directory' && !place.dataDir)
    throw new RepriseError(
      'config-invalid',
      `cluster ${cluster.name} has no data_dir to recover into`,
      'add data_dir: to the cluster',
    );
  // What is in the place of a copy is put aside, and that cannot be done under a server that works there.
  if (processes.length > 0)
    throw new RepriseError(
      'conflict',
      `a server is running in ${place.dataDir} (process ${processes.join(', ')})`,
      'stop it first, with all its backends: the directory is renamed',
    );
  if (layout) refuseUnfitLayout(place, layout, fateOf(terms, seen));
  refuseLiveTablespaces(seen.liveTablespaces, seen.source.outline);
  if (targetServer !== null && !targetServer.ok) {
    const { host, port } = connectionAt(cluster, { port: place.port, targetHost: place.host });
    throw new RepriseError(
      'database-unreachable',
      `the server that dumps are restored into does not answer at ${host}:${port} (${targetServer.layer}: ${targetServer.reason})`,
      'start it, or recover from a physical backup',
    );
  }
}

/** Files of a physical backup have the subscriptions of their time: nothing is left behind then. */
function detachedBy({ order }: PlanningRequest, { source, topology }: RecoveryObservations): PlanBinding['detaches'] {
  if (order.detachReplication !== true || source.method !== 'databases' || !topology) return undefined;
  return detachedFrom(topology);
}

/** As whom a dump is restored; files of a physical backup are restored as nobody. */
function restoreRights(
  { restoreAs }: PlanTerms['cluster'],
  method: PlanBinding['method'],
): Pick<PlanBinding, 'restoreAs'> {
  return method === 'databases' ? { restoreAs: restoreAs ?? 'unprivileged' } : {};
}

function bindingOf(
  terms: PlanTerms,
  request: PlanningRequest,
  seen: RecoveryObservations,
  thaw: PlannedThaw | undefined,
): PlanBinding {
  const { cluster, place, configDigest } = terms;
  const { operationId, order, requester } = request;
  const { source, oldDataDir, missingConfiguration } = seen;
  const { method, outline, policy } = source;
  const { oldData } = cluster.recovery;
  const media = mediaOf(cluster, request, seen);
  const fate = fateOf(terms, seen);
  const ofBackup = outline.tablespaces ?? [];
  const layout = seen.layout && plannedLayout(place, seen.layout, { fate, ofBackup, operationId });
  const steps = cluster.recovery.steps.filter((step) => step !== 'safety-backup' || method === 'databases');
  const hooks = place.inPlace ? steps.filter((step) => cluster.hooks[step]) : [];
  return {
    action: 'recover',
    operationId,
    cluster: cluster.name,
    policy: policy?.name ?? 'none',
    engine: policy?.engine ?? 'none',
    method,
    ...(source.through === undefined ? {} : { through: source.through }),
    ...restoreRights(cluster, method),
    systemIdentifier: outline.systemIdentifier,
    backups: outline.backups.map(({ id, label, type, finishedAt, sha256, database }) => ({
      id,
      label,
      type,
      finishedAt: finishedAt ?? '',
      hash: sha256 ?? null,
      content: boundOf(source, id),
      database: database || undefined,
    })),
    ...plannedTarget(request, source),
    timeline: outline.timeline,
    pause: order.pause,
    sourceHost: cluster.host,
    targetHost: place.host,
    into: order.into,
    dataDir: method === 'databases' ? null : place.dataDir,
    port: place.port,
    replaces: replacements(source, place, {
      ...{ oldData, fate, operationId, home: seen.layout?.dataDir },
      parts: seen.layout && partsOfOldData(place, seen.layout, layout),
    }),
    layout,
    freshCluster: outline.freshCluster,
    detaches: detachedBy(request, seen),
    putsBack: missingConfiguration.length > 0 ? missingConfiguration : undefined,
    salvageFrom: oldDataDir !== null && oldDataDir !== place.dataDir ? oldDataDir : undefined,
    thaw,
    media,
    steps,
    hooks,
    undoHooks: undoHooksOf(hooks, cluster.hooks),
    configDigest,
    engineConfigDigest: seen.engineConfigDigest,
    requester,
  };
}

/** The target as it was asked for, and where the replay stops for it where that is another. */
function plannedTarget(
  { order }: PlanningRequest,
  { method, through, outline }: RecoverySource,
): Pick<PlanBinding, 'target' | 'stopsAt'> {
  // A backup named by its id is recovered to its own end.
  const isReplayed = method === 'data-directory' || through !== undefined;
  const target = order.target.kind === 'backup' || !isReplayed ? outline.target : order.target;
  const isItself = formatTarget(outline.target) === formatTarget(target);
  return { target, stopsAt: isItself ? undefined : outline.target };
}

/** What no hash is known of is not planned: its steps could not tell it from something else. */
function boundOf({ content }: RecoverySource, id: string): BoundContent {
  const bound = content[id];
  if (bound !== undefined && Object.keys(bound).length > 0) return bound;
  throw new RepriseError(
    'no-usable-backup',
    `nothing says which content backup ${id} has`,
    'verify it, or choose another one with recover --to backup:ID',
  );
}

function mediaOf(
  cluster: ClusterConfig,
  request: PlanningRequest,
  { source, media }: RecoveryObservations,
): PlanBinding['media'] {
  const { withMedia } = request.order;
  if (withMedia === undefined) return undefined;
  const stateAt = recoveredInstant(source);
  const refusal = mediaRefusal(request, cluster, stateAt);
  if (refusal) throw refusal;
  return media && stateAt ? plannedMedia(media, withMedia, new Date(stateAt).toISOString()) : undefined;
}

/** What the recovery comes to: how long it takes, what it recovers, and what may be lost. */
function predictions(
  { source, at, measured = [] }: RecoveryObservations,
  thawHours: number | null,
): Omit<PlanObservations, 'neededBytes' | 'freeBytes' | 'warnings'> {
  const { sizeBytes, reachableFrom, reachableTo, walEnd, salvageableSegments } = source.outline;
  const stateAt = source.method === 'restart' ? null : recoveredInstant(source);
  const { replayBytes } = source.outline;
  const predicted = predictSeconds(measured, { sizeBytes, walBytes: replayBytes ?? null });
  const thawSeconds = (thawHours ?? 0) * 3600;
  const predictedRto = predicted && {
    ...predicted,
    p50: predicted.p50 + thawSeconds,
    p90: predicted.p90 + thawSeconds,
  };
  return {
    sizeBytes,
    reachableFrom,
    reachableTo,
    walEnd,
    salvageableSegments,
    predictedRtoSeconds: predictedRto?.p50 ?? null,
    ...(predictedRto && { predictedRto }),
    ...(replayBytes !== undefined && { replayBytes }),
    stateAt: stateAt ?? undefined,
    lastCommitAt: source.outline.lastCommitAt ?? undefined,
    history: source.outline.history,
    predictedRpoSeconds: source.method === 'restart' ? 0 : stateAt === null ? null : secondsBetween(stateAt, at),
  };
}

function hoursOf({ tier }: PlannedThaw, { choices }: ObservedThaw): number {
  return choices.find((choice) => choice.tier === tier)?.hours ?? 0;
}

function secondsBetween(earlier: string, later: string): number {
  return Math.max(0, Math.round((Date.parse(later) - Date.parse(earlier)) / 1000));
}
