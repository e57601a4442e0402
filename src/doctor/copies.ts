import type { ClusterConfig, Config } from '../domain/config.js';
import { ok, problem, warning, type Finding } from '../domain/findings.js';
import { deviceOf, placeOf } from './places.js';
import type { PolicyPlace } from './places.js';

const ELSEWHERE =
  'put one on another machine, e.g. a mount of it: repositories: { offsite: { type: directory, path: /mnt/offsite/reprise } }, and name it in a policy: repository: offsite';

/** What one event takes along: the data and every copy of it; and what the engines' own configuration does against us. */
export async function copyFindings(config: Config, cluster: ClusterConfig): Promise<readonly Finding[]> {
  const policies = Object.values(cluster.policies).filter(({ enabled }) => enabled);
  const check = `cluster/${cluster.name}/copies`;
  if (policies.length === 0)
    return [problem(check, `cluster ${cluster.name} has no enabled backup policy`, 'add one under `backups`')];
  const places = await Promise.all(
    policies.map(async (policy) => ({ policy: policy.name, ...(await placeOf(config, cluster, policy)) })),
  );
  return [await domainFinding(check, cluster, places), ...ownWarnings(cluster, places)];
}

async function domainFinding(
  check: string,
  { name, host, dataDir, connection }: ClusterConfig,
  places: readonly PolicyPlace[],
): Promise<Finding> {
  // Without a data directory only the address tells whether the server is another machine.
  const serverIsHere =
    dataDir !== undefined || connection.host.startsWith('/') || /^(localhost|127\.|::1$)/.test(connection.host);
  if (!serverIsHere || places.some(({ elsewhere }) => elsewhere))
    return ok(check, `cluster ${name} has a copy on another machine than its data`);
  const device = dataDir === undefined ? null : await deviceOf(dataDir);
  if (device !== null && places.every((place) => place.device === device)) {
    return warning(
      check,
      `every backup of ${name} is on the device of its data directory: if that disk fails, both are lost`,
      ELSEWHERE,
    );
  }
  return warning(
    check,
    `every backup of ${name} is on the host of its data (${host}): if that host is lost, both are lost`,
    ELSEWHERE,
  );
}

/** What the engine's own configuration does against us; its last clause says what to do. */
function ownWarnings(
  { name }: ClusterConfig,
  places: readonly (PolicyPlace & { policy: string })[],
): readonly Finding[] {
  return places.flatMap(({ policy, warnings }) =>
    warnings.map((text) => {
      const at = text.lastIndexOf('; ');
      const [message, fix] =
        at < 0 ? [text, 'correct that file, then: reprise doctor'] : [text.slice(0, at), text.slice(at + 2)];
      return warning(`cluster/${name}/engine/${policy}`, message, fix);
    }),
  );
}
