// Longer than 400 lines: one subject, the life of a temporary instance, whose steps share how it is found and kept.
import { dirname, join } from 'node:path';
import { type ConnectionConfig, EXPLORE, type HostConfig } from '../../domain/config.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { instanceText, type OpenedInstance, type PlannedInstance } from '../../domain/explore/instance.js';
import { type InstanceOrder, instanceOrder } from '../../domain/operation/orders.js';
import { parseInstant } from '../../domain/target/instant.js';
import { formatTarget, readTarget, type RecoveryTarget } from '../../domain/target/target.js';
import { compareLsn } from '../../domain/target/wal.js';
import { sizeInWords } from '../../domain/text/text.js';
import { removeTree } from '../../files/remove-tree.js';
import { isPlainName } from '../../files/safe-names.js';
import type { TableName } from '../../domain/table/table-name.js';
import { withClient, withMaintenance } from '../../postgres/connection/with-client.js';
import { recoveryProgress } from '../../postgres/recovery/recovery-progress.js';
import { endUnfinished, isHeld } from '../../postgres/recovery/held-tables.js';
import { freeBytes } from '../../postgres/server/disk.js';
import { readPostmaster } from '../../postgres/server/postmaster.js';
import { makeHostScratch, makeScratchDirectory } from '../../postgres/server/scratch-directory.js';
import { serviceOf } from '../../postgres/server/service.js';
import { currentBootId } from '../../process/exec/process-identity.js';
import { sha256Hex } from '../../records/digest.js';
import {
  type InstanceContent,
  openTemporaryInstances,
  type TemporaryInstance,
} from '../../records/temporary-instances.js';
import { type ActivityRun, callingWorkflow, withOrder, wrapActivity } from '../activity-wrapper.js';
import type { InstanceActivities, InstanceStep, OrderedInstanceStep, TargetPlace } from '../api.js';
import { closePlansOf } from '../approval/authorize.js';
import { claimOperation, requireOwnOperation } from '../approval/own-operation.js';
import { type ClusterContext, openClusterContext, policyOf, record } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { damagedBackup, quarantine } from '../recovery/damaged-backup.js';
import { requireTableNow } from '../table/table-now.js';
import { chooseInstance, movedTo } from './choose-instance.js';
import { claimInstance, emptyInstance, removeInstance } from './instances.js';
import { peopleLogin } from './people-login.js';
import { hasPristine } from './pristine-copy.js';
import {
  endRestores,
  instanceConnection,
  type InstanceWork,
  reachedBy,
  restoreInstance,
  startInstance,
} from './planned-restore.js';
import { requireRecordedRows } from './recorded-rows.js';
import type { RunningCopy } from './restored-copy.js';

type Request = OrderedInstanceStep & { readonly order: InstanceOrder };

/** What the workflow of an exploration calls its instance. */
const EXPLORED = 'look';

/** The steps of a temporary instance; each is found done where an earlier attempt did it. */
export function instanceActivities(deps: HostDependencies): InstanceActivities {
  return {
    planInstance: wrapActivity(
      'planInstance',
      withOrder(instanceOrder, async (request: Request, run) =>
        planInstance(await openClusterContext(deps, request.cluster), request, run),
      ),
    ),
    openInstance: wrapActivity('openInstance', async (step, run) =>
      openInstance(await openClusterContext(deps, step.cluster), step, run),
    ),
    moveInstance: wrapActivity('moveInstance', async ({ target, place, ...step }, run) =>
      moveInstance(await openClusterContext(deps, step.cluster), step, { target: readTarget(target), place }, run),
    ),
    extendInstance: wrapActivity('extendInstance', async ({ until, ...step }) =>
      extendInstance(await openClusterContext(deps, step.cluster), step, until),
    ),
    closeInstance: wrapActivity('closeInstance', async ({ ends = false, ...step }) =>
      closeInstance(await openClusterContext(deps, step.cluster), step, ends),
    ),
  };
}

/** Directory of a temporary instance: the same for the same instance of an operation. */
function instanceDirectory(
  { scratchDir }: Pick<HostConfig, 'scratchDir'>,
  { operationId, instance }: Pick<InstanceStep, 'operationId' | 'instance'>,
): string {
  return join(scratchDir, `explore-${sha256Hex(`${operationId}/${instance}`).slice(0, 12)}`, 'data');
}

/**
 * Chooses a backup, sees that there is room, and takes the directory; the backup stays until the instance is closed.
 * @throws RepriseError what no backup leads to; `disk-full`; `conflict` where the host has as many as it may
 */
async function planInstance(
  clusterContext: ClusterContext,
  request: Request,
  run: ActivityRun,
): Promise<PlannedInstance> {
  await claimOperation(clusterContext, request);
  if (!isPlainName(request.instance, 60)) throw noInstanceName(request.instance);
  const { databases: [database] = [], only: [table] = [] } = request.order;
  if (database !== undefined && table !== undefined)
    await requireTableNow(clusterContext, { operationId: request.operationId, database, table });
  try {
    return plannedOf(
      clusterContext,
      await holdInstance(clusterContext, request, async () => {
        const content = await previewInstance(clusterContext, request, run);
        await pin(clusterContext, request, content);
        return content;
      }),
    );
  } catch (error) {
    const damaged = damagedBackup(error);
    if (damaged !== null) await quarantine(clusterContext, request, damaged, (error as Error).message);
    throw error;
  }
}

/**
 * Takes the directory of an instance for an operation. Found done: what was planned stays what it was.
 * @throws RepriseError `conflict` where another operation has it
 */
export async function holdInstance(
  clusterContext: ClusterContext,
  step: InstanceStep,
  decide: () => Promise<InstanceContent>,
): Promise<Claimed> {
  const { host } = clusterContext;
  const { operationId } = step;
  const instances = openTemporaryInstances(host.stateDir);
  const dataDir = instanceDirectory(host, step);
  const there = await instances.at(dataDir);
  if (there?.content !== undefined && there.operationId === operationId) return { ...there, content: there.content };
  const content = await decide();
  await makeHostScratch(host, clusterContext.user);
  const claimed = {
    ...(await claimInstance(clusterContext, { dataDir, kind: 'scratch', operationId }, null)),
    content,
  };
  await instances.update(claimed);
  return claimed;
}

/** What {@link planInstance} would plan: claims and pins nothing. */
async function previewInstance(
  clusterContext: ClusterContext,
  request: Pick<Request, 'operationId' | 'instance' | 'order' | 'requester' | 'purpose'>,
  run: ActivityRun,
): Promise<InstanceContent> {
  const { host, user, cluster } = clusterContext;
  const { instance, order, requester, purpose = 'step' } = request;
  if (purpose === 'explore') await requireFewer(clusterContext, request);
  await makeHostScratch(host, user);
  const { restore, warnings } = await chooseInstance(clusterContext, request, run);
  const { walBytes = 0 } = restore;
  // A copy by reference takes only what it changes.
  const neededBytes = (await hasPristine(host, restore)) ? walBytes : (restore.neededBytes ?? 0);
  const free = await freeBytes(host.scratchDir);
  if (free < neededBytes)
    throw new RepriseError(
      'disk-full',
      `a temporary instance of ${cluster.name} needs ${sizeInWords(neededBytes)}, and ${sizeInWords(free)} are free in ${host.scratchDir}`,
      `free space there (reprise explore list), or name a directory on a larger disk: hosts.${host.name}.scratch_dir; another host: --on HOST`,
    );
  return {
    ...{ instance, purpose, restore, requester, neededBytes, freeBytes: free },
    ttlSeconds: order.ttlSeconds ?? (purpose === 'explore' ? (cluster.explore ?? EXPLORE).ttlSeconds : null),
    openedAt: null,
    warnings: [
      ...warnings,
      ...(free >= neededBytes + walBytes
        ? []
        : [
            `${sizeInWords(walBytes)} of WAL are replayed, and the instance may grow by as much: ${sizeInWords(free)} are free, ${sizeInWords(neededBytes)} are needed without that`,
          ]),
    ],
  };
}

/** The same for one that people would look at. */
export async function previewExploration(
  clusterContext: ClusterContext,
  request: Pick<Request, 'operationId' | 'order' | 'requester'>,
  run: ActivityRun,
): Promise<PlannedInstance> {
  const named = { ...request, instance: EXPLORED, purpose: 'explore' } as const;
  const {
    restore,
    neededBytes,
    freeBytes: free,
    ttlSeconds,
    warnings,
  } = await previewInstance(clusterContext, named, run);
  const { cluster, host, deps } = clusterContext;
  const place = { cluster: cluster.name, host: deps.host, dataDir: instanceDirectory(host, named) };
  return { ...place, restore, neededBytes, freeBytes: free, ttlSeconds, warnings };
}

/** @throws RepriseError `conflict` */
async function requireFewer(
  { host, cluster }: ClusterContext,
  step: Pick<InstanceStep, 'operationId' | 'instance'>,
): Promise<void> {
  const own = instanceDirectory(host, step);
  const others = (await openTemporaryInstances(host.stateDir).all()).filter(
    ({ content, dataDir }) => content?.purpose === 'explore' && dataDir !== own,
  );
  const { max } = cluster.explore ?? EXPLORE;
  if (others.length < max) return;
  throw new RepriseError(
    'conflict',
    `host ${host.name} has ${others.length} temporary instances for people, and ${max} are allowed`,
    `drop one that is not needed: reprise explore list; reprise explore drop ID; or allow more: clusters.${cluster.name}.explore.max`,
  );
}

function noInstanceName(name: string): RepriseError {
  return new RepriseError('usage', `${JSON.stringify(name.slice(0, 80))} is no name of a temporary instance`);
}

/** An operation may have several: each keeps its own backup. */
const pinOf = ({ operationId, instance }: Pick<InstanceStep, 'operationId' | 'instance'>) => ({
  operationId: `${operationId}/${instance}`,
});

/** Rotation leaves the backup, and the WAL after it, until the instance is closed. */
async function pin(clusterContext: ClusterContext, step: InstanceStep, { restore }: InstanceContent): Promise<void> {
  const backupIds = restore.backups.map(({ id }) => id);
  const { backups } = await clusterContext.catalogue.state();
  const starts = backups.flatMap(({ id, wal }) => (backupIds.includes(id) && wal ? [wal.start] : []));
  await record(clusterContext, pinOf(step), `pin/${Date.now()}`, {
    kind: 'pin',
    backupIds,
    // By the number within the timeline, which comes first in the name.
    walFrom: starts.toSorted()[0] ?? null,
    workflowId: callingWorkflow() ?? step.workflowId,
  });
}

type Claimed = TemporaryInstance & { readonly content: InstanceContent };

function plannedOf({ deps }: ClusterContext, { cluster, dataDir, content }: Claimed): PlannedInstance {
  const { restore, neededBytes, freeBytes: free, ttlSeconds, warnings } = content;
  return { cluster, host: deps.host, dataDir, restore, neededBytes, freeBytes: free, ttlSeconds, warnings };
}

/**
 * An instance that its operation has.
 * @throws RepriseError `not-found` for one that was closed, or whose time was over; `approval-refused`
 */
async function claimed(clusterContext: ClusterContext, step: InstanceStep): Promise<Claimed> {
  await requireOwnOperation(clusterContext, step);
  const { host } = clusterContext;
  const there = await openTemporaryInstances(host.stateDir).at(instanceDirectory(host, step));
  if (there?.content === undefined || there.operationId !== step.operationId)
    throw new RepriseError(
      'not-found',
      `there is no temporary instance ${step.instance} of operation ${step.operationId} on ${host.name} any more`,
      `its time was over, or somebody dropped it; open another one: reprise explore start ${step.cluster} --to ...`,
    );
  return { ...there, content: there.content };
}

function workOf(clusterContext: ClusterContext, instance: Claimed, retry?: number): InstanceWork {
  const { operationId, madeAt, content } = instance;
  return {
    ...{ clusterContext, instance, retry, planned: content.restore },
    // Of this very directory: one that was made anew after a Reset has none of its jobs done.
    restoreId: `${operationId}/${content.instance}-${sha256Hex(madeAt).slice(0, 8)}`,
  };
}

/** Restores it and starts it, read-only, at its target. */
export async function openInstance(
  clusterContext: ClusterContext,
  step: InstanceStep,
  run: ActivityRun,
): Promise<OpenedInstance> {
  let instance = await claimed(clusterContext, step);
  const running = await runningCopy(clusterContext, instance);
  if (running !== null) return openedOf(clusterContext, instance, running);
  if (await isLost(instance.content)) instance = await emptied(clusterContext, instance);
  await makeScratchDirectory(dirname(instance.dataDir), clusterContext.user);
  await restoreInstance(workOf(clusterContext, instance, step.retry), run);
  return start(clusterContext, step, run);
}

type StandingCopy = Pick<RunningCopy, 'progress'> & { readonly server: Pick<RunningCopy['server'], 'connection'> };

/** One that runs, and stands where it shall; null where its server does not run any more, or is not there yet. */
async function runningCopy(clusterContext: ClusterContext, instance: Claimed): Promise<StandingCopy | null> {
  const { ended = false, standsAt, restore } = instance.content;
  if (!ended && standsAt !== placeOf(restore)) return null;
  const connection = instanceConnection(workOf(clusterContext, instance));
  try {
    const progress = await recoveryProgress(connection);
    const isCopyOfDumps = restore.method === 'databases';
    const isThere = ended || isCopyOfDumps ? !progress.inRecovery : progress.paused;
    return isThere ? { server: { connection }, progress: isCopyOfDumps ? null : progress } : null;
  } catch (error) {
    if (isRepriseError(error) && error.code === 'database-unreachable') return null;
    throw error;
  }
}

/** In one word; of dumps there is one place only. */
const placeOf = ({ recovery }: InstanceContent['restore']): string =>
  recovery === undefined ? 'restored' : formatTarget(recovery.stopsAt);

/**
 * Whether its files are of no use any more: its recovery was ended, or the host was started anew since its server ran. A copy syncs nothing,
 * so that nobody knows what of it was on the disk by then.
 */
async function isLost({ ended, boot }: InstanceContent): Promise<boolean> {
  return ended === true || (boot !== undefined && boot !== (await currentBootId()));
}

/** The same instance, with nothing in it: it is restored again. */
async function emptied(clusterContext: ClusterContext, instance: Claimed): Promise<Claimed> {
  const { ended: _ended, boot: _boot, standsAt: _standsAt, ...content } = instance.content;
  await emptyInstance(clusterContext, instance);
  await removeTree(dirname(instance.dataDir));
  const empty = { ...instance, madeAt: new Date().toISOString(), content };
  await openTemporaryInstances(clusterContext.host.stateDir).update(empty);
  return empty;
}

async function start(clusterContext: ClusterContext, step: InstanceStep, run: ActivityRun): Promise<OpenedInstance> {
  const there = await claimed(clusterContext, step);
  // Kept before it is started: whoever takes over after a crash of the host knows that its files are of no use.
  const instance = { ...there, content: { ...there.content, boot: await currentBootId() } };
  await openTemporaryInstances(clusterContext.host.stateDir).update(instance);
  const copy = await startInstance(workOf(clusterContext, instance, step.retry), run);
  return openedOf(clusterContext, await opened(clusterContext, step, instance), copy);
}

/** From the first time that it runs on, its time counts. */
async function opened(clusterContext: ClusterContext, step: InstanceStep, instance: Claimed): Promise<Claimed> {
  const { cluster, content: before } = instance;
  const content = { ...before, standsAt: placeOf(before.restore) };
  const first = content.openedAt === null;
  const now = Date.now();
  const expiresAt = content.ttlSeconds === null ? null : new Date(now + content.ttlSeconds * 1000).toISOString();
  if (first)
    await audit(
      clusterContext,
      step,
      `opened/${instance.madeAt}`,
      `a temporary instance of ${instanceText({ cluster, restore: content.restore })} was opened for ${content.requester} in ${instance.dataDir}${expiresAt === null ? '' : `, until ${expiresAt}`}`,
    );
  const running = first
    ? { ...instance, expiresAt, content: { ...content, openedAt: new Date(now).toISOString() } }
    : { ...instance, content };
  await openTemporaryInstances(clusterContext.host.stateDir).update(running);
  return running;
}

/** Who had people's data before their eyes, and when. */
async function audit(clusterContext: ClusterContext, step: InstanceStep, what: string, text: string): Promise<void> {
  await record(clusterContext, step, `explore/${step.instance}/${what}`, {
    kind: 'journal',
    workflowId: callingWorkflow() ?? step.workflowId,
    step: 'explore',
    text,
  });
}

async function openedOf(
  clusterContext: ClusterContext,
  instance: Claimed,
  { server: { connection }, progress }: StandingCopy,
): Promise<OpenedInstance> {
  const { cluster, dataDir, expiresAt, content } = instance;
  const { restore } = content;
  return {
    ...{ cluster, host: clusterContext.deps.host, dataDir, restore, expiresAt },
    socketDir: connection.host,
    port: connection.port,
    user: connection.user,
    databases: await databasesIn(connection, restore),
    reached: reachedBy(restore, progress),
    ...(content.purpose === 'explore'
      ? { login: await peopleLogin(clusterContext, connection, { dataDir, method: restore.method }) }
      : {}),
  };
}

async function databasesIn(
  connection: ConnectionConfig,
  { method, backups }: InstanceContent['restore'],
): Promise<readonly string[]> {
  if (method === 'databases') return backups.flatMap(({ database }) => database ?? []);
  return withMaintenance(connection, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      'SELECT datname::text AS name FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1',
    );
    return rows.map(({ name }) => name);
  });
}

/** What steps of an operation restore, read and dump with. @throws RepriseError `not-found` */
export async function instanceWorkOf(clusterContext: ClusterContext, step: InstanceStep): Promise<InstanceWork> {
  return workOf(clusterContext, await claimed(clusterContext, step), step.retry);
}

/**
 * How steps of an operation reach its temporary instance, and what that is. One whose server has ended meanwhile, with its host perhaps, runs
 * again where it stood.
 * @throws RepriseError `not-found`; what {@link openInstance} throws
 */
export async function instanceServer(
  clusterContext: ClusterContext,
  step: InstanceStep,
  run: ActivityRun,
): Promise<{ readonly connection: ConnectionConfig; readonly content: InstanceContent }> {
  const { dataDir, content: before } = await claimed(clusterContext, step);
  if (before.openedAt !== null && (await readPostmaster(dataDir))?.alive !== true)
    await openInstance(clusterContext, step, run);
  const instance = await claimed(clusterContext, step);
  const { content } = instance;
  return { connection: instanceConnection(workOf(clusterContext, instance)), content };
}

/**
 * The same, where the table, or without one the whole database, is read. Transactions that are under way at its target and have locked it
 * exclusively are rolled back there: what was committed until then is read. The instance is restored again when it is moved after that.
 * @throws RepriseError `backup-corrupt` where a copy of a dump has not the rows that the backup had
 */
export async function readableInstance(
  clusterContext: ClusterContext,
  step: InstanceStep,
  { database, table }: { readonly database: string; readonly table: TableName | null },
  run: ActivityRun,
): ReturnType<typeof instanceServer> {
  const found = await instanceServer(clusterContext, step, run);
  const { connection, content } = found;
  if (content.restore.method === 'databases') {
    if (table !== null) await requireRecordedRows(clusterContext, content, connection, { database, table });
    return found;
  }
  if (!(await withClient(connection, database, (client) => isHeld(client, table)))) return found;
  const instance = await claimed(clusterContext, step);
  // Kept before it is done: whoever takes over knows that it recovers no further.
  await openTemporaryInstances(clusterContext.host.stateDir).update({
    ...instance,
    content: { ...content, ended: true },
  });
  const pgBin = await clusterContext.deps.postgresBin(instance.major ?? undefined);
  const { dataDir } = instance;
  await endUnfinished(connection, serviceOf({ dataDir, service: { kind: 'pg_ctl' } }, pgBin, clusterContext.user));
  return found;
}

/**
 * One of this cluster that people look at, for what reads it for them.
 * @throws RepriseError `not-found`
 */
export async function exploredInstance(
  clusterContext: ClusterContext,
  operationId: string,
): Promise<{ readonly connection: ConnectionConfig; readonly restore: InstanceContent['restore'] }> {
  const { host, cluster } = clusterContext;
  const place = instanceDirectory(host, { operationId, instance: EXPLORED });
  const there = await openTemporaryInstances(host.stateDir).at(place);
  const content = there?.cluster === cluster.name && there.operationId === operationId ? there.content : undefined;
  if (there === null || content?.purpose !== 'explore' || content.openedAt === null)
    throw new RepriseError(
      'not-found',
      `host ${host.name} has no temporary instance ${operationId} of ${cluster.name} that runs`,
      `list them: reprise explore list ${cluster.name}`,
    );
  return { connection: instanceConnection(workOf(clusterContext, { ...there, content })), restore: content.restore };
}

/**
 * Moves it forward, by a restart with a later target.
 * @throws RepriseError `capability-missing` of dumps; `target-before-backup` for an earlier target; what does not lead there
 */
async function moveInstance(
  clusterContext: ClusterContext,
  step: InstanceStep,
  { target, place }: { readonly target: RecoveryTarget; readonly place: TargetPlace | undefined },
  run: ActivityRun,
): Promise<OpenedInstance> {
  const instance = await claimed(clusterContext, step);
  const { content, cluster } = instance;
  const { restore } = content;
  if (content.openedAt === null) throw notRunning(step);
  if (restore.method === 'databases')
    throw new RepriseError(
      'capability-missing',
      'a dump contains one point in time only: it cannot be moved to another one',
      `open another one: reprise explore start ${cluster} --to ${formatTarget(target)}`,
    );
  const source = {
    ...{ clusterContext, run, operationId: `${step.operationId}/${step.instance}` },
    policy: policyOf(clusterContext, restore.policy),
  };
  const moved =
    place === undefined ? await movedTo(source, restore, target) : placedAt(restore, target, readPlace(place));
  refuseEarlier(cluster, restore.recovery?.stopsAt, moved);
  // Kept before it is moved: whoever takes over moves it on, and never back.
  await openTemporaryInstances(clusterContext.host.stateDir).update({
    ...instance,
    content: { ...content, restore: moved },
  });
  if (!(await isLost(content))) return start(clusterContext, step, run);
  await emptied(clusterContext, await claimed(clusterContext, step));
  return openInstance(clusterContext, step, run);
}

/** Along the timeline on which it is: the WAL up to the place was read already, and the server refuses one that it does not reach. */
function placedAt(
  restore: InstanceContent['restore'],
  target: RecoveryTarget,
  { lsn, committedAt }: TargetPlace,
): InstanceContent['restore'] {
  const timeline = restore.recovery?.timeline ?? null;
  return {
    ...restore,
    ...{ target, chosen: 'asked', recovery: { stopsAt: { kind: 'lsn', lsn }, timeline }, lastCommitAt: committedAt },
  };
}

/** @throws RepriseError `target-invalid` for what is no position or no time */
function readPlace({ lsn, committedAt }: TargetPlace): TargetPlace {
  const target = readTarget({ kind: 'lsn', lsn });
  return { lsn: target.kind === 'lsn' ? target.lsn : lsn, committedAt: parseInstant(committedAt) };
}

function notRunning({ instance, cluster }: InstanceStep): RepriseError {
  return new RepriseError(
    'conflict',
    `the temporary instance ${instance} is not opened yet`,
    `wait until it runs: reprise explore list ${cluster}`,
  );
}

function refuseEarlier(
  cluster: string,
  present: RecoveryTarget | undefined,
  { target, recovery }: InstanceContent['restore'],
): void {
  const next = recovery?.stopsAt;
  if (present === undefined || present.kind === 'end-of-backup') return;
  const isEarlier =
    next === undefined || next.kind !== 'lsn' || (present.kind === 'lsn' && compareLsn(next.lsn, present.lsn) < 0);
  if (!isEarlier) return;
  throw new RepriseError(
    'target-before-backup',
    `the instance stands at ${formatTarget(present)}, past ${formatTarget(target)}: it goes forward only`,
    `open another one there: reprise explore start ${cluster} --to ${formatTarget(target)}`,
  );
}

/** @param until UTC ISO-8601 */
async function extendInstance(
  clusterContext: ClusterContext,
  step: InstanceStep,
  until: string,
): Promise<{ readonly expiresAt: string }> {
  const instance = await claimed(clusterContext, step);
  await openTemporaryInstances(clusterContext.host.stateDir).update({ ...instance, expiresAt: until });
  await audit(
    clusterContext,
    step,
    `until/${until}`,
    `the temporary instance in ${instance.dataDir} stays until ${until}`,
  );
  return { expiresAt: until };
}

/**
 * Stops it, removes its files, lets rotation have its backup. One that is gone already is no error.
 * @param ends with it its operation ends
 */
export async function closeInstance(clusterContext: ClusterContext, step: InstanceStep, ends: boolean): Promise<void> {
  await requireOwnOperation(clusterContext, step);
  const { host } = clusterContext;
  const { operationId } = step;
  const instances = openTemporaryInstances(host.stateDir);
  const dataDir = instanceDirectory(host, step);
  try {
    const instance = await instances.at(dataDir);
    if (instance !== null && instance.operationId === operationId) {
      await endRestores(host.stateDir, `${operationId}/${step.instance}-`);
      await removeInstance(clusterContext, instance);
      await audit(
        clusterContext,
        step,
        `closed/${instance.madeAt}`,
        `the temporary instance in ${dataDir} was removed`,
      );
    }
  } finally {
    // Also where something else is in the place now: rotation must not wait for it.
    if ((await clusterContext.catalogue.state()).pins.has(pinOf(step).operationId))
      await record(clusterContext, pinOf(step), `unpin/${Date.now()}`, { kind: 'unpin' });
    if (ends) await closePlansOf(clusterContext, operationId);
  }
}
