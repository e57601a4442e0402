import { ActivityCancellationDetails } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import type { DrillActivities } from '../../src/activities/api.js';
import type { HostDependencies } from '../../src/activities/dependencies.js';
import { stagingChecks } from '../../src/activities/drill/check-staging.js';
import { evidenceActivities } from '../../src/activities/drill/seal-evidence.js';
import { drillPlanning } from '../../src/activities/drill/plan-drill.js';
import { stagingSteps } from '../../src/activities/drill/staging-steps.js';
import type { DrillPlan, DrillRestored } from '../../src/domain/drill/drill.js';
import type { DrillOrder } from '../../src/domain/operation/orders.js';

export type PlaceActivities = Pick<
  DrillActivities,
  | 'planDrill'
  | 'wipeStaging'
  | 'restoreStaging'
  | 'startStaging'
  | 'checkStaging'
  | 'crossCheck'
  | 'openStaging'
  | 'closeStaging'
  | 'sealEvidence'
>;

/** The steps of drills on their staging host, called as a workflow calls them, without one. */
export class Drills {
  private readonly activities: PlaceActivities;

  constructor(
    deps: HostDependencies,
    private readonly cluster = 'mairie',
  ) {
    this.activities = {
      ...drillPlanning(deps),
      ...stagingSteps(deps),
      ...stagingChecks(deps),
      ...evidenceActivities(deps),
    };
  }

  step(operationId: string) {
    return { cluster: this.cluster, operationId, workflowId: `drill/${this.cluster}/${operationId}` };
  }

  /** `shutDown`: called with what ends the worker under way, which leaves jobs alone. */
  run<N extends keyof PlaceActivities>(
    name: N,
    operationId: string,
    input: object = {},
    shutDown?: (stop: () => void) => void,
  ): Promise<Awaited<ReturnType<PlaceActivities[N]>>> {
    const { workflowId } = this.step(operationId);
    const environment = new MockActivityEnvironment(
      { workflowExecution: { workflowId, runId: `run-of-${operationId}` } },
      { logger: new DefaultLogger('ERROR') },
    );
    shutDown?.(() => environment.cancel('WORKER_SHUTDOWN', new ActivityCancellationDetails({ workerShutdown: true })));
    const activity = this.activities[name] as (given: object) => Promise<Awaited<ReturnType<PlaceActivities[N]>>>;
    return environment.run(activity, { ...this.step(operationId), ...input });
  }

  plan(operationId: string, order: DrillOrder = {}): Promise<DrillPlan> {
    return this.run('planDrill', operationId, { order, requester: 'test' });
  }

  /** Empties staging, restores and starts one of the plan. */
  async restore({ operationId, digest: plan }: DrillPlan, restore: number): Promise<DrillRestored> {
    await this.run('wipeStaging', operationId, { plan });
    await this.run('restoreStaging', operationId, { plan, restore });
    return this.run('startStaging', operationId, { plan, restore });
  }

  /** Checks what was restored; each check as `NAME STATUS: DETAIL`. */
  async check({ operationId, digest: plan }: DrillPlan, restore: number): Promise<readonly string[]> {
    const checks = await this.run('checkStaging', operationId, { plan, restore });
    return checks.map(({ name, status, detail }) => `${name} ${status}: ${detail}`);
  }
}
