import type { Backup } from '../../domain/backup/backup.js';
import type { PolicyConfig } from '../../domain/config.js';
import type { PlannedRestore } from '../../domain/drill/drill.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import type { InstanceOrder } from '../../domain/operation/orders.js';
import {
  ablePolicies,
  knownBackup,
  namedBackup,
  noPolicyReaches,
  passedOver,
} from '../../domain/plan/choose-source.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { formatTarget, type RecoveryTarget } from '../../domain/target/target.js';
import type { ActivityRun } from '../activity-wrapper.js';
import { type ClusterContext, currentBackups, engineFor, policyOf } from '../cluster-context.js';
import { policiesHere, requireHere } from '../config-lookup.js';
import { predictedRestore } from '../measured.js';
import { damagedBackup } from '../recovery/damaged-backup.js';
import { dumpsOf, outlineFor, PhysicalSource, plannedDumps, type SourceRequest } from './instance-source.js';

/** What a temporary instance is restored from, and what whoever opens it has to know. */
export interface InstanceChoice {
  readonly restore: PlannedRestore;
  readonly warnings: readonly string[];
}

interface Request {
  readonly operationId: string;
  readonly instance: string;
  readonly order: InstanceOrder;
}

/**
 * Asks the policies in turn, until one leads to the target. Production is not asked: it may be down.
 * @throws RepriseError of the first policy that refuses, where all do
 */
export async function chooseInstance(
  clusterContext: ClusterContext,
  { operationId, instance, order: given }: Request,
  run: ActivityRun,
): Promise<InstanceChoice> {
  const { cluster } = clusterContext;
  const backups = await currentBackups(clusterContext, run);
  const order = { ...given, target: knownBackup(given.target, cluster.name, backups) };
  const asked = { ...order, into: 'temporary', pause: true };
  const named = namedBackup(asked, cluster.name, backups);
  let refusal: unknown = null;
  for (const policy of await policiesFor(clusterContext, order, named)) {
    const request = { clusterContext, run, operationId: `${operationId}/${instance}`, policy };
    try {
      const { method } = engineFor(clusterContext, policy).capabilities;
      const choice = await (method === 'databases' ? ofDumps(request, order) : ofDirectory(request, order, backups));
      const predicted = await predictedRestore(clusterContext, choice.restore);
      return { ...choice, restore: { ...choice.restore, predicted } };
    } catch (error) {
      if (!isRepriseError(error) || damagedBackup(error) !== null) throw error;
      refusal ??= error;
    }
  }
  throw refusal ?? noPolicyReaches(cluster, asked);
}

async function policiesFor(
  clusterContext: ClusterContext,
  order: InstanceOrder,
  ofBackup: Backup | undefined,
): Promise<readonly PolicyConfig[]> {
  const { deps, cluster } = clusterContext;
  const named = order.policy ?? ofBackup?.policy;
  if (named !== undefined) {
    const policy = policyOf(clusterContext, named);
    await requireHere(deps, policy.repository, cluster.name);
    return [policy];
  }
  const capable = (await policiesHere(deps, cluster)).map((policy) => ({
    policy,
    capabilities: engineFor(clusterContext, policy).capabilities,
  }));
  return ablePolicies(capable, order).map(({ policy }) => policy);
}

const chosenAs = ({ kind }: RecoveryTarget): PlannedRestore['chosen'] => (kind === 'latest' ? 'latest' : 'asked');

async function ofDirectory(
  request: SourceRequest,
  { target, timeline }: InstanceOrder,
  backups: readonly Backup[],
): Promise<InstanceChoice> {
  const source = await PhysicalSource.open(request, target.kind === 'backup' ? target.id : undefined);
  const outline = await outlineFor(source, target, timeline);
  return {
    restore: await source.planned({ target, chosen: chosenAs(target) }, outline),
    warnings: [...outline.warnings, ...passedOver(backups, request.policy.name, outline)],
  };
}

/** The newest dump of each database; of a time that somebody asks this policy for, the newest that was begun before. */
async function ofDumps(request: SourceRequest, { target, databases, only }: InstanceOrder): Promise<InstanceChoice> {
  const { policy, clusterContext } = request;
  const isTime = target.kind === 'time';
  const { newestFirst, known } = await dumpsOf(request, isTime ? { kind: 'latest' } : target);
  const wanted = databases ?? clusterContext.cluster.databases;
  const before = (backup: Backup): boolean => !isTime || Date.parse(backup.startedAt) <= Date.parse(target.time);
  const chosen =
    target.kind === 'backup'
      ? newestFirst.filter(({ id }) => id === target.id)
      : wanted.flatMap((name) => newestFirst.find((backup) => backup.database === name && before(backup)) ?? []);
  if (chosen.length === 0)
    throw new RepriseError(
      'no-usable-backup',
      isTime
        ? `policy ${policy.name} has no dump of ${wanted.join(', ')} that was begun before ${target.time}`
        : `policy ${policy.name} has no complete dump of ${wanted.join(', ')}`,
      `list the backups: reprise backup list ${policy.cluster}`,
    );
  return {
    restore: await plannedDumps(
      request,
      { target, chosen: chosenAs(target), ...(only === undefined ? {} : { only }) },
      chosen,
      known,
    ),
    warnings: [
      ...(isTime
        ? chosen.map(({ id, startedAt }) => `a dump holds one point in time only: ${id} is of ${startedAt}`)
        : []),
      ...(only === undefined ? [] : [`of the dump only rows of ${only.map(formatTableName).join(', ')} are restored`]),
    ],
  };
}

/**
 * The same restore with a later target, along the same timeline, from the backup that was restored.
 * @throws RepriseError what the engine's outline throws
 */
export async function movedTo(
  request: SourceRequest,
  restore: PlannedRestore,
  target: RecoveryTarget,
): Promise<PlannedRestore> {
  const [backup] = restore.backups;
  const source = await PhysicalSource.open(request, backup?.id);
  // Its own pin keeps it from rotation; a program beside Reprise may have expired it with its WAL.
  if (backup !== undefined && source.isEmpty)
    throw new RepriseError(
      'no-usable-backup',
      `${backup.id}, which this instance was restored from, is damaged or not there any more, and its WAL may be gone with it: the instance stays where it is`,
      `open another one: reprise explore start ${request.policy.cluster} --to ${formatTarget(target)}`,
    );
  const timeline = restore.recovery?.timeline ?? undefined;
  const outline = await outlineFor(source, target, timeline);
  return {
    ...restore,
    ...{ target, chosen: chosenAs(target) },
    recovery: { stopsAt: outline.target, timeline: outline.timeline },
    lastCommitAt: outline.lastCommitAt ?? null,
  };
}
