import type { Plan } from '../../domain/plan/plan.js';
import { type ChangedMethod, isExecutablePlan } from '../../domain/plan/plan.js';
import { recoverWorkflowId } from '../../domain/operation/names.js';
import { allowsRestart } from '../../domain/plan/choose-source.js';
import { type AnsweringServer, answeringServer } from '../../postgres/connection/answering-server.js';
import { inspectDataDir } from '../../postgres/server/data-directory.js';
import { openHostState } from '../../records/host-state.js';
import { openOperationLedger } from '../../records/operation-ledger.js';
import type { PlanRequest } from '../api.js';
import { type ClusterContext, postgresBinOf } from '../cluster-context.js';
import { toTheSecond } from '../../domain/text/text.js';

/** The plan that this host made last for an operation; null where it has made none. */
export async function planBefore({ host }: ClusterContext, operationId: string): Promise<Plan | null> {
  const plans = (await openHostState(host.stateDir).plans()).filter(isExecutablePlan);
  const own = plans.filter(({ binding }) => binding.operationId === operationId);
  return own.toSorted((a, b) => (a.createdAt < b.createdAt ? -1 : 1)).at(-1) ?? null;
}

/**
 * Why nothing is recovered: the cluster answers, and only its silence was the reason to recover it. That is so after a plan to
 * restart it, and where the request says so. Null where a plan is wanted: it does not answer, or something else does in its place,
 * as a new and empty cluster or a recovery that was not finished.
 */
export async function whyNothingToDo(
  clusterContext: ClusterContext,
  { operationId, order, unlessAnswers }: PlanRequest,
  before: Plan | null,
): Promise<string | null> {
  const wasRestart = before?.binding.method === 'restart';
  if (!allowsRestart(order) || !(wasRestart || unlessAnswers)) return null;
  const { cluster, host } = clusterContext;
  const server = await answeringServer(cluster.connection);
  if (server === null || server.inRecovery || !(await isKnown(clusterContext, server, before))) return null;
  const claim = await openOperationLedger(host.stateDir).claimOf(operationId);
  const silentAt = claim?.failingSince ?? before?.createdAt ?? claim?.at;
  // One that was not started meanwhile was out of reach.
  const since = silentAt !== undefined && server.startedAt > silentAt ? server.startedAt : new Date().toISOString();
  return `${cluster.name} answers again since ${toTheSecond(since)}${await recoveredBy(clusterContext, operationId, silentAt)}: nothing to do, and nothing was changed; to recover it nevertheless: \`reprise recover ${cluster.name} --policy NAME\``;
}

async function recoveredBy(...asked: Parameters<typeof otherRecovery>): Promise<string> {
  const other = await otherRecovery(...asked);
  return other === null ? '' : `, recovered by ${other}`;
}

/** A recovery that somebody had started, and that was carried out in place since then: an incident opened while it waited needs no other. */
export async function otherRecovery(
  { cluster, host }: Pick<ClusterContext, 'cluster' | 'host'>,
  operationId: string,
  silentAt: string | undefined,
): Promise<string | null> {
  const state = openHostState(host.stateDir);
  for (const { binding, digest } of (await state.plans()).filter(isExecutablePlan)) {
    if (binding.cluster !== cluster.name || binding.operationId === operationId || binding.into !== 'in-place')
      continue;
    const use = await state.usedBy(digest);
    if (use !== null && (silentAt === undefined || use.at > silentAt))
      return recoverWorkflowId(cluster.name, binding.operationId);
  }
  return null;
}

/** It is the cluster that was lost, as the plan before or the records of its backups know it. */
async function isKnown(
  { catalogue }: ClusterContext,
  { systemIdentifier }: AnsweringServer,
  before: Plan | null,
): Promise<boolean> {
  if (before?.binding.method === 'restart') return before.binding.systemIdentifier === systemIdentifier;
  const known = (await catalogue.state()).backups.flatMap(({ server }) => server?.systemIdentifier ?? []);
  return known.length === 0 || known.includes(systemIdentifier);
}

/** What whoever approved the plan before has to know of one that recovers in another way. */
export async function changedMethod(
  clusterContext: ClusterContext,
  { binding }: Pick<Plan, 'binding'>,
  before: Plan | null,
): Promise<ChangedMethod | undefined> {
  if (before === null || before.binding.method === binding.method) return undefined;
  const why =
    before.binding.method === 'restart'
      ? await whyNoRestart(clusterContext)
      : binding.method === 'restart'
        ? 'the data directory is intact now'
        : `policy ${binding.policy} is used instead of ${before.binding.policy}`;
  return { plan: before.digest, method: before.binding.method, why };
}

async function whyNoRestart(clusterContext: ClusterContext): Promise<string> {
  const { cluster, user } = clusterContext;
  const server = await answeringServer(cluster.connection);
  if (server?.inRecovery) return 'a server answers that replays WAL and takes no writes';
  if (server) return 'another cluster answers in its place, with another system identifier';
  if (!cluster.dataDir) return 'the server cannot be started';
  const found = await inspectDataDir(await postgresBinOf(clusterContext), cluster.dataDir, user);
  return `the data directory is ${found.state}: ${found.reason}`;
}
