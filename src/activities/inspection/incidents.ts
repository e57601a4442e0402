import type { CatalogueState } from '../../domain/backup/catalogue.js';
import { RepriseError } from '../../domain/errors.js';
import type { IncidentLine, InspectionResults } from '../../domain/operation/inspections.js';
import { type ClusterContext, openClusterContexts } from '../cluster-context.js';
import { knownCluster } from '../config-lookup.js';
import type { HostDependencies } from '../dependencies.js';

/** Incidents of the clusters of this host, or of the one named. */
export async function listIncidents(deps: HostDependencies, cluster?: string): Promise<readonly IncidentLine[]> {
  const found = await Promise.all(
    (await openClusterContexts(deps, cluster)).map(async (clusterContext) =>
      incidentLines(clusterContext, await clusterContext.catalogue.state()),
    ),
  );
  return found.flat();
}

/** One incident with the records of its operations. */
export async function showIncident(deps: HostDependencies, id: string): Promise<InspectionResults['incident']> {
  const { clusterContext, line, operationId } = await findIncident(deps, id);
  const records = (await clusterContext.catalogue.records()).filter(
    (entry) => entry.operationId === operationId || entry.operationId.startsWith(`${operationId}-`),
  );
  return {
    incident: line,
    records,
    outcome: (await clusterContext.catalogue.state()).outcomes.get(operationId)?.outcome ?? null,
  };
}

/** The incident document in Markdown, or as HTML where it was written so. */
export async function incidentReport(
  deps: HostDependencies,
  id: string,
  { cluster, format }: { readonly cluster?: string | undefined; readonly format?: 'html' | undefined } = {},
): Promise<string> {
  const operationId = operationOfId(id);
  for (const clusterContext of await openClusterContexts(
    deps,
    cluster ?? knownCluster(deps.config, id.split('/')[1]),
  )) {
    const found = await clusterContext.catalogue.incidentDocument(operationId, format);
    if (found !== null) return found;
  }
  throw new RepriseError(
    'not-found',
    `there is no incident document of ${id}${format === undefined ? '' : ' as HTML'}`,
    format === undefined ? withoutDocument(id) : `print it without --html: reprise incident report ${id}`,
  );
}

/** Repairs and recoveries that belong to no incident have documents too. */
function withoutDocument(id: string): string {
  const meanwhile = id.includes('/') ? `reprise status ${id}` : 'reprise incident list';
  return `it is written when a recovery ends, and when the rows of a repaired table are checked; meanwhile: ${meanwhile}`;
}

const CLOSED = ['closed', 'dismissed'];

function incidentLines({ cluster }: ClusterContext, state: CatalogueState): readonly IncidentLine[] {
  return [...state.incidents.values()].map((incident) => ({
    id: incident.id,
    cluster: cluster.name,
    scenario: incident.scenario,
    state: incident.state,
    openedAt: incident.openedAt,
    closedAt: CLOSED.includes(incident.state) ? incident.updatedAt : null,
  }));
}

async function findIncident(deps: HostDependencies, id: string) {
  for (const clusterContext of await openClusterContexts(deps, knownCluster(deps.config, id.split('/')[1]))) {
    const state = await clusterContext.catalogue.state();
    const incident = [...state.incidents.values()].find(
      (candidate) => candidate.id === id || candidate.operationId === operationOfId(id),
    );
    const line = incidentLines(clusterContext, state).find((candidate) => candidate.id === incident?.id);
    if (incident && line) return { clusterContext, line, operationId: incident.operationId };
  }
  throw new RepriseError('not-found', `there is no incident "${id}"`, 'list the incidents: reprise incident list');
}

/** The operation id is the last part of a workflow id. */
function operationOfId(id: string): string {
  return id.slice(id.lastIndexOf('/') + 1);
}
