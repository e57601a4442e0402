import { Context } from '@temporalio/activity';
import { dirname } from 'node:path';
import { RepriseError } from '../../domain/errors.js';
import { nameExists } from '../../files/paths.js';
import { removeTree } from '../../files/remove-tree.js';
import { readPostmaster, processesIn, runningServers } from '../../postgres/server/postmaster.js';
import { endScratchServer, isScratchServer, removePrivatePlace } from '../../postgres/server/scratch-cluster.js';
import { serviceOf } from '../../postgres/server/service.js';
import { linkTarget } from '../../postgres/server/layout.js';
import { emptyStaging, requireMark, requireStagingApart } from '../../postgres/server/staging-place.js';
import { endJobsOf, operationsInUse } from '../../process/jobs/supervisor.js';
import { waitForLock } from '../../process/jobs/file-lock.js';
import { sha256Hex } from '../../records/digest.js';
import { openOperationLedger } from '../../records/operation-ledger.js';
import { openTemporaryInstances, type TemporaryInstance } from '../../records/temporary-instances.js';
import { callingWorkflow } from '../activity-wrapper.js';
import type { ClusterContext } from '../cluster-context.js';
import { protectedPaths } from '../../postgres/server/protected-paths.js';
import { dropPristine } from './pristine-copy.js';
import { closedAsToldBy, type HasClosed } from '../workflow-closed.js';

type Own = Pick<TemporaryInstance, 'dataDir' | 'kind' | 'operationId'>;

/**
 * Takes a directory for a temporary instance of an operation, before anything is in it: so that a sweep finds it when the operation's
 * workflow has ended, and no other operation uses the place. What an ended one has left there is removed.
 * @throws RepriseError `conflict` where another operation has it
 */
export async function claimInstance(
  clusterContext: ClusterContext,
  { dataDir, kind, operationId }: Own,
  major: number | null,
): Promise<TemporaryInstance> {
  const { host, cluster } = clusterContext;
  const instances = openTemporaryInstances(host.stateDir);
  const owner = await openOperationLedger(host.stateDir).claimOf(operationId.split('/prove/')[0] ?? operationId);
  const mine: TemporaryInstance = {
    ...{ dataDir, kind, operationId, major },
    cluster: cluster.name,
    workflowId: owner?.workflowId ?? callingWorkflow() ?? null,
    firstRunId: owner?.firstRunId ?? null,
    madeAt: new Date().toISOString(),
    expiresAt: null,
    generation: 0,
  };
  for (let attempt = 0; ; attempt++) {
    const there = await instances.claim(mine);
    if (there.operationId === operationId && there.cluster === cluster.name) return there;
    if (attempt > 0 || (await isOver(there, hasClosedHere())) !== true) throw inUse(there);
    await removeInstance(clusterContext, there);
  }
}

function hasClosedHere(): HasClosed {
  try {
    return closedAsToldBy(Context.current());
  } catch {
    return () => Promise.resolve(null);
  }
}

/** Whether an instance has nobody who needs it any more; null: not known. */
export async function isOver(
  { workflowId, firstRunId, expiresAt }: Pick<TemporaryInstance, 'workflowId' | 'firstRunId' | 'expiresAt'>,
  hasClosed: HasClosed,
): Promise<boolean | null> {
  if (expiresAt !== null && Date.parse(expiresAt) <= Date.now()) return true;
  return workflowId === null ? null : hasClosed({ workflowId, firstRunId });
}

function inUse({ dataDir, workflowId, operationId, madeAt }: TemporaryInstance): RepriseError {
  const who = workflowId ?? `operation ${operationId}`;
  return new RepriseError(
    'conflict',
    `${dataDir} is in use by ${who}, since ${madeAt}`,
    `wait for it: reprise watch ${who}; when it has ended, its place is released by itself`,
    { workflowId },
  );
}

/**
 * Ends what runs in a temporary instance and what still fills it, and removes its files; a staging directory stays, empty. Nothing else
 * of the host is touched: a server there that this program did not start, or a directory that is another one now, is refused.
 * @throws RepriseError `conflict`, `path-refused`
 */
export async function removeInstance(clusterContext: ClusterContext, instance: TemporaryInstance): Promise<void> {
  const { stateDir } = clusterContext.host;
  const { dataDir, cluster, operationId, kind } = instance;
  const instances = openTemporaryInstances(stateDir);
  await waitForLock(
    stateDir,
    `temporary-${sha256Hex(dataDir).slice(0, 16)}`,
    async () => {
      // Another sweep, or whoever takes the place next, was faster: by now it may be somebody else's.
      const there = await instances.at(dataDir);
      if (there?.operationId !== operationId || there.cluster !== cluster) return;
      await endToolsOf(stateDir, there);
      await emptyInstance(clusterContext, instance);
      if (kind === 'scratch') {
        await removeTree(dirname(dataDir));
        await dropPristine(clusterContext.host, there, await instances.all());
      }
      await instances.release(dataDir);
    },
    { timeoutMs: REMOVAL_MS },
  );
}

/** Directories of terabytes are removed one file after the other. */
const REMOVAL_MS = 3_600_000;

/** Ends the tools that fill an instance: each would go on in a directory that another operation may have by then. */
export async function endToolsOf(
  stateDir: string,
  { operationId, content }: Pick<TemporaryInstance, 'operationId' | 'content'>,
): Promise<void> {
  // An operation may have several instances; only those that are its own work have no name among them.
  const isOwn = (one: string): boolean =>
    content === undefined
      ? one === operationId || one.startsWith(`${operationId}/`)
      : one.startsWith(`${operationId}/${content.instance}-`);
  for (const one of await operationsInUse(stateDir, 0)) if (isOwn(one)) await endJobsOf(stateDir, one);
}

/** As {@link removeInstance}, with the directory of the instance left for what comes next. */
export async function emptyInstance(clusterContext: ClusterContext, instance: TemporaryInstance): Promise<void> {
  const { deps, host, user, cluster } = clusterContext;
  const { dataDir, kind } = instance;
  if (kind === 'scratch') {
    if (!dataDir.startsWith(`${host.scratchDir}/`)) throw notOfScratch(dataDir, host.scratchDir);
    await stopInstance(clusterContext, instance);
    return;
  }
  // Somebody has removed it, and its marker names nothing any more.
  if (!(await nameExists(dataDir))) return removePrivatePlace(dataDir);
  const { drill } = cluster;
  const place = { cluster: cluster.name, host: deps.host, dataDir, port: drill?.port ?? 0, owner: user };
  await requireStagingApart(place, await protectedPaths(deps, dataDir));
  await requireMark(place);
  await stopInstance(clusterContext, instance);
  await emptyStaging(place);
}

function notOfScratch(dataDir: string, scratchDir: string): RepriseError {
  return new RepriseError(
    'path-refused',
    `${dataDir} is not in the scratch directory ${scratchDir}: it is not removed`,
    'see what it is; remove it by hand if nobody needs it',
  );
}

/** @throws RepriseError `conflict` for a server that something else has started */
async function stopInstance(clusterContext: ClusterContext, { dataDir, major }: TemporaryInstance): Promise<void> {
  if ((await processesIn(dataDir)).length > 0) {
    const home = await linkTarget(dataDir);
    const server = (await runningServers()).find((one) => one.dataDir === home);
    // Backends that outlived their postmaster have no command line of their own.
    const postmaster = await readPostmaster(dataDir);
    if (server !== undefined && postmaster?.alive === true && !isScratchServer(server, dataDir))
      throw new RepriseError(
        'conflict',
        `a server that Reprise did not start runs in ${dataDir} (process ${postmaster.pid})`,
        'see whose it is, and stop it; name another directory if it has to stay',
      );
    const pgBin = await clusterContext.deps.postgresBin(major ?? undefined);
    await endScratchServer(
      serviceOf({ dataDir, service: { kind: 'pg_ctl' } }, pgBin, clusterContext.user),
      'immediate',
    );
  }
  await removePrivatePlace(dataDir);
}
