import { randomBytes } from 'node:crypto';
import { dirname } from 'node:path';
import type { PolicyConfig } from '../../domain/config.js';
import type { DrillPlan, PlannedRestore } from '../../domain/drill/drill.js';
import { drilledPolicies } from '../../domain/drill/drilled-policies.js';
import { checksOf } from '../../domain/drill/drill-checks.js';
import { notTestedBy } from '../../domain/drill/not-tested.js';
import { isRepriseError, isRetryable, RepriseError } from '../../domain/errors.js';
import { type DrillOrder, drillOrder } from '../../domain/operation/orders.js';
import { canonicalJson } from '../../domain/text/canonical-json.js';
import { sizeInWords } from '../../domain/text/text.js';
import { freeBytes, usedBytes } from '../../postgres/server/disk.js';
import { markStaging, requireStagingApart, stagingTablespaces } from '../../postgres/server/staging-place.js';
import { requireProgram } from '../../process/exec/find-programs.js';
import { openSshSigner } from '../../process/exec/ssh-signing.js';
import { decryptingArgv } from '../../process/age/age.js';
import { requireIdentity } from '../../process/age/age-keys.js';
import { withoutNetwork } from '../../process/exec/without-network.js';
import { isLeaving } from '../../process/jobs/jobs.js';
import { sha256Hex } from '../../records/digest.js';
import { NAMESPACE } from '../../records/evidence/manifest.js';
import { type ActivityRun, callingWorkflow, withOrder, wrapActivity } from '../activity-wrapper.js';
import type { DrillActivities, OrderedStep } from '../api.js';
import { closePlansOf } from '../approval/authorize.js';
import { claimPlanned } from '../approval/own-operation.js';
import { type ClusterContext, forBackup, policyOf, postgresBinOf, record } from '../cluster-context.js';
import { requireHere } from '../config-lookup.js';
import type { HostDependencies } from '../dependencies.js';
import { damagedBackup, quarantine } from '../recovery/damaged-backup.js';
import { claimInstance, removeInstance } from '../temporary/instances.js';
import { protectedPaths } from '../../postgres/server/protected-paths.js';
import { chooseRestores, type Choosing } from './choose-restores.js';
import { type DrillContext, openDrillContext } from './staging.js';

type Request = OrderedStep<DrillOrder> & { readonly requester: string };

export function drillPlanning(deps: HostDependencies): Pick<DrillActivities, 'planDrill'> {
  return {
    planDrill: wrapActivity(
      'planDrill',
      withOrder(drillOrder, async (request, run) => {
        const context = await openDrillContext(deps, request);
        const { clusterContext } = context;
        await claimPlanned(clusterContext, request);
        try {
          return await planned(context, request, run);
        } catch (error) {
          // No attempt follows a refusal, and no step: the operation is over.
          if (isRepriseError(error) && !isRetryable(error) && !isLeaving(run))
            await closePlansOf(clusterContext, request.operationId);
          throw error;
        }
      }),
    ),
  };
}

async function planned(context: DrillContext, request: Request, run: ActivityRun): Promise<DrillPlan> {
  const { clusterContext, place, folder } = context;
  const { dataDir } = place;
  const { operationId } = request;
  const made = await folder.plan();
  // Found done: a plan that was shown stays what it was.
  if (made !== null && made.operationId === operationId) return made;
  await requireStagingApart(place, await protectedPaths(clusterContext.deps, dataDir));
  // Before it is taken: what may not be marked is not held either.
  await markStaging(place);
  const instance = await claimInstance(clusterContext, { dataDir, kind: 'staging', operationId }, null);
  try {
    const damaged = (id: string, reason: string): Promise<void> => quarantine(clusterContext, request, id, reason);
    const plan = await makePlan(context, request, run, damaged);
    await pinBackups(clusterContext, request, plan);
    await folder.savePlan(plan);
    return plan;
  } catch (error) {
    const id = damagedBackup(error);
    if (id !== null) await quarantine(clusterContext, request, id, (error as Error).message);
    // Another drill may have the place. Where this fails too, a sweep does it.
    if (!isLeaving(run)) await removeInstance(clusterContext, instance).catch(() => undefined);
    throw error;
  }
}

/** What `planDrill` would plan: claims, marks and pins nothing. */
export async function previewDrill(deps: HostDependencies, request: Request, run: ActivityRun): Promise<DrillPlan> {
  const context = await openDrillContext(deps, request);
  await requireStagingApart(context.place, await protectedPaths(deps, context.place.dataDir));
  return makePlan(context, request, run);
}

async function makePlan(
  context: DrillContext,
  request: Request,
  run: ActivityRun,
  damaged?: Choosing['damaged'],
): Promise<DrillPlan> {
  const { clusterContext, drill, place } = context;
  const { deps, cluster, user } = clusterContext;
  const { order, operationId, workflowId, requester } = request;
  const seed = order.seed ?? randomBytes(16).toString('hex');
  const at = order.at ?? drill.at;
  const choosing = { clusterContext, run, operationId, at, seed, ...(damaged && { damaged }) };
  const { restores, unrestorable } = await chooseRestores(choosing, await policiesOf(context, order));
  await requireMeans(context, restores, run);
  await requireRoom(context, restores);
  const { backups } = await clusterContext.catalogue.state();
  const rest: Omit<DrillPlan, 'digest'> = {
    ...{ cluster: cluster.name, operationId, workflowId, requester, order, seed, restores },
    ...(unrestorable.length === 0 ? {} : { unrestorable }),
    createdAt: new Date().toISOString(),
    place: { host: place.host, dataDir: place.dataDir, port: place.port },
    configDigest: deps.config.digest,
    checks: checksOf(Object.values(cluster.checks), deps.checksOfEveryDrill()).map(({ name }) => name),
    notTested: notTestedBy(
      deps.config,
      cluster,
      deps.host,
      { restores, unrestorable },
      backups,
      (await withoutNetwork(user)) !== null,
    ),
  };
  return { digest: sha256Hex(canonicalJson(rest)), ...rest };
}

/**
 * What the order names, else the configuration. Policies that this host cannot read are left out where nobody named them for this drill.
 * @throws RepriseError `not-found`, `path-refused`, `no-usable-backup`
 */
async function policiesOf(
  { clusterContext: { deps, cluster }, drill }: DrillContext,
  { engines }: DrillOrder,
): Promise<readonly PolicyConfig[]> {
  const known = Object.values(cluster.policies).flatMap(({ name, engine }) => [name, engine]);
  const unknown = engines?.find((named) => !known.includes(named));
  if (unknown !== undefined)
    throw new RepriseError(
      'not-found',
      `cluster ${cluster.name} has no policy of that name or engine: ${JSON.stringify(unknown)}`,
      `its policies and engines: ${[...new Set(known)].join(', ')}`,
    );
  const wanted = drilledPolicies(cluster, engines ?? drill.engines);
  const usable: PolicyConfig[] = [];
  for (const policy of wanted) {
    try {
      await requireHere(deps, policy.repository, cluster.name);
      usable.push(policy);
    } catch (error) {
      if (engines !== undefined) throw error;
    }
  }
  if (usable.length > 0) return usable;
  throw new RepriseError(
    'no-usable-backup',
    `no policy of ${cluster.name} can be restored on ${deps.host}: ${wanted.length === 0 ? 'those that are named are disabled' : 'their repositories are directories of another host'}`,
    'name an enabled policy whose repository this host can reach: reprise drill run --engine NAME',
  );
}

/**
 * What the steps would miss only after hours: PostgreSQL of the version of each backup, which need not be the newest one's; the key of
 * encrypted ones; the program that masks; the key that signs. The engines' own programs were needed to choose the backups.
 * @throws RepriseError `tool-missing`, `key-missing`
 */
async function requireMeans(
  { clusterContext, drill: { mask } }: DrillContext,
  restores: readonly PlannedRestore[],
  { signal }: ActivityRun,
): Promise<void> {
  const { catalogue, deps, cluster } = clusterContext;
  const { backups } = await catalogue.state();
  const chosen = restores.flatMap((planned) => planned.backups.map(({ id }) => id));
  for (const backup of backups.filter(({ id }) => chosen.includes(id))) {
    await postgresBinOf(forBackup(clusterContext, backup));
    if (backup.encryption === undefined) continue;
    const identity = await requireIdentity(policyOf(clusterContext, backup.policy).encryption, `backup ${backup.id}`);
    await decryptingArgv(identity, '-', ['true']);
  }
  const [program] = mask?.argv ?? [];
  if (program !== undefined)
    await requireProgram(program).catch(() => {
      throw new RepriseError(
        'tool-missing',
        `${program}, which masks what drills of ${cluster.name} restore, was not found on ${deps.host}`,
        `install it there, or correct clusters.${cluster.name}.drill.mask.argv`,
      );
    });
  const key = deps.config.evidence?.signingKey;
  // Its public half alone would be shown, too.
  if (key !== undefined) await (await openSshSigner(key, NAMESPACE, signal)).sign('drill');
}

/** @throws RepriseError `disk-full` before anything is emptied */
async function requireRoom(
  { clusterContext: { user }, place: { dataDir, cluster } }: DrillContext,
  restores: readonly PlannedRestore[],
): Promise<void> {
  const largest = restores.reduce((most, { neededBytes }) => Math.max(most, neededBytes ?? 0), 0);
  // What earlier drills left is emptied first.
  const held = (await usedBytes(dataDir, user)) + (await usedBytes(stagingTablespaces(dataDir), user));
  const free = (await freeBytes(dirname(dataDir))) + held;
  if (free >= largest) return;
  throw new RepriseError(
    'disk-full',
    `a drill of ${cluster} needs ${sizeInWords(largest)}, and ${sizeInWords(free)} are free for ${dataDir}`,
    'free space there, or name a directory on a larger disk under drill.data_dir',
  );
}

/** Rotation leaves them and their WAL until the drill has ended. */
async function pinBackups(clusterContext: ClusterContext, request: Request, { restores }: DrillPlan): Promise<void> {
  const ids = restores.flatMap(({ backups }) => backups.map(({ id }) => id));
  const { backups } = await clusterContext.catalogue.state();
  const starts = backups.flatMap(({ id, wal }) => (ids.includes(id) && wal ? [wal.start] : []));
  await record(clusterContext, request, `pin/${Date.now()}`, {
    kind: 'pin',
    backupIds: ids,
    // By the number within the timeline, which comes first in the name.
    walFrom: starts.toSorted()[0] ?? null,
    workflowId: callingWorkflow() ?? request.workflowId,
  });
}

/** Pins and plans of an operation that is over. */
export async function releaseDrill(
  clusterContext: ClusterContext,
  step: { readonly operationId: string },
): Promise<void> {
  await record(clusterContext, step, `unpin/${Date.now()}`, { kind: 'unpin' });
  await closePlansOf(clusterContext, step.operationId);
}
