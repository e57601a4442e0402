import type { CheckContext } from '../../checks/check.js';
import { isRepriseError } from '../../domain/errors.js';
import { writeCanary } from '../../postgres/content/canary.js';
import { noteCanary, readCanaryLog } from '../../records/canary-log.js';
import { catalogueStorage, type ClusterContext } from '../cluster-context.js';

/**
 * Writes the canary of a cluster where one is due. It is written by the watch, which looks at the server anyway. Where it cannot be written or
 * noted, the watch goes on: `doctor` says what is missing, and a row that was not noted is not expected back.
 */
export class CanaryWriter {
  private dueAt = 0;

  constructor(private readonly clusterContext: ClusterContext) {}

  async write(): Promise<void> {
    const { canary, connection, name } = this.clusterContext.cluster;
    if (canary === undefined || Date.now() < this.dueAt) return;
    this.dueAt = Date.now() + canary.everySeconds * 1000;
    try {
      const row = await writeCanary(connection, canary.database);
      if (row !== null) await noteCanary(catalogueStorage(this.clusterContext), name, row);
    } catch (error) {
      if (!isRepriseError(error)) throw error;
    }
  }
}

/** What checks are told of the canary of a cluster; nothing where none is configured. */
export function canaryOf(clusterContext: ClusterContext): Pick<CheckContext, 'canary'> {
  const { canary, name } = clusterContext.cluster;
  if (canary === undefined) return {};
  return {
    canary: { ...canary, written: (until) => readCanaryLog(catalogueStorage(clusterContext), name, until) },
  };
}
