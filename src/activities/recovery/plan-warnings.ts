import type { ClusterConfig } from '../../domain/config.js';
import type { PlanBinding } from '../../domain/plan/plan.js';
import { shortConfig } from '../../domain/operation/worker-identity.js';
import { probe } from '../../postgres/connection/probe.js';
import type { PlanRequest } from '../api.js';
import type { HostDependencies } from '../dependencies.js';
import type { ClusterContext } from '../cluster-context.js';

/** The digest of this host is what is approved; a workflow that goes by another configuration may do other steps. */
function driftWarning(
  { config, host }: HostDependencies,
  { controlDigest = config.digest }: PlanRequest,
): readonly string[] {
  if (controlDigest === config.digest) return [];
  return [
    `the workflow runs with another configuration (${shortConfig(controlDigest)}) than host ${host} (${shortConfig(config.digest)}): reprise doctor says which worker to restart`,
  ];
}

/** What whoever approves should stumble over. */
export async function warningsFor(
  { cluster, deps }: ClusterContext,
  { into, method, salvageFrom }: PlanBinding,
  request: PlanRequest,
): Promise<readonly string[]> {
  const drift = driftWarning(deps, request);
  if (deps.host !== cluster.host) return [...drift, ...elsewhere(deps, cluster, method, request.sourceAnswers)];
  const warnings = salvageFrom
    ? [
        ...drift,
        `an earlier recovery was given up: WAL that was not archived is taken from what it put aside, ${salvageFrom}`,
      ]
    : drift;
  const replacesLiving = into === 'in-place' && method === 'data-directory' && (await probe(cluster.connection)).ok;
  return replacesLiving
    ? [...warnings, 'the server answers: it is stopped, and its data directory replaced']
    : warnings;
}

/** A recovery onto another host has what both hosts can read, and nothing more. */
function elsewhere(
  deps: HostDependencies,
  { name, host, catalogue }: ClusterConfig,
  method: PlanBinding['method'],
  sourceAnswers: boolean | undefined,
): readonly string[] {
  const state = sourceAnswers === false ? `no worker of host ${host} answers: ` : '';
  const wal =
    method === 'data-directory'
      ? [`${state}WAL of ${name} that host ${host} did not archive is not salvaged: it is lost to this recovery`]
      : [];
  const owner = deps.config.repositories[catalogue]?.host;
  const mounted =
    owner === undefined || owner === deps.host
      ? []
      : [
          `repository ${catalogue} is a directory of host ${owner}; what is at the same path here is used: see that it is the same, and not an old copy`,
        ];
  return [...wal, ...mounted];
}
