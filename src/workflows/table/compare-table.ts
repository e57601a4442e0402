import { formatTableName } from '../../domain/table/table-name.js';
import { markdownCode, markdownText } from '../../domain/text/markdown.js';
import type { CompareTableInput, CompareTableOutput } from '../api.js';
import { type InstanceRequest, withTemporaryInstance } from '../explore/temporary-instance.js';
import { withHostSlot } from '../lock/with-host-slot.js';
import { heavyActivities } from '../operation/activity-proxies.js';
import { openOperation } from '../operation/open-operation.js';
import { runStep } from '../operation/run-step.js';

/** Of its operation there is this one. */
const INSTANCE = 'good';

/** Compares a table of production with what it was, in a backup or at an instant; changes nothing. */
export function compareTable(input: CompareTableInput): Promise<CompareTableOutput> {
  return openOperation('table-compare', input, async (operation) => {
    const { order, requester } = input;
    const { status, host, step } = operation;
    const { good, policy, database } = order;
    const request: InstanceRequest = {
      ...{ instance: INSTANCE, requester, purpose: 'step', ends: true },
      order: { target: good, policy, databases: [database], only: [order.table] },
    };
    const result = await withTemporaryInstance(operation, request, async ({ restore, reached }) => {
      const name = 'compare the table';
      const compared = await status.phase(name, () =>
        withHostSlot(operation, 'heavy', () =>
          runStep(operation, name, () =>
            heavyActivities(host, `compare ${formatTableName(order.table)}`).compareTable({
              ...{ ...step, instance: INSTANCE, order },
            }),
          ),
        ),
      );
      return { ...compared, host, backups: restore.backups.map(({ id }) => id), reached: reached.reached };
    });
    const { missing, changed, extra, same, file } = result;
    status.show(
      'completed',
      null,
      `**${missing} missing, ${changed} changed, ${extra} extra**, ${same} the same. Rows that differ are on host ${markdownText(host)}: ${markdownCode(file)}`,
    );
    return result;
  });
}
