import { operationLink } from '../client/connect.js';
import type { TemporalSession } from '../client/connect.js';
import { follow } from '../client/follow-operation.js';
import { startBackup } from '../client/start.js';
import { RepriseError } from '../domain/errors.js';
import type { BackupOutput } from '../workflows/api.js';
import type { Narrator } from './narrator.js';
import { APPROVER, CLUSTER, PHYSICAL_POLICY } from './settings.js';

/** One backup through its workflow, as `reprise backup run` does it. @throws `check-failed` where it is not proven. */
export async function backUp(
  session: TemporalSession,
  narrator: Narrator,
  policy: string,
  signal: AbortSignal,
): Promise<void> {
  const work = await startBackup(session, {
    cluster: CLUSTER,
    requester: APPROVER,
    order: { policy, type: policy === PHYSICAL_POLICY ? 'full' : 'auto' },
  });
  narrator.say(`${work.workflowId}: ${await operationLink(session, work.workflowId)}`);
  await narrator.timed(`policy ${policy}: backed up and verified`, async () => {
    const { backups, skipped } = await follow<BackupOutput>(session, work.handle, {
      onStatus: () => undefined,
      everyMs: 2000,
      signal,
    });
    const unproven = backups.filter(({ proven }) => proven === null);
    if (backups.length === 0 || unproven.length > 0) {
      throw new RepriseError(
        'check-failed',
        `policy ${policy} gave no verified backup${skipped ? `: ${skipped.reason}` : ''}`,
        `See ${await operationLink(session, work.workflowId)}.`,
      );
    }
  });
}
