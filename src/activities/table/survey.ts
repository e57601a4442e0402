import type { TableIncidentOrder } from '../../domain/operation/orders.js';
import { suspicionAgainst } from '../../domain/table/history.js';
import type { TableSurvey } from '../../domain/table/incident.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { withClient } from '../../postgres/connection/with-client.js';
import type { ActivityRun } from '../activity-wrapper.js';
import type { ClusterContext } from '../cluster-context.js';
import { historyOf } from '../inspection/table-history.js';
import { orProblem } from './or-problem.js';
import { rowsIfThere } from './repair-session.js';

/** Backups whose rows are shown. */
const SHOWN_BACKUPS = 6;

/** Rows of the table in the last backups and now, and what a repair would need. Changes nothing. */
export async function surveyTable(
  clusterContext: ClusterContext,
  order: TableIncidentOrder,
  run: ActivityRun,
): Promise<TableSurvey> {
  const { cluster } = clusterContext;
  const { database, table } = order;
  const problems: string[] = [];
  const all = await orProblem(
    problems,
    'the backups could not be read',
    () => historyOf(clusterContext, database, table, run),
    [],
  );
  const counted = await orProblem(
    problems,
    'the rows in production could not be counted',
    async () => ({ rows: await withClient(cluster.connection, database, (client) => rowsIfThere(client, table)) }),
    null,
  );
  const name = formatTableName(table);
  if (counted?.rows === null)
    problems.push(
      `there is no table ${name} in database ${database} now: it was dropped, or its name is written in another way`,
    );
  // One that was dropped has lost all that the backups have.
  const rowsNow = counted === null ? null : (counted.rows ?? (all.length > 0 ? 0 : null));
  if (cluster.approvals['table-repair'] === undefined)
    problems.push(
      `no policy says who may approve a repair: add clusters.${cluster.name}.approvals.table-repair to reprise.yml`,
    );
  const configured = Object.values(cluster.tables ?? {}).find(
    (one) => one.database === database && formatTableName(one.table) === name,
  );
  return {
    history: all.slice(-SHOWN_BACKUPS).map(({ backupId, policy, at, rows, change, suspicion }) => ({
      ...{ backupId, policy, at, rows, change, suspicion },
    })),
    rowsNow,
    suspicion: rowsNow === null ? null : suspicionAgainst(all, rowsNow, configured?.suspect ?? undefined),
    blocks: configured !== undefined && (configured.freeze !== undefined || configured.hooks.length > 0),
    problems,
  };
}
