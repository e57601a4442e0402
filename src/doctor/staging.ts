import type { ClusterConfig, Config } from '../domain/config.js';
import { isRepriseError } from '../domain/errors.js';
import { type Finding, ok, problem } from '../domain/findings.js';
import { protectedPaths } from '../postgres/server/protected-paths.js';
import { requireMarkable, requireStagingApart } from '../postgres/server/staging-place.js';
import { jobUser } from '../process/exec/users.js';

/** Whether drills of these clusters may use their staging directory on this host. Reads only. */
export async function stagingFindings(
  config: Config,
  host: string,
  clusters: readonly ClusterConfig[],
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const { name, drill, host: source, dataDir: live } of clusters) {
    if (drill?.host !== host) continue;
    const check = `cluster/${name}/staging`;
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
