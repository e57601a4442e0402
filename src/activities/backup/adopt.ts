import type {
  AdoptedBackup,
  AdoptionLine,
  AdoptionPreview,
  AdoptOutput,
  RefusedFile,
} from '../../domain/backup/adoption.js';
import type { Backup } from '../../domain/backup/backup.js';
import { boundedPreview, joinAdoptions } from '../../domain/backup/adoption.js';
import { isActionPlan } from '../../domain/approval/actions.js';
import type { PolicyConfig } from '../../domain/config.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { policyClaim } from '../../domain/operation/locks.js';
import type { AdoptionOrder, PolicyAdoptionOrder } from '../../domain/operation/orders.js';
import { adoptionOrder, policyAdoptionOrder } from '../../domain/operation/orders.js';
import { oneOf } from '../../domain/text/text.js';
import type { Adoption, EngineContext } from '../../engines/engine.js';
import { openHostState } from '../../records/host-state.js';
import type { HostActivities, OrderedStep, PlannedStep, StepInput } from '../api.js';
import { authorizePlan } from '../approval/authorize.js';
import { importFolder } from './import-folder.js';
import { verifyAndRecord } from './verify.js';
import type { HostDependencies } from '../dependencies.js';
import { requireGrant } from '../lock-grant.js';
import { type ActivityRun, withOrder, wrapActivity } from '../activity-wrapper.js';
import { claimOperation } from '../approval/own-operation.js';
import {
  type ClusterContext,
  clusterLocks,
  currentBackups,
  engineContext,
  engineFor,
  openClusterContext,
  policyOf,
  readContext,
  record,
} from '../cluster-context.js';

/** What is said of one file or backup and leaves the others as they are. */
const OF_ONE = ['backup-corrupt', 'identity-mismatch', 'privilege-missing', 'version-mismatch', 'not-found'];

export function adoptingActivities(deps: HostDependencies): Pick<HostActivities, 'surveyAdoption' | 'adoptBackups'> {
  return {
    surveyAdoption: wrapActivity(
      'surveyAdoption',
      withOrder(adoptionOrder, async ({ cluster, order }, run) =>
        surveyAdoption(await openClusterContext(deps, cluster), order, run),
      ),
    ),
    adoptBackups: wrapActivity(
      'adoptBackups',
      withOrder(policyAdoptionOrder, async (step, run) => {
        const clusterContext = await openClusterContext(deps, step.cluster);
        await claimOperation(clusterContext, step);
        return adopt(clusterContext, step, run);
      }),
    ),
  };
}

/** What could be adopted, by names and headers; nothing is read whole, nothing is written. */
export async function surveyAdoption(
  clusterContext: ClusterContext,
  { policy, from }: AdoptionOrder,
  run: ActivityRun,
): Promise<AdoptionPreview> {
  const adopt: AdoptionLine[] = [];
  const refused: RefusedFile[] = [];
  let known = 0;
  const folder = from === undefined ? '' : await importFolder(clusterContext, from);
  for (const one of policiesFor(clusterContext, policy, from)) {
    if (from === undefined) {
      const found = await unrecorded(clusterContext, one, run);
      known += found.known;
      adopt.push(...found.lines);
      continue;
    }
    const survey = await adoptionOf(clusterContext, one).survey?.(
      await readContext(clusterContext, one, run, 'survey'),
      folder,
    );
    for (const { finishedAt: _finishedAt, ...candidate } of survey?.candidates ?? [])
      adopt.push({ ...candidate, policy: one.name });
    refused.push(...(survey?.refused ?? []));
  }
  return boundedPreview({ policies: [...new Set(adopt.map((line) => line.policy))], adopt, refused, known });
}

/** Each file or backup is a fact of its own, so that the next attempt finds what this one recorded and proved. */
async function adopt(
  clusterContext: ClusterContext,
  step: Parameters<HostActivities['adoptBackups']>[0],
  run: ActivityRun,
): Promise<AdoptOutput> {
  const { from } = step.order;
  const policy = policyOf(clusterContext, step.order.policy);
  await requireGrant(clusterContext, step, policyClaim('backup', policy));
  const isApproved = await approvedNames(clusterContext, step);
  const adoption = adoptionOf(clusterContext, policy);
  const context = await engineContext(
    clusterContext,
    policy,
    run,
    step.operationId,
    clusterLocks.backup(clusterContext.cluster.name, policy.name),
  );
  const refused: RefusedFile[] = [];
  const sources = new Map<string, string>();
  const one = async (name: string, make: () => Promise<void>): Promise<void> => {
    try {
      await make();
    } catch (error) {
      if (run.signal.aborted || !isRepriseError(error) || !OF_ONE.includes(error.code)) throw error;
      refused.push({ name, reason: error.message });
    }
  };
  let known = 0;
  if (from === undefined) {
    const found = await unrecorded(clusterContext, policy, run);
    known = found.known;
    for (const { name } of found.lines.filter(isApproved))
      await one(name, async () => recordBackup(clusterContext, step, await adoption.describe(context, name)));
  } else {
    const folder = await importFolder(clusterContext, from);
    const survey = await adoption.survey?.(context, folder);
    refused.push(...(survey?.refused ?? []));
    for (const candidate of survey?.candidates.filter(isApproved) ?? []) {
      await one(candidate.name, async () => {
        const made = (await adoption.take?.(context, folder, candidate)) ?? null;
        if (made === null) known += 1;
        else {
          await recordBackup(clusterContext, step, made);
          sources.set(made.id, candidate.name);
        }
      });
    }
  }
  return joinAdoptions([{ adopted: await proveAdopted(clusterContext, step, context, sources, run), refused, known }]);
}

/**
 * What the plan of the operation names for a policy: nothing that came since is adopted. Of more than a plan can list, all
 * that are there are adopted.
 * @throws RepriseError those of {@link authorizePlan}; `plan-unknown` for another policy or folder than the plan's
 */
async function approvedNames(
  clusterContext: ClusterContext,
  step: PlannedStep & OrderedStep<PolicyAdoptionOrder>,
): Promise<(found: { readonly name: string }) => boolean> {
  const { digest, binding } = await authorizePlan(clusterContext, step, isActionPlan);
  const { order, found } = binding;
  const { policy, from } = step.order;
  const names = (found['names'] as Readonly<Record<string, readonly string[]>> | undefined)?.[policy];
  if (order.kind !== 'adopt' || order.from !== from || names === undefined)
    throw new RepriseError(
      'plan-unknown',
      `plan ${step.plan.slice(0, 12)} does not adopt this for policy ${policy}`,
      'start it again: reprise backup adopt',
    );
  // Hours may pass between the first backup and the last one.
  await openHostState(clusterContext.host.stateDir).markBegun(digest);
  return ({ name }) => found['unlisted'] !== 0 || names.includes(name);
}

function recordBackup(
  clusterContext: ClusterContext,
  step: StepInput & { requester: string },
  backup: Awaited<ReturnType<Adoption['describe']>>,
): Promise<void> {
  // What is a file could be anybody's; what an engine lists by itself is of the cluster's own system identifier.
  const adopted = {
    ...backup.adopted,
    checked: engineFor(clusterContext, policyOf(clusterContext, backup.policy)).adoption?.take === undefined,
  };
  const body = { kind: 'backup' as const, backup: { ...backup, adopted } };
  return record(clusterContext, step, `backup/${backup.id}`, body, step.requester);
}

/** Verifies all that this operation recorded and that has no verdict yet. */
async function proveAdopted(
  clusterContext: ClusterContext,
  step: OrderedStep<PolicyAdoptionOrder>,
  context: EngineContext,
  sources: ReadonlyMap<string, string>,
  run: ActivityRun,
): Promise<readonly AdoptedBackup[]> {
  const own = (await clusterContext.catalogue.records()).flatMap((entry) =>
    entry.kind === 'backup' && entry.operationId === step.operationId && entry.backup.policy === step.order.policy
      ? [entry.backup.id]
      : [],
  );
  const adopted: AdoptedBackup[] = [];
  for (const [index, id] of own.entries()) {
    context.report({ phase: `verifying ${id}`, done: index, total: own.length, unit: 'steps' });
    const state = (await clusterContext.catalogue.state()).backups.find((backup) => backup.id === id);
    const from = sources.get(id) ?? null;
    if (state?.proven) adopted.push({ id, from, proven: true, detail: `verified${doubtIn(state)}` });
    else if (state?.status === 'quarantined')
      adopted.push({ id, from, proven: false, detail: 'its verification failed: it is quarantined' });
    else if (state?.partial !== undefined)
      adopted.push({
        id,
        from,
        proven: false,
        partial: true,
        detail: `it is only a part of the database: ${state.partial}`,
      });
    else {
      const { ok, detail } = await verifyAndRecord(clusterContext, step, { backupId: id, restore: false }, run);
      adopted.push({ id, from, proven: ok, detail: `${detail}${doubtIn(state)}` });
    }
  }
  return adopted;
}

/** Why it counts for nothing, also when it was restore-tested. */
function doubtIn(backup: Pick<Backup, 'adopted'> | undefined): string {
  const unknown = backup?.adopted?.unknown;
  return unknown === undefined ? '' : `; it counts for nothing, as nobody can tell whether it is whole: ${unknown}`;
}

/** Backups that the engine lists, oldest first, and no record names. */
async function unrecorded(
  clusterContext: ClusterContext,
  policy: PolicyConfig,
  run: ActivityRun,
): Promise<{ lines: readonly AdoptionLine[]; known: number }> {
  const recorded = new Set((await clusterContext.catalogue.state()).backups.map(({ id }) => id));
  const found = (await currentBackups(clusterContext, run, [policy])).filter(
    (backup) => backup.policy === policy.name && backup.status !== 'missing',
  );
  const unknown = found.filter(({ id, status }) => !recorded.has(id) && status !== 'running');
  const lines = unknown.map(({ label, database, startedAt, sizeBytes }) => ({
    name: label,
    policy: policy.name,
    database: database ?? null,
    startedAt,
    sizeBytes,
  }));
  return { lines, known: found.length - unknown.length };
}

/** The policy named; for a folder the only one that takes files; else all. */
function policiesFor(
  clusterContext: ClusterContext,
  named: string | undefined,
  from: string | undefined,
): readonly PolicyConfig[] {
  const takesFiles = (policy: PolicyConfig): boolean => adoptionOf(clusterContext, policy).take !== undefined;
  if (named !== undefined) {
    const policy = policyOf(clusterContext, named);
    if (from === undefined || takesFiles(policy)) return [policy];
    throw new RepriseError(
      'capability-missing',
      `policy ${named} (${policy.engine}) cannot adopt files`,
      'name a policy of an engine that dumps databases: --policy',
    );
  }
  const all = Object.values(clusterContext.cluster.policies).filter(
    (policy) => engineFor(clusterContext, policy).adoption !== undefined,
  );
  if (from === undefined) return all;
  const [only, ...others] = all.filter(takesFiles);
  if (only !== undefined && others.length === 0) return [only];
  if (only === undefined)
    throw new RepriseError(
      'capability-missing',
      `cluster ${clusterContext.cluster.name} has no policy that can adopt files`,
      'add one: backups: { nightly-dump: { engine: logical } }',
    );
  throw new RepriseError(
    'usage',
    `cluster ${clusterContext.cluster.name} has several policies that can adopt files`,
    `name one: ${oneOf(
      '--policy',
      [only, ...others].map(({ name }) => name),
    )}`,
  );
}

function adoptionOf(clusterContext: ClusterContext, policy: PolicyConfig): Adoption {
  const { adoption } = engineFor(clusterContext, policy);
  if (adoption) return adoption;
  throw new RepriseError(
    'capability-missing',
    `engine ${policy.engine} cannot adopt backups of other programs`,
    'take a backup with it: reprise backup run',
  );
}
