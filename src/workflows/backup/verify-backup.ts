import { workflowInfo } from '@temporalio/workflow';
import type { VerifyInput, VerifyOutput } from '../api.js';
import { operationOf, untilHostAnswers } from '../lock/with-cluster-lock.js';
import { control, heavy, light, outlasting } from '../operation/activity-proxies.js';
import { Work, concluded, refusal } from '../operation/operation-status.js';

/** Proves one backup: read whole, or restored into a scratch server and compared. A failed proof quarantines it. */
export async function verifyBackup(input: VerifyInput): Promise<VerifyOutput> {
  const work = new Work('verify', input.cluster);
  return concluded(work, async () => {
    const { cluster, backupId } = input;
    const step = { cluster, operationId: operationOf(input.operationId), workflowId: workflowInfo().workflowId };
    const { host } = await control.describeCluster({ cluster });
    await untilHostAnswers(work, host);
    const level = input.restore ? 'restore' : 'verify';
    const verdict = await work.phase(
      level === 'restore' ? 'restore into a scratch server' : 'read the whole backup',
      () => outlasting(() => heavy(host, `${level} ${backupId}`).proveBackup({ ...step, backupId, level })),
    );
    const [backup] = await light(host, 'read the catalogue').readBackups({ ...step, backupIds: [backupId] });
    if (!backup) throw refusal('not-found', `${backupId} is gone`, `reprise backup list ${cluster}`);
    work.show('completed', null, `**${verdict.ok ? 'Proven' : 'Not proven'}:** ${verdict.detail}`);
    return { backup, ok: verdict.ok, detail: verdict.detail };
  });
}
