import { dueAfter } from '../../domain/drill/register.js';
import { markdownSentence } from '../../domain/text/markdown.js';
import type { DrillOverdueInput, DrillOverdueOutput } from '../api.js';
import { controlActivities, readActivities } from '../operation/activity-proxies.js';
import { openOperation } from '../operation/open-operation.js';
import { runStep } from '../operation/run-step.js';

/**
 * Looks whether the last drill that was due took place. It has a schedule of its own, every day, and asks the host of the cluster: a
 * drill's schedule that is paused or gone, and a staging host that is dead, do not keep it silent.
 */
export function drillOverdue(input: DrillOverdueInput): Promise<DrillOverdueOutput> {
  return openOperation('drill-overdue', input, async (operation) => {
    const { status, host, step, notifications } = operation;
    const now = new Date().toISOString();
    const dueAt = await controlActivities.lastDrillDue({ cluster: step.cluster, upTo: now });
    const look = 'look for the drill that was due';
    const found =
      dueAt === null
        ? null
        : await runStep(operation, look, () => readActivities(host, look).recordOverdueDrill({ ...step, dueAt, now }));
    if (found?.isNew)
      await notifications.notify({
        kind: 'drill',
        state: 'overdue',
        reason: found.entry.text,
        dueAt: dueAfter(found.entry.openedAt),
      });
    status.show(
      'completed',
      null,
      found === null ? '**No drill is overdue.**' : `**Overdue:** ${markdownSentence(found.entry.text)}`,
    );
    return { dueAt, entry: found?.entry ?? null };
  });
}
