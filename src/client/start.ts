import type { WorkflowHandle } from '@temporalio/client';
import { randomBytes } from 'node:crypto';
import {
  actionWorkflowId,
  adoptWorkflowId,
  backupWorkflowId,
  drillWorkflowId,
  exploreWorkflowId,
  blastRadiusWorkflowId,
  holdWorkflowId,
  locateWorkflowId,
  CONTROL_QUEUE,
  incidentWorkflowId,
  mediaWorkflowId,
  recoverWorkflowId,
  repairWorkflowId,
  rotateWorkflowId,
  tableComparisonWorkflowId,
  verifyMediaWorkflowId,
  workflowTypes,
} from '../domain/operation/names.js';
import { priorityOf } from '../domain/operation/priorities.js';
import {
  type OperationRunbook,
  actionRunbook,
  adoptionRunbook,
  backupRunbook,
  comparisonRunbook,
  drillRunbook,
  exploreRunbook,
  blastRadiusRunbook,
  holdRunbook,
  locateRunbook,
  incidentRunbook,
  mediaRunbook,
  mediaVerificationRunbook,
  recoveryRunbook,
  repairRunbook,
  rotationRunbook,
  verificationRunbook,
} from '../domain/plan/runbooks.js';
import type {
  ActionOrder,
  AdoptionOrder,
  BackupOrder,
  ComparisonOrder,
  DrillOrder,
  ExploreOrder,
  BlastRadiusOrder,
  HoldOrder,
  LocateOrder,
  MediaVerificationOrder,
  OperationRequest,
  RecoveryOrder,
  RepairOrder,
  RotationOrder,
  MigrationIncidentOrder,
  TableIncidentOrder,
  VerificationOrder,
} from '../domain/operation/orders.js';
import { incidentTable } from '../domain/table/incident-text.js';
import { formatTableName } from '../domain/table/table-name.js';
import { formatTarget } from '../domain/target/target.js';
import { visible } from '../domain/text/text.js';
import type { HoldInput, IncidentInput, MediaInput, OperationInput, RepairInput } from '../workflows/api.js';
import type { TemporalSession } from './connect.js';

/** Work that was started: its handle follows continue-as-new. */
export interface StartedOperation {
  readonly workflowId: string;
  readonly operationId: string;
  readonly handle: WorkflowHandle;
}

/** Id of one operation, made once and kept in its first input: UTC time for people, 6 hex digits against collisions. */
export function newOperationId(now = new Date()): string {
  const stamp = now.toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
  return `${stamp}-${randomBytes(3).toString('hex')}`;
}

/** @throws `conflict` (as `WorkflowExecutionAlreadyStartedError`) when the same backup already runs. */
export function startBackup(
  session: TemporalSession,
  request: OperationRequest<BackupOrder>,
): Promise<StartedOperation> {
  const { cluster, order } = request;
  return start(session, {
    type: workflowTypes.backup,
    workflowId: backupWorkflowId(cluster, order.policy),
    input: withOperationId(request),
    runbook: backupRunbook(cluster, order.policy),
  });
}

export function startRotation(
  session: TemporalSession,
  request: OperationRequest<RotationOrder>,
): Promise<StartedOperation> {
  const { cluster, order } = request;
  return start(session, {
    type: workflowTypes.rotate,
    workflowId: rotateWorkflowId(cluster, order.policy),
    input: withOperationId(request),
    runbook: rotationRunbook(cluster, order.policy),
  });
}

export function startVerification(
  session: TemporalSession,
  request: OperationRequest<VerificationOrder>,
): Promise<StartedOperation> {
  const { backupId, restore } = request.order;
  return start(session, {
    type: workflowTypes.verify,
    workflowId: `verify/${backupId}`,
    input: withOperationId(request),
    runbook: verificationRunbook(backupId, restore),
  });
}

/** @throws `conflict` (as `WorkflowExecutionAlreadyStartedError`) when an adoption of this cluster already runs. */
export function startAdoption(
  session: TemporalSession,
  request: OperationRequest<AdoptionOrder>,
): Promise<StartedOperation> {
  const { cluster, order } = request;
  return start(session, {
    type: workflowTypes.adopt,
    workflowId: adoptWorkflowId(cluster),
    input: withOperationId(request),
    runbook: adoptionRunbook(cluster, order.from),
  });
}

/** Starts the planning; nothing is changed before the plan it makes is approved, or confirmed on the host. */
export function startAction(
  session: TemporalSession,
  request: OperationRequest<ActionOrder> & { subject: string },
): Promise<StartedOperation> {
  const { subject, ...rest } = request;
  const { cluster, order } = rest;
  const input = withOperationId(rest);
  return start(session, {
    type: workflowTypes.action,
    workflowId: actionWorkflowId(order.kind, cluster, input.operationId),
    input,
    runbook: actionRunbook(order.kind, subject),
  });
}

/** Starts the planning; nothing is changed before the plan it makes is approved. */
export function startRecovery(
  session: TemporalSession,
  request: OperationRequest<RecoveryOrder>,
): Promise<StartedOperation> {
  const { cluster, order } = request;
  const input = withOperationId(request);
  return start(session, {
    type: workflowTypes.recover,
    workflowId: recoverWorkflowId(cluster, input.operationId),
    input,
    runbook: recoveryRunbook(cluster, order.into),
  });
}

/** Starts the planning; nothing is changed before the plan is made again the same, and approved where policy asks. */
export function startMedia(
  session: TemporalSession,
  request: Omit<MediaInput, 'operationId'>,
): Promise<StartedOperation> {
  const { cluster, order } = request;
  const input = { ...request, operationId: newOperationId() };
  return start(session, {
    type: workflowTypes.media,
    workflowId: mediaWorkflowId(cluster, input.operationId),
    input,
    runbook: mediaRunbook(order.media, cluster, order.task.kind),
  });
}

/** @throws `conflict` (as `WorkflowExecutionAlreadyStartedError`) when the same verification already runs. */
export function startMediaVerification(
  session: TemporalSession,
  request: OperationRequest<MediaVerificationOrder>,
): Promise<StartedOperation> {
  const { cluster, order } = request;
  return start(session, {
    type: workflowTypes.verifyMedia,
    workflowId: verifyMediaWorkflowId(cluster, order.media),
    input: withOperationId(request),
    runbook: mediaVerificationRunbook(order.media),
  });
}

export function startDrill(session: TemporalSession, request: OperationRequest<DrillOrder>): Promise<StartedOperation> {
  const { cluster } = request;
  const input = withOperationId(request);
  return start(session, {
    type: workflowTypes.drill,
    workflowId: drillWorkflowId(cluster, input.operationId),
    input,
    runbook: drillRunbook(cluster),
  });
}

export function startExploration(
  session: TemporalSession,
  request: OperationRequest<ExploreOrder>,
): Promise<StartedOperation> {
  const { cluster, order } = request;
  const input = withOperationId(request);
  return start(session, {
    type: workflowTypes.explore,
    workflowId: exploreWorkflowId(cluster, input.operationId),
    input,
    runbook: exploreRunbook(cluster, formatTarget(order.target)),
  });
}

export function startTableComparison(
  session: TemporalSession,
  request: OperationRequest<ComparisonOrder>,
): Promise<StartedOperation> {
  const { cluster, order } = request;
  const input = withOperationId(request);
  return start(session, {
    type: workflowTypes.compareTable,
    workflowId: tableComparisonWorkflowId(cluster, input.operationId),
    input,
    runbook: comparisonRunbook(formatTableName(order.table), cluster, formatTarget(order.good)),
  });
}

/** Starts the planning; nothing is changed before the change set it makes is approved. */
export function startRepair(
  session: TemporalSession,
  request: OperationRequest<RepairOrder> & Pick<RepairInput, 'planOnly'>,
): Promise<StartedOperation> {
  const { cluster, order } = request;
  const input = withOperationId(request);
  return start(session, {
    type: workflowTypes.repairTable,
    workflowId: repairWorkflowId(cluster, input.operationId),
    input,
    runbook: repairRunbook(cluster, formatTableName(order.table)),
  });
}

/** Starts the planning; nothing is blocked before the approval. */
export function startHold(
  session: TemporalSession,
  request: OperationRequest<HoldOrder> & Pick<HoldInput, 'planOnly'>,
): Promise<StartedOperation> {
  const { cluster, order } = request;
  const input = withOperationId(request);
  return start(session, {
    type: workflowTypes.holdTable,
    workflowId: holdWorkflowId(cluster, input.operationId),
    input,
    runbook: holdRunbook(cluster, formatTableName(order.table)),
  });
}

export function startLocate(
  session: TemporalSession,
  request: OperationRequest<LocateOrder>,
): Promise<StartedOperation> {
  const { cluster, order } = request;
  const input = withOperationId(request);
  return start(session, {
    type: workflowTypes.locateTable,
    workflowId: locateWorkflowId(cluster, input.operationId),
    input,
    runbook: locateRunbook(cluster, formatTableName(order.table)),
  });
}

export function startBlastRadius(
  session: TemporalSession,
  request: OperationRequest<BlastRadiusOrder>,
): Promise<StartedOperation> {
  const { cluster, order } = request;
  const input = withOperationId(request);
  return start(session, {
    type: workflowTypes.blastRadius,
    workflowId: blastRadiusWorkflowId(cluster, input.operationId),
    input,
    runbook: blastRadiusRunbook(cluster, formatTableName(order.table), order.xid),
  });
}

export function startIncident(
  session: TemporalSession,
  request: { cluster: string; requester: string } & (
    | { scenario: 'instance-loss' }
    | { scenario: 'table-corruption'; order: TableIncidentOrder }
    | { scenario: 'bad-migration'; order: MigrationIncidentOrder }
  ),
): Promise<StartedOperation> {
  const { cluster, scenario } = request;
  const input: IncidentInput = { ...request, operationId: newOperationId() };
  const about = aboutOf(request);
  return start(session, {
    type: workflowTypes.incident,
    workflowId: incidentWorkflowId(cluster, scenario, input.operationId),
    input,
    runbook: incidentRunbook(cluster, scenario, about),
  });
}

/** What the incident is about, where that is not the whole cluster. */
function aboutOf(request: Parameters<typeof startIncident>[1]): string | undefined {
  switch (request.scenario) {
    case 'table-corruption':
      return incidentTable(request.order);
    case 'bad-migration':
      return request.order.database;
    case 'instance-loss':
      return undefined;
  }
}

function withOperationId<Order>(request: OperationRequest<Order>): Required<OperationInput<Order>> {
  return { ...request, operationId: newOperationId() };
}

interface Start {
  readonly type: string;
  readonly workflowId: string;
  readonly input: { readonly operationId: string };
  readonly runbook: OperationRunbook;
}

async function start(session: TemporalSession, { type, workflowId, input, runbook }: Start): Promise<StartedOperation> {
  const { operationId } = input;
  const handle = await session.client.workflow.start(type, {
    workflowId,
    taskQueue: CONTROL_QUEUE,
    args: [input],
    memo: { operationId },
    workflowIdReusePolicy: 'ALLOW_DUPLICATE',
    workflowIdConflictPolicy: 'FAIL',
    staticSummary: visible(runbook.summary),
    staticDetails: runbook.details,
    priority: priorityOf(type),
  });
  return { workflowId, operationId, handle };
}
