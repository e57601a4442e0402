import { dirname } from 'node:path';
import type { Backup } from '../../domain/backup/backup.js';
import type { ConnectionConfig, PolicyConfig } from '../../domain/config.js';
import { RepriseError, isRepriseError } from '../../domain/errors.js';
import { type Plan, type PlanBinding, type PlanObservations, isRecoveryPlan } from '../../domain/plan/plan.js';
import { linesToAdd, mayApprove } from '../../domain/approval/approval-policy.js';
import { recoveryOrder } from '../../domain/operation/orders.js';
import { formatTarget } from '../../domain/target/target.js';
import type { PlannedThaw } from '../../domain/plan/thaw.js';
import type { RecoveryOutline } from '../../engines/engine.js';
import { inspectDataDir } from '../../postgres/server/data-directory.js';
import { probe } from '../../postgres/connection/probe.js';
import { processesIn } from '../../postgres/server/postmaster.js';
import { refuseTopology } from '../../postgres/server/topology.js';
import { planDigest } from '../../records/digest.js';
import { openHostState } from '../../records/host-state.js';
import type { HostActivities, PlanRequest } from '../api.js';
import { closePlansOf } from './approvals.js';
import { damagedBackup, quarantine } from './damaged-backup.js';
import { filesToPutBack } from '../backup/configuration.js';
import type { HostDependencies } from '../dependencies.js';
import { type ActivityRun, withOrder, wrapActivity } from '../activity-wrapper.js';
import { oldDataDirOf } from './old-data.js';
import { connectionAt, recoveryPlace } from './places.js';
import { warningsFor } from './plan-warnings.js';
import { mediaPart } from './recovered-media.js';
import { replacements, roomFor } from './replacements.js';
import { policiesHere, requireHere } from '../control/repositories.js';
import { thawOf } from './thaw.js';
import {
  type ClusterContext,
  currentBackups,
  engineFor,
  openClusterContext,
  policyOf,
  postgresBinOf,
  readContext,
  record,
} from '../cluster-context.js';

/** Bytes a restore moves in a second on a modest machine: for a prediction that is shown as one. */
const MODEST_BYTES_PER_SECOND = 80e6;
const START_SECONDS = 15;

export function planningActivities(
  deps: HostDependencies,
): Pick<HostActivities, 'planRecovery' | 'recheckPlan' | 'pin' | 'unpin'> {
  return {
    planRecovery: wrapActivity(
      'planRecovery',
      withOrder(recoveryOrder, async (request, run) => {
        const session = await openClusterContext(deps, request.cluster);
        const plan = await soundPlan(session, request, run);
        await openHostState(session.host.stateDir).savePlan(plan);
        await record(session, request, `plan/${plan.digest}`, { kind: 'plan', plan }, request.requester);
        return plan;
      }),
    ),
    recheckPlan: wrapActivity(
      'recheckPlan',
      withOrder(recoveryOrder, async (request, run) => {
        const session = await openClusterContext(deps, request.cluster);
        const before = await openHostState(session.host.stateDir).readPlan(request.plan);
        if (!before || !isRecoveryPlan(before))
          throw new RepriseError('plan-unknown', `this host holds no plan ${request.plan.slice(0, 12)} of a recovery`);
        const used = await openHostState(session.host.stateDir).usedBy(request.plan);
        // Under way already (a Reset, a lost completion): its steps are found done one by one, the old world is gone.
        if (used?.operationId === request.operationId) return { digest: before.digest, changed: [] };
        const now = await makePlan(session, request, run, before.binding.thaw).catch((error: unknown) =>
          brokenBy(session, request, error),
        );
        if ('damaged' in now) return { digest: null, changed: [now.damaged] };
        const changed = Object.keys(now.binding).filter(
          (key) =>
            JSON.stringify(now.binding[key as keyof PlanBinding]) !==
            JSON.stringify(before.binding[key as keyof PlanBinding]),
        );
        return { digest: now.digest, changed };
      }),
    ),
    pin: wrapActivity('pin', async (step) => {
      const session = await openClusterContext(deps, step.cluster);
      const plan = await openHostState(session.host.stateDir).readPlan(step.plan);
      // Also what is listed and not recorded: a repository just taken over, a worker that died before the record.
      const backupIds = plan && isRecoveryPlan(plan) ? plan.binding.backups.map(({ id }) => id) : [];
      const first = (await session.catalogue.state()).backups.find(({ id }) => backupIds.includes(id));
      // Each time a record of its own: one found from before an `unpin` would pin nothing.
      await record(session, step, `pin/${step.plan}/${Date.now()}`, {
        kind: 'pin',
        backupIds,
        walFrom: first?.wal?.start ?? null,
      });
    }),
    unpin: wrapActivity('unpin', async (step) => {
      const session = await openClusterContext(deps, step.cluster);
      await closePlansOf(session, step.operationId);
      await record(session, step, `unpin/${Date.now()}`, { kind: 'unpin' });
    }),
  };
}

/** A backup found damaged is quarantined, and says so in place of a plan; any other failure goes on. */
async function brokenBy(session: ClusterContext, request: PlanRequest, error: unknown): Promise<{ damaged: string }> {
  const backupId = damagedBackup(error);
  if (backupId === null) throw error;
  await quarantine(session, request, backupId, (error as Error).message);
  return { damaged: `${(error as Error).message}: quarantined` };
}

/** The plan with the newest backups that are whole: damaged ones are quarantined on the way (F15). */
async function soundPlan(session: ClusterContext, request: PlanRequest, run: ActivityRun): Promise<Plan> {
  let damage = null as { readonly backupId: string; readonly error: unknown } | null;
  for (;;) {
    try {
      return await makePlan(session, request, run);
    } catch (error) {
      const backupId = damagedBackup(error);
      // Where no other is left, or one was asked for by its name, the damage is the answer.
      if (backupId === null)
        throw damage && isRepriseError(error) && error.code === 'no-usable-backup' ? damage.error : error;
      if (backupId === damage?.backupId) throw error;
      await brokenBy(session, request, error);
      if (request.order.target.kind === 'backup') throw error;
      damage = { backupId, error };
    }
  }
}

/** Looks, refuses what cannot end well, and says exactly what would be done. Reads only (S3, F15, F17, F23–F26). */
export async function makePlan(
  session: ClusterContext,
  request: PlanRequest,
  run: ActivityRun,
  approvedThaw?: PlannedThaw,
): Promise<Plan> {
  const { cluster, deps } = session;
  const approval = cluster.approvals['recover'];
  if (!approval)
    throw new RepriseError(
      'policy-missing',
      `no policy says who may approve a recovery of ${cluster.name}`,
      linesToAdd('recover', cluster.name),
    );
  const place = recoveryPlace(cluster, request.order.into);
  if (place.host !== deps.host) {
    throw new RepriseError(
      'config-invalid',
      `host ${deps.host} was asked to recover ${cluster.name}, and by its own configuration ${request.order.into} is on host ${place.host}`,
      'have the same reprise.yml on both, then restart the workers: reprise doctor says which differ',
    );
  }
  const createdAt = new Date();

  const restart = await restartSuffices(session, request);
  const { policy, outline } = restart ? { policy: null, outline: restart } : await chooseOutline(session, request, run);
  const engine = policy ? engineFor(session, policy) : null;
  const method = engine?.capabilities.method ?? 'restart';
  if (place.inPlace && method === 'data-directory') await refuseTopology(cluster.connection, cluster.dataDir);
  if (method === 'data-directory' && !place.dataDir)
    throw new RepriseError(
      'config-invalid',
      `cluster ${cluster.name} has no data_dir to recover into`,
      'add data_dir: to the cluster',
    );
  const salvageFrom =
    place.inPlace && method === 'data-directory' && place.dataDir ? await oldDataDirOf(session, place.dataDir) : null;
  if (method === 'data-directory' && !place.inPlace && place.dataDir) await refuseLivingServer(place.dataDir);
  if (method === 'databases')
    await requireLivingServer(connectionAt(cluster, { port: place.port, targetHost: place.host }));
  const putsBack = place.inPlace && method === 'data-directory' ? await filesToPutBack(outline.backups) : [];
  const target = outline.target;
  const unseen: string[] = [];
  const thaw = policy
    ? await thawOf(
        session,
        policy,
        outline.backups,
        { tier: request.order.thawTier, approved: approvedThaw, warn: (text) => unseen.push(text) },
        run,
        request.operationId,
      )
    : null;
  const media = await mediaPart(session, request, stateOf(outline, method), run);
  const steps = cluster.recovery.steps.filter((step) => step !== 'safety-backup' || method === 'databases');

  const binding: PlanBinding = {
    action: 'recover',
    operationId: request.operationId,
    cluster: cluster.name,
    policy: policy?.name ?? 'none',
    engine: policy?.engine ?? 'none',
    method,
    systemIdentifier: outline.systemIdentifier,
    backups: outline.backups.map(({ id, label, type, finishedAt, sha256, database }) => ({
      id,
      label,
      type,
      finishedAt: finishedAt ?? '',
      hash: sha256 ?? null,
      ...(database ? { database } : {}),
    })),
    target,
    timeline: outline.timeline,
    pause: request.order.pause,
    sourceHost: cluster.host,
    targetHost: place.host,
    into: request.order.into,
    dataDir: method === 'databases' ? null : place.dataDir,
    port: place.port,
    replaces: method === 'restart' ? [] : await replacements(session, policy, place, outline, request.operationId),
    ...(putsBack.length > 0 ? { putsBack } : {}),
    ...(salvageFrom !== null && salvageFrom !== place.dataDir ? { salvageFrom } : {}),
    ...(thaw ? { thaw: thaw.planned } : {}),
    ...(media ? { media: media.planned } : {}),
    steps,
    hooks: place.inPlace ? steps.filter((step) => cluster.hooks[step]) : [],
    configDigest: deps.config.digest,
    ...(policy && engine?.configDigest ? { engineConfigDigest: await engine.configDigest(policy) } : {}),
    requester: request.requester,
  };
  const warnings = [
    ...outline.warnings,
    ...unseen,
    ...(await warningsFor(session, binding, request)),
    ...(media?.warnings ?? []),
  ];
  const seen = {
    ...observations({ ...outline, warnings }, method, createdAt),
    ...(await roomFor(session, binding, outline.neededBytes)),
  };
  const observed = {
    ...seen,
    ...afterThaw(seen.predictedRtoSeconds, thaw),
    approval: { approvers: approval.approvers, from: mayApprove(approval, request.requester) },
  };
  if (observed.freeBytes !== null && observed.freeBytes < observed.neededBytes) {
    throw new RepriseError(
      'disk-full',
      `the restore needs ${observed.neededBytes} bytes and ${observed.freeBytes} are free below ${dirname(place.dataDir ?? '/')}`,
      'make room (reprise kept list shows old data put aside), or recover into another place',
    );
  }
  return {
    digest: planDigest(binding),
    binding,
    observed,
    createdAt: createdAt.toISOString(),
    approveBy: new Date(createdAt.getTime() + approval.approveWithinSeconds * 1000).toISOString(),
  };
}

/** The thaw, and how much later the recovery ends for it. */
function afterThaw(
  predictedRtoSeconds: number | null,
  thaw: Awaited<ReturnType<typeof thawOf>>,
): Partial<PlanObservations> {
  if (!thaw?.observed) return {};
  const hours = thaw.observed.choices.find(({ tier }) => tier === thaw.planned.tier)?.hours ?? 0;
  return {
    thaw: thaw.observed,
    predictedRtoSeconds: predictedRtoSeconds === null ? null : predictedRtoSeconds + hours * 3600,
  };
}

/** What is in the place of a copy is put aside, and that cannot be done under a server that works there. */
async function refuseLivingServer(dataDir: string): Promise<void> {
  const living = await processesIn(dataDir);
  if (living.length === 0) return;
  throw new RepriseError(
    'conflict',
    `a server works in ${dataDir} (process ${living.join(', ')})`,
    'stop it first, with all its backends: what is there is put aside',
  );
}

/** Dumps are restored into a server that runs. */
async function requireLivingServer(connection: ConnectionConfig): Promise<void> {
  const seen = await probe(connection);
  if (seen.ok) return;
  throw new RepriseError(
    'database-unreachable',
    `the server that dumps are restored into does not answer at ${connection.host}:${connection.port} (${seen.layer}: ${seen.reason})`,
    'start it, or recover from a physical backup',
  );
}

/** The cheap thing first: nothing is replaced where the data directory is whole and only the server is down. */
async function restartSuffices(
  { cluster, deps, user, catalogue, ...rest }: ClusterContext,
  { order: { into, target, policy, database, pause } }: PlanRequest,
): Promise<RecoveryOutline | null> {
  const plain = into === 'in-place' && target.kind === 'latest' && !policy && !database && !pause;
  if (!plain || !cluster.dataDir || !cluster.service) return null;
  if ((await probe(cluster.connection)).ok) return null;
  const pgBin = await postgresBinOf({ cluster, deps, user, catalogue, ...rest });
  const found = await inspectDataDir(pgBin, cluster.dataDir, user);
  if (found.state !== 'whole') return null;
  return {
    backups: [],
    target: { kind: 'latest' },
    timeline: null,
    systemIdentifier: found.control?.systemIdentifier ?? null,
    sizeBytes: 0,
    neededBytes: 0,
    reachableFrom: null,
    reachableTo: null,
    walEnd: null,
    salvageableSegments: 0,
    warnings: [
      `the data directory is whole (${found.reason}): a start is offered, not a restore; name a policy (--policy) to restore all the same`,
    ],
  };
}

async function chooseOutline(
  session: ClusterContext,
  request: PlanRequest,
  run: ActivityRun,
): Promise<{ policy: PolicyConfig; outline: RecoveryOutline }> {
  const backups = await currentBackups(session, run);
  const named = backups.find(({ id }) => request.order.target.kind === 'backup' && id === request.order.target.id);
  if (named && !isThere(named)) {
    throw new RepriseError(
      'no-usable-backup',
      `backup ${named.id} is ${named.status}: it is not restored from`,
      `choose another one: reprise backup list ${session.cluster.name}`,
    );
  }
  const policies = await candidatesOf(session, request, named?.policy);
  const refusals: RepriseError[] = [];
  for (const policy of policies) {
    const usable = backups.filter(
      (backup) =>
        backup.policy === policy.name &&
        isThere(backup) &&
        (!request.order.database || backup.database === request.order.database),
    );
    try {
      const outline = await outlineOf(session, policy, request, usable.toReversed(), run);
      return {
        policy,
        outline: { ...outline, warnings: [...outline.warnings, ...passedOver(backups, policy, outline)] },
      };
    } catch (error) {
      if (!isRepriseError(error) || damagedBackup(error) !== null) throw error;
      refusals.push(error);
    }
  }
  throw (
    refusals[0] ??
    new RepriseError(
      'no-usable-backup',
      `no policy of ${session.cluster.name} can reach ${formatTarget(request.order.target)}`,
      `see what there is: reprise backup list ${session.cluster.name}`,
    )
  );
}

/** A cold one is there as well: its files are thawed first. */
function isThere({ status }: Backup): boolean {
  return status === 'complete' || status === 'cold';
}

/** Whoever approves an older backup should know why it is not the newest. */
function passedOver(backups: readonly Backup[], policy: PolicyConfig, outline: RecoveryOutline): readonly string[] {
  const newer = backups.filter(
    (backup) =>
      backup.policy === policy.name &&
      backup.status === 'quarantined' &&
      outline.backups.some(({ database, startedAt }) => database === backup.database && startedAt < backup.startedAt),
  );
  return newer.map(
    ({ id }) =>
      `backup ${id} is newer, and quarantined: it is passed over (it is read again by: reprise backup verify ${id})`,
  );
}

/** Policies in the order in which they lose least: those that replay WAL before those that do not. */
async function candidatesOf(
  session: ClusterContext,
  request: PlanRequest,
  ofBackup: string | undefined,
): Promise<readonly PolicyConfig[]> {
  const named = request.order.policy ?? ofBackup;
  if (named) {
    const policy = policyOf(session, named);
    await requireHere(session.deps, policy.repository, policy.cluster);
    return [policy];
  }
  const able = (await policiesHere(session.deps, session.cluster)).filter((policy) =>
    engineFor(session, policy).capabilities.targets.includes(request.order.target.kind),
  );
  return able.toSorted(
    (a, b) =>
      Number(engineFor(session, b).capabilities.archivesWal) - Number(engineFor(session, a).capabilities.archivesWal),
  );
}

async function outlineOf(
  session: ClusterContext,
  policy: PolicyConfig,
  request: PlanRequest,
  candidates: Awaited<ReturnType<typeof currentBackups>>,
  run: ActivityRun,
): Promise<RecoveryOutline> {
  const { cluster } = session;
  const engine = engineFor(session, policy);
  if (!engine.capabilities.targets.includes(request.order.target.kind)) {
    throw new RepriseError(
      'capability-missing',
      `engine ${policy.engine} cannot recover to ${formatTarget(request.order.target)}`,
      `it can: ${engine.capabilities.targets.join(', ')}; point-in-time targets need a policy that archives WAL`,
    );
  }
  if (candidates.length === 0) {
    throw new RepriseError(
      'no-usable-backup',
      `policy ${policy.name} of ${cluster.name} has no complete backup`,
      `see what there is: reprise backup list ${cluster.name}`,
    );
  }
  const databases = request.order.database ? [request.order.database] : cluster.databases;
  const oldDataDir =
    request.order.into === 'in-place' && cluster.dataDir ? await oldDataDirOf(session, cluster.dataDir) : null;
  return engine.outlineRecovery(await readContext(session, policy, run, request.operationId), {
    target: request.order.target,
    candidates,
    oldDataDir,
    databases,
  });
}

function observations(
  outline: RecoveryOutline,
  method: PlanBinding['method'],
  now: Date,
): Omit<PlanObservations, 'neededBytes' | 'freeBytes'> {
  const { sizeBytes, reachableFrom, reachableTo, walEnd, salvageableSegments, warnings } = outline;
  const stateAt = method === 'restart' ? null : stateOf(outline, method);
  return {
    sizeBytes,
    reachableFrom,
    reachableTo,
    walEnd,
    salvageableSegments,
    predictedRtoSeconds: Math.round(sizeBytes / MODEST_BYTES_PER_SECOND + START_SECONDS),
    ...(stateAt === null ? {} : { stateAt }),
    predictedRpoSeconds:
      method === 'restart'
        ? 0
        : stateAt === null
          ? null
          : Math.max(0, Math.round((now.getTime() - Date.parse(stateAt)) / 1000)),
    warnings,
  };
}

/** The instant whose data comes back; null where only the recovery itself will know it (lsn, xid, name). */
function stateOf({ target, backups, reachableTo }: RecoveryOutline, method: PlanBinding['method']): string | null {
  // A dump holds the data of its start; the oldest of several says what is not lost for sure.
  if (method === 'databases') return backups.map(({ startedAt }) => startedAt).sort()[0] ?? null;
  if (target.kind === 'latest') return reachableTo;
  if (target.kind === 'time') return target.time;
  const ended = target.kind === 'backup' || target.kind === 'end-of-backup' ? backups.at(-1)?.finishedAt : undefined;
  return ended ?? null;
}
