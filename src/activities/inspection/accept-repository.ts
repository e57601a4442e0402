import type { RepositoryConfig } from '../../domain/config.js';
import type { AcceptedRepository, Inspection } from '../../domain/operation/inspections.js';
import { placeOfTool } from '../../domain/storage/repository-identity.js';
import type { IdentityCheck } from '../../records/repository-identity.js';
import type { ActivityRun } from '../activity-wrapper.js';
import { type ClusterContext, forgetCatalogues, openClusterContext, record } from '../cluster-context.js';
import { repositoryOf } from '../config-lookup.js';
import type { HostDependencies } from '../dependencies.js';
import { toolIdentity } from '../used-repository.js';

type Question = Extract<Inspection, { kind: 'repository-accept' }>;

interface Checked {
  readonly name: string;
  readonly where: string;
  readonly identity: IdentityCheck;
}

/**
 * Makes what is at the place of a repository, and of the tools of its policies, what this host knows; and enters it into the
 * records of the clusters of this host. With `dryRun` nothing is changed.
 */
export async function acceptRepository(
  deps: HostDependencies,
  { repository: name, by, reason, dryRun }: Question,
  run: ActivityRun,
): Promise<{ readonly repositories: readonly AcceptedRepository[] }> {
  const repository = repositoryOf(deps.config, name);
  const users = await usersOf(deps, repository);
  const own = deps.identities?.ofRepository(repository, users[0]?.user ?? null) ?? null;
  const checked: Checked[] =
    own === null
      ? []
      : [
          {
            name,
            where: placeOfTool({ type: repository.type, values: repository.options, secrets: {} }),
            identity: own,
          },
        ];
  const accepted = await acceptAll(checked, dryRun === true);
  // Their records may be in it.
  if (dryRun !== true) forgetCatalogues(deps);
  for (const context of await usersOf(deps, repository))
    accepted.push(...(await acceptTools(context, name, run, dryRun)));
  if (dryRun !== true)
    for (const { cluster } of users)
      await enter(await openClusterContext(deps, cluster.name), accepted, { by, reason });
  return { repositories: accepted };
}

function usersOf(deps: HostDependencies, { name }: RepositoryConfig): Promise<readonly ClusterContext[]> {
  const clusters = Object.values(deps.config.clusters).filter(
    ({ host, catalogue, policies }) =>
      host === deps.host &&
      (catalogue === name || Object.values(policies).some(({ repository }) => repository === name)),
  );
  return Promise.all(clusters.map((cluster) => openClusterContext(deps, cluster.name)));
}

async function acceptTools(
  context: ClusterContext,
  repository: string,
  run: ActivityRun,
  dryRun = false,
): Promise<readonly AcceptedRepository[]> {
  const policies = Object.values(context.cluster.policies).filter((policy) => policy.repository === repository);
  const tools = await Promise.all(policies.map((policy) => toolIdentity(context, policy, run).catch(() => null)));
  return acceptAll(
    tools.filter((tool) => tool !== null),
    dryRun,
  );
}

async function acceptAll(checked: readonly Checked[], dryRun: boolean): Promise<AcceptedRepository[]> {
  const accepted: AcceptedRepository[] = [];
  for (const { name, where, identity } of checked) {
    const knownId = await identity.knownId();
    accepted.push({ name, where, knownId, id: dryRun ? await identity.foundId() : await identity.accept() });
  }
  return accepted;
}

/** Only what concerns the cluster: tools of another one are named after that one. */
async function enter(
  context: ClusterContext,
  accepted: readonly AcceptedRepository[],
  { by, reason }: Pick<Question, 'by' | 'reason'>,
): Promise<void> {
  const { cluster, catalogue } = context;
  const operationId = `repository-accept/${cluster.name}/${new Date().toISOString()}`;
  const { repositories } = await catalogue.state();
  const concerning = accepted.filter(
    ({ name, id, knownId }) =>
      (!name.includes('/') || name.startsWith(`${cluster.name}/`)) && (id !== knownId || repositories.get(name) !== id),
  );
  for (const { name, where, id, knownId } of concerning) {
    if (id === null) continue;
    if (name !== cluster.catalogue)
      await record(
        context,
        { operationId },
        `repository/${name}`,
        { kind: 'repository', repository: name, identity: id, where },
        by,
      );
    const text = `repository ${name} at ${where} was accepted as ${id} instead of ${knownId ?? 'none'}: ${reason}`;
    await record(
      context,
      { operationId },
      `journal/${name}`,
      { kind: 'journal', step: 'repository-accept', text, workflowId: operationId },
      by,
    );
  }
}
