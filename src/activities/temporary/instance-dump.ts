import { dirname, join } from 'node:path';
import type { PolicyConfig } from '../../domain/config.js';
import type { EngineContext } from '../../engines/engine.js';
import { makeScratchDirectory } from '../../postgres/server/scratch-directory.js';
import { createJobs } from '../../process/jobs/supervisor.js';
import type { ActivityRun } from '../activity-wrapper.js';
import { instanceConnection, instanceContext, type InstanceWork } from './planned-restore.js';

/** The engine of dumps: every cluster has PostgreSQL's own, whatever its policies are. */
export const DUMPS = 'logical';

export interface InstanceDump {
  /** Names the jobs, beside those of the restore. */
  readonly name: string;
  readonly databases: readonly string[];
  /** Directory that the dumps go into; absent: beside the data, and removed with it. */
  readonly repository?: string;
}

/** What the engine of dumps works with on a temporary instance: its server, and files in the scratch directory. */
export async function instanceDumpContext(
  work: InstanceWork,
  { name, databases, repository = join(dirname(work.instance.dataDir), 'dumps') }: InstanceDump,
  run: ActivityRun,
): Promise<EngineContext> {
  const { deps, host, user } = work.clusterContext;
  const context = await instanceContext(work, run);
  await makeScratchDirectory(repository, user);
  const operationId = `${work.restoreId}/${name}`;
  return {
    ...context,
    operationId,
    policy: policyOfDumps(context.policy, name),
    cluster: { ...context.cluster, databases, connection: instanceConnection(work) },
    storage: deps.openDescribed({ type: 'directory', values: { path: repository }, secrets: {} }, user),
    jobs: createJobs({
      ...{ stateDir: host.stateDir, operationId, user, locks: [] },
      ...{ retry: work.retry, signal: run.signal, leaveOnAbort: run.leaveOnAbort, report: run.report },
    }),
  };
}

/** Nothing of it is in the configuration, and nothing that it makes stays: at pg_dump's own level, most of its time would go into compressing. */
function policyOfDumps({ cluster, repository, retention }: PolicyConfig, name: string): PolicyConfig {
  return {
    ...{ name, cluster, engine: DUMPS, repository, enabled: true, retention, proof: 'none' as const },
    options: { compress: 1, restoreJobs: 1 },
  };
}
