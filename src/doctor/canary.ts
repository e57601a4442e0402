import type { ClusterConfig } from '../domain/config.js';
import { type Finding, ok, warning } from '../domain/findings.js';
import { withClient } from '../postgres/connection/with-client.js';
import { canaryProblem, canarySetUp } from '../postgres/content/canary.js';

/** Whether the canary of a cluster can be written, and by whom. */
export async function canaryFindings({ name, canary, connection, watch }: ClusterConfig): Promise<readonly Finding[]> {
  if (canary === undefined) return [];
  const check = `cluster/${name}/canary`;
  const { database } = canary;
  if (watch === undefined)
    return [
      warning(
        check,
        `no canary is written for ${name}: the watch writes it, and the cluster has none`,
        'add e.g. watch: { every: 10s } to the cluster',
      ),
    ];
  const problem = await withClient(connection, database, canaryProblem);
  if (problem !== null)
    return [
      warning(
        check,
        `no canary is written for ${name}: ${connection.user} ${problem}`,
        `as a superuser, in the database ${database}: ${canarySetUp(connection.user).join('; ')}`,
      ),
    ];
  return [ok(check, `the watch writes the canary of ${name} in the database ${database}, table reprise.canary`)];
}
