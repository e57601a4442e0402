import { WithStartWorkflowOperation, type WorkflowHandle } from '@temporalio/client';
import type { Workflow } from '@temporalio/common';
import { type LeaseOwner, type LeaseRequest, noLeases } from '../../src/domain/operation/lease.js';
import type { LockAnswer, LockGrant, OwnedClaim } from '../../src/domain/operation/locks.js';
import {
  CONTROL_QUEUE,
  lockWorkflowId,
  queryNames,
  updateNames,
  workflowTypes,
} from '../../src/domain/operation/names.js';
import { onCleanup } from '../helpers/cleanup.js';
import { pause } from '../helpers/until.js';
import type { Lab } from './lab.js';

/** The lock of one cluster, claimed as the control activities claim it. */
export class Locks {
  readonly handle: WorkflowHandle;

  constructor(
    private readonly lab: Lab,
    private readonly cluster: string,
  ) {
    this.handle = lab.client.workflow.getHandle(lockWorkflowId(cluster));
    onCleanup(() => this.handle.terminate('the test is over').catch(() => undefined));
  }

  acquire(
    request: Pick<OwnedClaim, 'operationId' | 'kind'> & Partial<OwnedClaim>,
    how: { waits?: boolean; lost?: number } = {},
  ): Promise<LockAnswer> {
    const startWorkflowOperation = new WithStartWorkflowOperation(workflowTypes.lock, {
      workflowId: lockWorkflowId(this.cluster),
      taskQueue: CONTROL_QUEUE,
      args: [{ cluster: this.cluster, state: noLeases }],
      workflowIdConflictPolicy: 'USE_EXISTING',
    });
    const claim: OwnedClaim = {
      policy: 'nightly',
      engine: 'logical',
      repository: 'local',
      ...this.owner(request.operationId),
      ...request,
    };
    return this.lab.client.workflow.executeUpdateWithStart<Workflow, LockAnswer, [LeaseRequest<OwnedClaim>]>(
      updateNames.acquire,
      { args: [{ claim, ...how }], startWorkflowOperation },
    );
  }

  /** Workflows of the names that stand for operations here. */
  private owner(operationId: string): LeaseOwner {
    return { workflowId: `work/${operationId}`, runId: `first run of ${operationId}` };
  }

  /** The token of a claim that must be granted. */
  async token(operationId: string): Promise<number> {
    const answer = await this.acquire({ operationId, kind: 'backup' });
    if (!answer.granted) throw new Error(`held by ${answer.holder.operationId}`);
    return answer.token;
  }

  async release(operationId: string): Promise<void> {
    await this.handle.executeUpdate<void, [LeaseOwner]>(updateNames.release, { args: [this.owner(operationId)] });
  }

  holders(): Promise<readonly LockGrant[]> {
    return this.handle.query<readonly LockGrant[]>(queryNames.holders);
  }

  async ended(): Promise<void> {
    const since = Date.now();
    while ((await this.handle.describe()).status.name === 'RUNNING') await pause(since);
  }
}
