import type { RecordBody } from '../domain/backup/records.js';
import type { ClusterConfig, HostConfig, PolicyConfig } from '../domain/config.js';
import { isRepriseError } from '../domain/errors.js';
import { placeOfTool, toolRepository } from '../domain/storage/repository-identity.js';
import type { OsUser } from '../process/jobs/jobs.js';
import type { CatalogueReader } from '../records/catalogue.js';
import { knownRepositories } from '../records/known-repositories.js';
import type { IdentityCheck } from '../records/repository-identity.js';
import type { ActivityRun } from './activity-wrapper.js';
import type { HostDependencies, RepositoryUser } from './dependencies.js';

/** A cluster as it is opened on this host. */
interface UsingCluster {
  readonly deps: HostDependencies;
  readonly cluster: ClusterConfig;
  readonly host: HostConfig;
  readonly user: OsUser | null;
  readonly catalogue: CatalogueReader;
}

/** What the records of a cluster say of the repository of a policy. */
export function repositoryUser(clusterContext: UsingCluster, policy: PolicyConfig): RepositoryUser {
  return {
    cluster: policy.cluster,
    async recorded() {
      const { catalogue, cluster, deps } = clusterContext;
      // Of their own repository records say nothing that would not be lost with it.
      if (policy.repository === cluster.catalogue) return { id: null, used: false, folder: '' };
      const { repositories, backups } = await catalogue.state();
      const keepsFiles = deps.engineOf(policy.engine).keptAt === undefined;
      return {
        id: repositories.get(policy.repository) ?? null,
        used: backups.some(
          ({ repository, policy: name, configuration }) =>
            repository === policy.repository && name === policy.name && (keepsFiles || configuration?.key != null),
        ),
        folder: `${cluster.name}/`,
      };
    },
  };
}

/** Where the engine's own tool keeps the files of a policy, and whether that is the known place; null where nobody can look there. */
export async function toolIdentity(
  { cluster, catalogue, deps, user }: UsingCluster,
  policy: PolicyConfig,
  { signal }: Pick<ActivityRun, 'signal'>,
): Promise<{ readonly name: string; readonly where: string; readonly identity: IdentityCheck } | null> {
  const storage = await deps.engineOf(policy.engine).keptAt?.({ cluster, policy, user, signal });
  if (storage == null || deps.identities === undefined) return null;
  const name = toolRepository(cluster.name, policy.name);
  const recorded = async () => ({
    id: (await catalogue.state()).repositories.get(name) ?? null,
    used: false,
    folder: '',
  });
  const identity = deps.identities.ofTool({ cluster: cluster.name, policy, storage, owner: user, recorded });
  return { name, where: placeOfTool(storage), identity };
}

/**
 * Refuses to work with a tool's repository that is not the known one. What keeps us from looking is no reason: the tool
 * itself meets it, and tells in its own terms.
 * @throws RepriseError `repository-mismatch`
 */
export async function requireToolRepository(
  clusterContext: UsingCluster,
  policy: PolicyConfig,
  run: Pick<ActivityRun, 'signal'>,
  writes: boolean,
): Promise<void> {
  try {
    await (await toolIdentity(clusterContext, policy, run))?.identity.require(writes);
  } catch (error) {
    if (!isRepriseError(error) || error.code === 'repository-mismatch') throw error;
  }
}

/** What is to be recorded of the repositories that the backups of a policy are in: those of which the records name another id, or none. */
export async function unrecordedRepositories(
  clusterContext: UsingCluster,
  policy: PolicyConfig,
  run: Pick<ActivityRun, 'signal'>,
): Promise<readonly Extract<RecordBody, { readonly kind: 'repository' }>[]> {
  const { cluster, host, catalogue } = clusterContext;
  const { repositories } = await catalogue.state();
  const own =
    policy.repository === cluster.catalogue ? null : await knownRepositories(host.stateDir).find(policy.repository);
  const tool = await toolIdentity(clusterContext, policy, run).catch(() => null);
  const toolId = (await tool?.identity.knownId()) ?? null;
  return [
    ...(own === null ? [] : [{ repository: own.name, identity: own.id, where: own.where }]),
    ...(tool === null || toolId === null ? [] : [{ repository: tool.name, identity: toolId, where: tool.where }]),
  ]
    .filter(({ repository, identity }) => repositories.get(repository) !== identity)
    .map((found) => ({ kind: 'repository' as const, ...found }));
}
