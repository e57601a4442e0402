import type { ClusterConfig, Config, PolicyConfig } from '../config.js';

/** Policies of a drill, in its order: those named, by kind of engine or by name; else all that are enabled. */
export function drilledPolicies(
  { policies }: Pick<ClusterConfig, 'policies'>,
  engines: readonly string[],
): readonly PolicyConfig[] {
  const enabled = Object.values(policies).filter((policy) => policy.enabled);
  if (engines.length === 0) return enabled;
  return [
    ...new Set(engines.flatMap((named) => enabled.filter(({ name, engine }) => named === name || named === engine))),
  ];
}

/** Whether a host can open a repository; a directory is on one host. */
export function reachesRepository(
  { repositories }: Pick<Config, 'repositories'>,
  host: string,
  repository: string,
): boolean {
  const owner = repositories[repository]?.host;
  return owner === undefined || owner === host;
}
