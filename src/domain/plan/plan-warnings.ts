import { shortConfig } from '../operation/worker-identity.js';
import type { PlanTerms, PlanningRequest } from './plan-terms.js';
import type { PlanBinding } from './plan.js';
import type { RecoveryObservations } from './recovery-observations.js';

/** What whoever approves has to know. */
export function planWarnings(
  terms: PlanTerms,
  { method, salvageFrom }: Pick<PlanBinding, 'method' | 'salvageFrom'>,
  request: PlanningRequest,
  { source, coldFiles, media, replacesRunningServer }: RecoveryObservations,
): readonly string[] {
  const { cluster, host } = terms;
  const unseen = coldFiles?.notSeen ?? null;
  return [
    ...source.outline.warnings,
    ...(unseen === null
      ? []
      : [`whether files of the backup lie in a storage class that has to be thawed could not be looked at: ${unseen}`]),
    ...configurationDrift(terms, request),
    ...(host !== cluster.host ? onAnotherHost(terms, method, request.sourceAnswers) : []),
    ...(host === cluster.host && salvageFrom
      ? [`an earlier recovery was given up: WAL that was not archived is taken from what it put aside, ${salvageFrom}`]
      : []),
    ...(replacesRunningServer ? ['the server answers: it is stopped, and its data directory replaced'] : []),
    ...(media?.observed.warnings.map((warning) => `media ${request.order.withMedia}: ${warning}`) ?? []),
  ];
}

/** The digest of this host is what is approved; a workflow that goes by another configuration may do other steps. */
function configurationDrift(
  { host, configDigest }: PlanTerms,
  { controlDigest = configDigest }: PlanningRequest,
): readonly string[] {
  if (controlDigest === configDigest) return [];
  return [
    `the workflow runs with another configuration (${shortConfig(controlDigest)}) than host ${host} (${shortConfig(configDigest)}): reprise doctor says which worker to restart`,
  ];
}

/** A recovery onto another host has what both hosts can read, and nothing more. */
function onAnotherHost(
  { cluster: { name, host, catalogue }, host: here, catalogueHost }: PlanTerms,
  method: PlanBinding['method'],
  sourceAnswers: boolean | undefined,
): readonly string[] {
  const state = sourceAnswers === false ? `no worker of host ${host} answers: ` : '';
  const wal =
    method === 'data-directory'
      ? [`${state}WAL of ${name} that host ${host} did not archive is not salvaged: it is lost to this recovery`]
      : [];
  const isMounted = catalogueHost !== undefined && catalogueHost !== here;
  return isMounted
    ? [
        ...wal,
        `repository ${catalogue} is a directory of host ${catalogueHost}; what is at the same path here is used: see that it is the same, and not an old copy`,
      ]
    : wal;
}
