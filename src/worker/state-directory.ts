import type { Config } from '../domain/config.js';
import { makeOwnDirectory } from '../files/trusted-paths.js';
import { forgetUploadOrders } from '../process/jobs/upload-order.js';
import { jobUser } from '../process/exec/users.js';

/**
 * Makes the state directory of a host, owner-only. Under root it belongs to the user that jobs run as: they reach the
 * scratch directory below it, and a later worker without root's rights goes on with what is there. Secrets that a
 * worker before left behind are forgotten.
 */
export async function prepareStateDirectory(config: Config, host: string): Promise<void> {
  const stateDir = config.hosts[host]?.stateDir;
  if (stateDir === undefined) return;
  const cluster = Object.values(config.clusters).find((candidate) => candidate.host === host);
  await makeOwnDirectory(stateDir, await jobUser(cluster?.dataDir));
  await forgetUploadOrders(stateDir);
}
