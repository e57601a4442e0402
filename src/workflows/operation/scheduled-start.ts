import { defineSearchAttributeKey } from '@temporalio/common';
import { workflowInfo } from '@temporalio/workflow';

const SCHEDULED = defineSearchAttributeKey('TemporalScheduledStartTime', 'DATETIME');

/** When this run was due; undefined where no schedule started it. */
export function scheduledStart(): Date | undefined {
  return workflowInfo().typedSearchAttributes.get(SCHEDULED);
}
