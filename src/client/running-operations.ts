import type { WorkflowExecutionInfo } from '@temporalio/client';
import { OPEN_EXECUTIONS, isPausedStatus } from '../domain/operation/executions.js';
import type { HeldTable } from '../domain/table/hold.js';
import { searchAttributes, webUiLink, workflowTypes } from '../domain/operation/names.js';
import type { TemporalSession } from './connect.js';

/** One line of `status` without a name. */
export interface RunningOperation {
  readonly workflowId: string;
  readonly kind: string;
  readonly cluster: string | null;
  readonly state: string;
  readonly startedAt: string;
  readonly webUi: string;
  /** A table that it keeps frozen, or is to keep; absent: it keeps none. */
  readonly held?: HeldTable;
  /** The incident that the table is kept frozen for, where it has ended without releasing it; nothing does it by itself. */
  readonly endedIncident?: string;
}

const shown = [
  workflowTypes.backup,
  workflowTypes.rotate,
  workflowTypes.verify,
  workflowTypes.adopt,
  workflowTypes.recover,
  workflowTypes.media,
  workflowTypes.verifyMedia,
  workflowTypes.drill,
  workflowTypes.compareTable,
  workflowTypes.explore,
  workflowTypes.locateTable,
  workflowTypes.blastRadius,
  workflowTypes.repairTable,
  workflowTypes.holdTable,
  workflowTypes.incident,
  workflowTypes.watch,
  workflowTypes.archive,
  workflowTypes.notify,
];

/** Where the type and what people call it differ. */
const kinds: Readonly<Record<string, string>> = {
  [workflowTypes.verify]: 'verify',
  [workflowTypes.verifyMedia]: 'verify-media',
  [workflowTypes.compareTable]: 'table-compare',
  [workflowTypes.locateTable]: 'table-locate',
  [workflowTypes.blastRadius]: 'table-blast-radius',
  [workflowTypes.repairTable]: 'table-repair',
  [workflowTypes.holdTable]: 'table-freeze',
};

/**
 * Operations that have not ended, paused ones too, from the server's list: it needs no worker, and lags by about a second. First what waits for a
 * person, then the newest; messages on their way, of which there may be many while a mail server is down, come last.
 */
export async function listRunningOperations(session: TemporalSession): Promise<readonly RunningOperation[]> {
  const types = shown.map((type) => `'${type}'`).join(', ');
  const lines: RunningOperation[] = [];
  const incidents = new Map<string, string>();
  for await (const execution of session.client.workflow.list({
    query: `WorkflowType IN (${types}) AND ${OPEN_EXECUTIONS}`,
  })) {
    const { held } = (execution.memo ?? {}) as { held?: HeldTable };
    const parent = execution.parentExecution?.workflowId;
    if (held !== undefined && parent != null) incidents.set(execution.workflowId, parent);
    lines.push({
      workflowId: execution.workflowId,
      kind: kinds[execution.type] ?? execution.type,
      cluster: attribute(execution, searchAttributes.cluster),
      state: listedState(execution),
      startedAt: execution.startTime.toISOString(),
      webUi: webUiLink(session.settings, execution.workflowId, execution.runId),
      ...(held === undefined ? {} : { held }),
    });
  }
  return withEndedIncidents(lines, incidents).sort((a, b) => rank(a) - rank(b) || (a.startedAt < b.startedAt ? 1 : -1));
}

/** @param incidents for which tables are kept frozen, by the workflow that keeps them so */
function withEndedIncidents(
  lines: readonly RunningOperation[],
  incidents: ReadonlyMap<string, string>,
): RunningOperation[] {
  const open = new Set(lines.map(({ workflowId }) => workflowId));
  return lines.map((line) => {
    const incident = incidents.get(line.workflowId);
    return line.held?.since == null || incident === undefined || open.has(incident)
      ? line
      : { ...line, endedIncident: incident };
  });
}

function rank({ kind, state }: RunningOperation): number {
  return kind === 'notify' ? 2 : state === 'running' ? 1 : 0;
}

/** State of an open execution, as the server's list has it. */
export function listedState(execution: WorkflowExecutionInfo): string {
  if (isPausedStatus(execution.status.name)) return 'paused';
  return attribute(execution, searchAttributes.state) ?? 'running';
}

function attribute(execution: WorkflowExecutionInfo, name: string): string | null {
  const value = execution.typedSearchAttributes.getAll().find(({ key }) => key.name === name)?.value;
  return typeof value === 'string' ? value : null;
}
