import { markdownSentence } from '../../domain/text/markdown.js';
import type { VerifyInput, VerifyOutput } from '../api.js';
import { withHostSlot } from '../lock/with-host-slot.js';
import { heavyActivities, readActivities } from '../operation/activity-proxies.js';
import { openOperation } from '../operation/open-operation.js';
import { refusal } from '../operation/operation-status.js';
import { runStep } from '../operation/run-step.js';

/** Verifies one backup: read whole, or restored into a scratch server and compared. One that fails is quarantined. */
export function verifyBackup(input: VerifyInput): Promise<VerifyOutput> {
  return openOperation('verify', input, async (operation) => {
    const { status, host, step } = operation;
    const { cluster, order } = input;
    const { backupId, restore } = order;
    const summary = `verify ${backupId}${restore ? ' by a restore' : ''}`;
    const verdict = await status.phase(restore ? 'restore into a scratch server' : 'read the whole backup', () =>
      withHostSlot(operation, 'heavy', () =>
        runStep(operation, summary, () => heavyActivities(host, summary).proveBackup({ ...step, order })),
      ),
    );
    const read = 'read the catalogue';
    const [backup] = await runStep(operation, read, () =>
      readActivities(host, read).readBackups({ ...step, backupIds: [backupId] }),
    );
    if (!backup) throw refusal('not-found', `${backupId} no longer exists`, `reprise backup list ${cluster}`);
    status.show(
      'completed',
      null,
      `**${verdict.ok ? 'Verified' : 'Verification failed'}:** ${markdownSentence(verdict.detail)}`,
    );
    return { backup, ok: verdict.ok, detail: verdict.detail };
  });
}
