import type { WorkflowHandle } from '@temporalio/client';
import type { BackupType } from '../domain/backup/backup.js';
import type { MediaTask } from '../domain/media/media.js';
import {
  adoptWorkflowId,
  backupWorkflowId,
  CONTROL_QUEUE,
  incidentWorkflowId,
  mediaWorkflowId,
  recoverWorkflowId,
  rotateWorkflowId,
  verifyMediaWorkflowId,
  workflowTypes,
} from '../domain/operation/names.js';
import type { ThawTier } from '../domain/storage/storage-classes.js';
import type { RecoveryTarget } from '../domain/target/target.js';
import type {
  AdoptInput,
  BackupInput,
  IncidentInput,
  MediaInput,
  RecoverInput,
  RotateInput,
  VerifyInput,
  VerifyMediaInput,
} from '../workflows/api.js';
import type { TemporalSession } from './connect.js';
import { newOperationId } from './operation-id.js';
import * as runbooks from '../domain/plan/runbooks.js';

/** Work that was started: its handle follows continue-as-new. */
export interface StartedOperation {
  readonly workflowId: string;
  readonly operationId: string;
  readonly handle: WorkflowHandle;
}

/** @throws `conflict` (as `WorkflowExecutionAlreadyStartedError`) when the same backup already runs. */
export function startBackup(
  session: TemporalSession,
  request: { cluster: string; policy: string; type: BackupType | 'auto'; requestedBy: string },
): Promise<StartedOperation> {
  const input: BackupInput = { ...request, operationId: newOperationId() };
  const id = backupWorkflowId(request.cluster, request.policy);
  return start(
    session,
    workflowTypes.backup,
    id,
    input.operationId,
    input,
    runbooks.backup(request.cluster, request.policy),
  );
}

export function startRotation(
  session: TemporalSession,
  request: { cluster: string; policy: string; requestedBy: string },
): Promise<StartedOperation> {
  const input: RotateInput = { ...request, operationId: newOperationId() };
  const id = rotateWorkflowId(request.cluster, request.policy);
  return start(
    session,
    workflowTypes.rotate,
    id,
    input.operationId,
    input,
    runbooks.rotation(request.cluster, request.policy),
  );
}

export function startVerification(
  session: TemporalSession,
  request: { cluster: string; backupId: string; restore: boolean; requestedBy: string },
): Promise<StartedOperation> {
  const input: VerifyInput = { ...request, operationId: newOperationId() };
  const id = `verify/${request.backupId}`;
  return start(
    session,
    workflowTypes.verify,
    id,
    input.operationId,
    input,
    runbooks.verification(request.backupId, request.restore),
  );
}

/** @throws `conflict` (as `WorkflowExecutionAlreadyStartedError`) when an adoption of this cluster already runs. */
export function startAdoption(
  session: TemporalSession,
  request: { cluster: string; policy?: string; from?: string; requestedBy: string },
): Promise<StartedOperation> {
  const input: AdoptInput = { ...request, operationId: newOperationId() };
  return start(
    session,
    workflowTypes.adopt,
    adoptWorkflowId(request.cluster),
    input.operationId,
    input,
    runbooks.adoption(request.cluster, request.from),
  );
}

export interface RecoveryRequest {
  readonly cluster: string;
  readonly policy?: string;
  readonly target: RecoveryTarget;
  readonly into: string;
  readonly pause: boolean;
  readonly database?: string;
  readonly thawTier?: ThawTier;
  readonly withMedia?: string;
  readonly requester: string;
}

/** Starts the planning; nothing is changed before the plan it makes is approved. */
export function startRecovery(session: TemporalSession, request: RecoveryRequest): Promise<StartedOperation> {
  const operationId = newOperationId();
  const input: RecoverInput = { ...request, operationId };
  const id = recoverWorkflowId(request.cluster, operationId);
  return start(
    session,
    workflowTypes.recover,
    id,
    operationId,
    input,
    runbooks.recovery(request.cluster, request.into),
  );
}

/** Starts the planning; nothing is changed before the plan it makes holds, and is approved where policy asks for that. */
export function startMedia(
  session: TemporalSession,
  request: { cluster: string; media: string; task: MediaTask; requester: string; confirmed?: boolean },
): Promise<StartedOperation> {
  const operationId = newOperationId();
  const input: MediaInput = { ...request, operationId };
  const { cluster, media, task } = request;
  return start(
    session,
    workflowTypes.media,
    mediaWorkflowId(cluster, operationId),
    operationId,
    input,
    runbooks.media(media, cluster, task.kind),
  );
}

/** @throws `conflict` (as `WorkflowExecutionAlreadyStartedError`) when the same verification already runs. */
export function startMediaVerification(
  session: TemporalSession,
  request: { cluster: string; media: string; sample: number },
): Promise<StartedOperation> {
  const input: VerifyMediaInput = { ...request, operationId: newOperationId() };
  const id = verifyMediaWorkflowId(request.cluster, request.media);
  return start(
    session,
    workflowTypes.verifyMedia,
    id,
    input.operationId,
    input,
    runbooks.mediaVerification(request.media),
  );
}

export function startIncident(
  session: TemporalSession,
  request: { cluster: string; scenario: IncidentInput['scenario']; requester: string },
): Promise<StartedOperation> {
  const operationId = newOperationId();
  const input: IncidentInput = { ...request, operationId };
  const id = incidentWorkflowId(request.cluster, request.scenario, operationId);
  return start(
    session,
    workflowTypes.incident,
    id,
    operationId,
    input,
    runbooks.incident(request.cluster, request.scenario),
  );
}

async function start(
  session: TemporalSession,
  type: string,
  workflowId: string,
  operationId: string | undefined,
  input: unknown,
  runbook: runbooks.OperationRunbook,
): Promise<StartedOperation> {
  const handle = await session.client.workflow.start(type, {
    workflowId,
    taskQueue: CONTROL_QUEUE,
    args: [input],
    memo: { operationId },
    workflowIdReusePolicy: 'ALLOW_DUPLICATE',
    workflowIdConflictPolicy: 'FAIL',
    staticSummary: runbook.summary,
    staticDetails: runbook.details,
  });
  return { workflowId, operationId: operationId ?? workflowId, handle };
}
