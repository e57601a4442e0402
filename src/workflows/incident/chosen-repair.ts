import { ParentClosePolicy, startChild } from '@temporalio/workflow';
import { repairWorkflowId, workflowTypes } from '../../domain/operation/names.js';
import type { RepairOrder } from '../../domain/operation/orders.js';
import { priorityOf } from '../../domain/operation/priorities.js';
import { repairRunbook } from '../../domain/plan/runbooks.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { visible } from '../../domain/text/text.js';
import { repairTable } from '../table/repair-table.js';
import type { Choice } from './chosen-work.js';
import type { IncidentFrame } from './incident-frame.js';

/** A repair that a person chose in an incident, as a child workflow of it. */
export function chosenRepair(
  frame: IncidentFrame,
  { by, order, discoveredAt }: { readonly by: string; readonly order: RepairOrder; readonly discoveredAt: string },
): Choice<typeof repairTable> {
  const { cluster, operationId: own, workflowId: incident } = frame.operation.step;
  const table = formatTableName(order.table);
  return {
    ...{ by, what: 'repair' },
    idsOf: (attempt) => {
      const operationId = `${own}-${attempt}`;
      return { operationId, workflowId: repairWorkflowId(cluster, operationId) };
    },
    start: ({ workflowId, operationId }) =>
      startChild(repairTable, {
        workflowId,
        // An incident that is terminated or Reset must not stop a repair half way.
        parentClosePolicy: ParentClosePolicy.ABANDON,
        priority: priorityOf(workflowTypes.repairTable),
        staticSummary: visible(`repair ${table} of ${cluster}`),
        staticDetails: repairRunbook(cluster, table).details,
        args: [
          {
            ...{ cluster, requester: by, operationId, order },
            incident: { workflowId: incident, discoveredAt, cause: frame.cause },
          },
        ],
      }),
  };
}
