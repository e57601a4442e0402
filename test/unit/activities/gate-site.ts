import { join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import type { HostDependencies } from '../../../src/activities/dependencies.js';
import { createHostActivities } from '../../../src/activities/index.js';
import { openClusterContext, record } from '../../../src/activities/cluster-context.js';
import type { ApprovalPolicy, ClusterConfig } from '../../../src/domain/config.js';
import type { Plan, PlanBinding } from '../../../src/domain/plan/plan.js';
import { openHostState } from '../../../src/records/host-state.js';
import { openDirectory } from '../../../src/storage/directory/directory-storage.js';
import { tempDir } from '../../helpers/temp.js';
import { samplePlan } from '../records/samples.js';

/** One host with a state directory and a catalogue of its own; no server is asked for anything. */
export async function gateSite(approvers = 1, hooks: (root: string) => object = () => ({})) {
  const root = await tempDir('gate');
  const dataDir = join(root, 'main');
  const policy: ApprovalPolicy = {
    approvers,
    from: ['dba', 'ops'],
    requesterMayApprove: true,
    approveWithinSeconds: 3600,
    executeWithinSeconds: 3600,
    signatures: 'none',
  };
  const cluster = {
    name: 'mairie',
    host: 'db1',
    dataDir,
    catalogue: 'local',
    connection: { host: '127.0.0.1', port: 1, user: 'x', maintenanceDatabase: 'postgres' },
    policies: { physical: { name: 'physical', engine: 'pgbackrest' } },
    recovery: { targets: {} },
    hooks: hooks(root),
    checks: {},
    approvals: { recover: policy },
  };
  const storage = openDirectory({ path: join(root, 'repository') });
  const deps = (digest = 'config-1', engineConfig = 'engine-1', host = 'db1') =>
    ({
      config: {
        digest,
        hosts: Object.fromEntries(
          ['db1', 'db2'].map((name) => [
            name,
            { name, stateDir: join(root, 'state'), scratchDir: join(root, 'scratch') },
          ]),
        ),
        repositories: { local: { name: 'local', type: 'directory', options: {} } },
        clusters: {
          mairie: cluster as unknown as ClusterConfig,
          other: { ...cluster, name: 'other' } as unknown as ClusterConfig,
        },
      },
      host,
      openStorage: () => storage,
      jobUser: async () => null,
      engineOf: () => ({ configDigest: async () => engineConfig }),
    }) as unknown as HostDependencies;
  const here = deps();
  const session = await openClusterContext(here, 'mairie');
  const state = openHostState(join(root, 'state'));
  const activities = createHostActivities(here);
  const run = <I, O>(activity: (input: I) => Promise<O>, input: I, caller?: string | null): Promise<O> => {
    const workflowExecution =
      caller === null ? undefined : { workflowId: caller ?? 'recover/mairie/op-1', runId: 'run-1' };
    const environment = new MockActivityEnvironment(caller === undefined ? {} : { workflowExecution }, {
      logger: new DefaultLogger('ERROR'),
    });
    return environment.run(activity, input) as Promise<O>;
  };

  const plan = async (operationId: string, binding: Partial<PlanBinding> = {}, hoursAgo = 0): Promise<Plan> => {
    const approveBy = new Date(Date.now() + 3_600_000).toISOString();
    const made = samplePlan(
      { operationId, configDigest: 'config-1', dataDir, ...binding },
      { approveBy, createdAt: new Date(Date.now() - hoursAgo * 3_600_000).toISOString() },
    );
    await state.savePlan(made);
    await record(session, { operationId }, `plan/${made.digest}`, { kind: 'plan', plan: made });
    return made;
  };
  const step = ({ digest, binding }: Plan) => ({
    cluster: 'mairie',
    operationId: binding.operationId,
    workflowId: `recover/mairie/${binding.operationId}`,
    plan: digest,
  });
  const approve = (of: Plan, by: string) =>
    run(activities.recordApproval, { ...step(of), approval: { plan: of.digest.slice(0, 12), by, reason: 'seen' } });
  const approved = async (operationId: string): Promise<Plan> => {
    const made = await plan(operationId);
    await approve(made, 'dba');
    return made;
  };
  return { root, dataDir, deps, session, state, activities, run, plan, step, approve, approved };
}
