import type { DailyCheck, OpenMatter } from '../../domain/backup/daily-check.js';
import type { NoticeFacts } from '../../domain/notification/notices.js';
import { markdownSentence } from '../../domain/text/markdown.js';
import type { DailyCheckInput, DailyCheckOutput } from '../api.js';
import { controlActivities, readActivities } from '../operation/activity-proxies.js';
import { withHeartbeats } from '../operation/heartbeats.js';
import { failureNotice } from '../operation/notifications.js';
import { openOperation, type Operation } from '../operation/open-operation.js';
import { failureOf, isCancelled } from '../operation/operation-status.js';
import { runStep } from '../operation/run-step.js';

/** So many findings are written out in one message; the command in it shows all. */
const WRITTEN_OUT = 20;

/**
 * Looks every morning whether the schedules of a cluster fire and its backups are as fresh as they should be, and tells people: what
 * is new, each problem once a day, and what is over. It has a schedule of its own, and tells a service outside how it ended, so that
 * its own silence is noticed there.
 */
export function dailyCheck(input: DailyCheckInput): Promise<DailyCheckOutput> {
  return openOperation('daily-check', input, (operation, facts) =>
    withHeartbeats(
      operation,
      facts,
      'daily-check',
      () => check(operation),
      ({ open }) => (open.some(({ level }) => level === 'problem') ? 'failed' : 'succeeded'),
    ),
  );
}

async function check(operation: Operation): Promise<DailyCheck> {
  const { status, host, step, notifications } = operation;
  try {
    const now = new Date().toISOString();
    const found = await controlActivities.lookAtSchedules({ cluster: step.cluster, now });
    const look = 'look at backups and the recoverable range';
    const result = await runStep(operation, look, () =>
      readActivities(host, look).recordDailyCheck({ ...step, now, found }),
    );
    const notice = noticeOf(result);
    if (notice !== null) await notifications.notify(notice);
    status.show('completed', null, inWords(result.open));
    return result;
  } catch (error) {
    if (!isCancelled(error)) await notifications.notify(failureNotice('daily check', null, failureOf(error)));
    throw error;
  }
}

function noticeOf({ open, told, over }: DailyCheck): NoticeFacts | null {
  if (told.length === 0 && over.length === 0) return null;
  const news = open.filter(({ check: name }) => told.includes(name));
  return {
    kind: 'daily-check',
    found: news.slice(0, WRITTEN_OUT).map(({ message, fix, since }) => ({ message, fix, since })),
    over: over.slice(0, WRITTEN_OUT).map(({ message }) => message),
  };
}

function inWords(open: readonly OpenMatter[]): string {
  if (open.length === 0) return '**Nothing is wrong:** schedules fire, and backups are fresh.';
  return open
    .slice(0, WRITTEN_OUT)
    .map(({ level, message, since }) => `- **${level}** since ${since.slice(0, 16)}Z: ${markdownSentence(message)}`)
    .join('\n');
}
