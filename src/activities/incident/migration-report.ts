import type { MigrationFindings, MigrationTime } from '../../domain/incident/migration.js';
import type { MigrationIncidentOrder } from '../../domain/operation/orders.js';
import { migrationIncidentReport } from '../../reports/incident/report.js';
import type { StepInput } from '../api.js';
import type { ClusterContext } from '../cluster-context.js';
import { recordedOf } from '../table/incident.js';
import { writeReport } from './write-report.js';

/** Writes the document of a migration that went wrong; returns its key. */
export async function writeMigrationReport(
  clusterContext: ClusterContext,
  step: StepInput & {
    readonly order: MigrationIncidentOrder;
    readonly discoveredAt: string;
    readonly time: MigrationTime;
    readonly findings: MigrationFindings | null;
    readonly recovery: string | null;
  },
): Promise<string> {
  const { catalogue, cluster, deps } = clusterContext;
  const { operationId, workflowId, order, discoveredAt, time, findings, recovery } = step;
  const outcomes = (await catalogue.state()).outcomes;
  const report = migrationIncidentReport(
    {
      ...{ cluster: cluster.name, workflowId, order, discoveredAt, time, findings },
      recovery: recovery === null ? null : (outcomes.get(recovery)?.outcome ?? null),
      ...(await recordedOf(clusterContext, operationId, workflowId)),
    },
    deps.config.language,
  );
  return writeReport(clusterContext, operationId, report);
}
