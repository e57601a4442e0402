import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClusterConfig, Config, HostConfig, PolicyConfig, RepositoryConfig } from '../domain/config.js';
import { RepriseError } from '../domain/errors.js';
import type { HostDependencies } from './dependencies.js';

/** The cluster of that name, or `not-found` with the names there are. */
export function clusterOf(config: Config, name: string): ClusterConfig {
  const cluster = config.clusters[name];
  if (!cluster)
    throw new RepriseError(
      'not-found',
      `there is no cluster "${name}" in the config`,
      `clusters: ${Object.keys(config.clusters).join(', ') || 'none'}`,
    );
  return cluster;
}

/** The configuration of a host, of the one that the activities serve, or `not-found` with the hosts there are. */
export function hostOf({ config, host }: Pick<HostDependencies, 'config' | 'host'>): HostConfig {
  const found = config.hosts[host];
  if (!found)
    throw new RepriseError(
      'not-found',
      `there is no host "${host}" in the config`,
      `hosts: ${Object.keys(config.hosts).join(', ')}`,
    );
  return found;
}

/** The name where it is that of a cluster, else undefined: then every cluster is searched. */
export function knownCluster({ clusters }: Config, name: string | undefined): string | undefined {
  return name !== undefined && Object.hasOwn(clusters, name) ? name : undefined;
}

/** The repository of that name, or `not-found` with the names there are. */
export function repositoryOf(config: Config, name: string): RepositoryConfig {
  const repository = config.repositories[name];
  if (!repository)
    throw new RepriseError(
      'not-found',
      `there is no repository "${name}" in the config`,
      `repositories: ${Object.keys(config.repositories).join(', ') || 'none'}`,
    );
  return repository;
}

/**
 * Sees that this host can use a repository. One that is a directory of another host may be mounted here at the same path:
 * what is found there decides, before it is opened, because opening makes an empty one.
 * @throws RepriseError `path-refused`
 */
export async function requireHere(deps: HostDependencies, name: string, cluster: string): Promise<void> {
  const { host, options } = repositoryOf(deps.config, name);
  if (host === undefined || host === deps.host) return;
  const path = String(options['path'] ?? '');
  const found = await stat(join(path, cluster)).catch(() => null);
  if (found?.isDirectory()) return;
  throw new RepriseError(
    'path-refused',
    `repository ${name} is a directory of host ${host}, and host ${deps.host} finds no files of ${cluster} in ${path}`,
    `mount it on ${deps.host} at the same path, or use a repository that both hosts can reach (S3) for the catalogue and the policy`,
  );
}

/** Policies whose repository this host can use; of its own clusters, all. */
export async function policiesHere(deps: HostDependencies, cluster: ClusterConfig): Promise<readonly PolicyConfig[]> {
  const policies = Object.values(cluster.policies);
  if (cluster.host === deps.host) return policies;
  const usable = await Promise.all(
    policies.map(({ repository }) =>
      requireHere(deps, repository, cluster.name).then(
        () => true,
        () => false,
      ),
    ),
  );
  return policies.filter((_, index) => usable[index]);
}
