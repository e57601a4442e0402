import { isRepriseError } from '../../domain/errors.js';
import type { StepInput } from '../api.js';
import { type ClusterContext, record } from '../cluster-context.js';

/** The backup that an error says is damaged; null where the error is about something else. */
export function damagedBackup(error: unknown): string | null {
  const id = isRepriseError(error) && error.code === 'backup-corrupt' ? error.details['damagedBackup'] : undefined;
  return typeof id === 'string' ? id : null;
}

/** Never offered again, until a verification has read it whole and found it good. */
export async function quarantine(
  clusterContext: ClusterContext,
  step: Pick<StepInput, 'operationId'>,
  backupId: string,
  reason: string,
): Promise<void> {
  await record(clusterContext, step, `quarantine/${backupId}`, { kind: 'quarantine', backupId, reason });
}

/** Restores from a backup; one that turns out damaged is quarantined, and the failure goes on unchanged. */
export async function withQuarantine<T>(
  clusterContext: ClusterContext,
  step: Pick<StepInput, 'operationId'>,
  backupId: string | undefined,
  restore: () => Promise<T>,
): Promise<T> {
  try {
    return await restore();
  } catch (error) {
    if (backupId !== undefined && isRepriseError(error) && error.code === 'backup-corrupt')
      await quarantine(clusterContext, step, backupId, error.message);
    throw error;
  }
}
