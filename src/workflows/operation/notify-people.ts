import { log, workflowInfo } from '@temporalio/workflow';
import { noticeTitle } from '../../domain/notification/notice-text.js';
import type { Notice } from '../../domain/notification/notices.js';
import type { Delivery } from '../../domain/notification/recipients.js';
import { markdownSentence } from '../../domain/text/markdown.js';
import type { NotifyInput, NotifyOutput, NotifyResult } from '../api.js';
import { controlActivities, hostActivitiesFor, noticeActivities } from './activity-proxies.js';
import { OperationStatus, runOperation, failureOf, isCancelled, refusal } from './operation-status.js';

const DAY_MS = 24 * 3_600_000;
/** A person waits for the answer of a test. */
const TEST_MS = 120_000;
const LEAST_MS = 60_000;

/**
 * Sends one notification, beside the operation it is about: each notifier is tried until it takes the message or a day
 * is over, and the result is recorded. It approves nothing and stops nothing.
 */
export async function notify({ notice }: NotifyInput): Promise<NotifyOutput> {
  const status = new OperationStatus('notify', notice.cluster ?? '-');
  return runOperation(status, async () => {
    const planned = await controlActivities.deliveriesOf({ notice });
    const deliveries = await Promise.all(planned.map((delivery) => deliver(status, notice, delivery)));
    const toldNobody = deliveries.filter(({ code }) => code !== null);
    status.show(
      'completed',
      null,
      deliveries.map((one) => markdownSentence(deliveryLine(one))).join('\n\n') || 'no contact is to be notified',
    );
    // Shown as failed in the Web UI; the operation it is about has long gone on.
    const [first] = toldNobody;
    if (notice.facts.kind !== 'test' && first && toldNobody.length === deliveries.length) {
      throw refusal(
        first.code ?? 'notifier-unreachable',
        `nobody was notified: ${noticeTitle(notice)}; ${toldNobody.map(({ notifier, detail }) => `${notifier}: ${detail}`).join('; ')}`,
        'call them, then: reprise notify test CONTACT',
      );
    }
    return { deliveries };
  });
}

async function deliver(status: OperationStatus, notice: Notice, delivery: Delivery): Promise<NotifyResult> {
  const { notifier } = delivery;
  const contacts = [...delivery.first, ...delivery.others];
  const summary = `notify ${contacts.join(', ') || 'the receiver'} by ${notifier}`;
  const result = await status
    .phase(summary, () =>
      noticeActivities(
        summary.slice(0, 190),
        retryForMs(notice),
        notice.facts.kind === 'test' ? 2 : undefined,
      ).sendNotice({
        notice,
        delivery,
      }),
    )
    .then(
      (sent): NotifyResult => ({ notifier, code: null, ...sent }),
      (error: unknown): NotifyResult => {
        if (isCancelled(error)) throw error;
        const { code, message } = failureOf(error);
        return { notifier, told: [], notTold: contacts, refused: 0, code, detail: message };
      },
    );
  await record(notice, result);
  return result;
}

/** An approval is asked for as long as it can be given. */
function retryForMs({ facts }: Notice): number {
  if (facts.kind === 'test') return TEST_MS;
  if (facts.kind !== 'approval') return DAY_MS;
  return Math.min(DAY_MS, Math.max(LEAST_MS, Date.parse(facts.plan.approveBy) - Date.now()));
}

/** A line in the journal of the operation; where that cannot be written, the notification's own history has it. */
async function record(notice: Notice, result: NotifyResult): Promise<void> {
  const { cluster, operationId } = notice;
  if (cluster === null) return;
  try {
    const { host } = await controlActivities.describeCluster({ cluster });
    const step = result.code === null ? 'notified' : 'not notified';
    await hostActivitiesFor(host, 'record who was notified', '7d').journal({
      cluster,
      operationId,
      workflowId: workflowInfo().workflowId,
      step,
      text: `${noticeTitle(notice)} — ${deliveryLine(result)}`,
    });
  } catch (error) {
    if (isCancelled(error)) throw error;
    log.warn('who was notified could not be recorded');
  }
}

function deliveryLine({ notifier, told, notTold, refused, code, detail }: NotifyResult): string {
  if (code !== null)
    return `${notTold.join(', ') || 'nobody'} could not be notified by ${notifier}: ${detail} (${code})`;
  const missed =
    refused === 0
      ? ''
      : `; ${refused} addresses were refused${notTold.length > 0 ? `, all of ${notTold.join(', ')}` : ''}`;
  return `notified by ${notifier}: ${told.join(', ') || 'the receiver'}${missed} (${detail})`;
}
