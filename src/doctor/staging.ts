import type { ClusterConfig, Config, DrillConfig } from '../domain/config.js';
import { drilledPolicies, reachesRepository } from '../domain/drill/drilled-policies.js';
import { isRepriseError } from '../domain/errors.js';
import { type Finding, ok, problem } from '../domain/findings.js';
import { protectedPaths } from '../postgres/server/protected-paths.js';
import { requireMarkable, requireStagingApart } from '../postgres/server/staging-place.js';
import { requireProgram } from '../process/exec/find-programs.js';
import { jobUser } from '../process/exec/users.js';
import { toolFindings } from './tools.js';

/** Whether drills of these clusters have their programs on this host, and may use their staging directory on this host. Reads only. */
export async function stagingFindings(
  config: Config,
  host: string,
  clusters: readonly ClusterConfig[],
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const cluster of clusters) {
    const { name, drill, host: source, dataDir: live } = cluster;
    if (drill?.host !== host) continue;
    const check = `cluster/${name}/staging`;
    // Of the cluster's own host they are looked at anyway.
    if (source !== host) findings.push(...(await drillTools(config, cluster, drill)));
    findings.push(...(await maskFindings(cluster, drill)));
    const owner = await jobUser(source === host ? live : undefined);
    const place = { cluster: name, host, dataDir: drill.dataDir, port: drill.port, owner };
    try {
      await requireStagingApart(place, await protectedPaths({ config, host }, drill.dataDir));
      const { isWhole } = await requireMarkable(place);
      const state = isWhole ? 'it carries the marker' : 'it is empty or absent, and the first drill marks it';
      findings.push(ok(check, `drills of ${name} restore to ${drill.dataDir}: ${state}`));
    } catch (error) {
      if (!isRepriseError(error)) throw error;
      findings.push(problem(check, error.message, error.hint ?? ''));
    }
  }
  return findings;
}

/** Programs of the engines that are drilled here. The server is elsewhere: of PostgreSQL the newest version that is here counts. */
function drillTools(config: Config, cluster: ClusterConfig, drill: DrillConfig): Promise<readonly Finding[]> {
  const policies = drilledPolicies(cluster, drill.engines).filter(({ repository }) =>
    reachesRepository(config, drill.host, repository),
  );
  return toolFindings(
    { ...cluster, policies: Object.fromEntries(policies.map((policy) => [policy.name, policy])) },
    null,
  );
}

async function maskFindings({ name }: ClusterConfig, { mask }: DrillConfig): Promise<readonly Finding[]> {
  const [program] = mask?.argv ?? [];
  if (program === undefined) return [];
  const check = `cluster/${name}/mask`;
  return requireProgram(program).then(
    () => [ok(check, `${program} masks what drills of ${name} restore`)],
    () => [
      problem(
        check,
        `${program}, which masks what drills of ${name} restore, was not found`,
        `install it, or correct clusters.${name}.drill.mask.argv`,
      ),
    ],
  );
}
