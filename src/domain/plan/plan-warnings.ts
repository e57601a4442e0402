import { whyNobodyApproves } from '../approval/approval-policy.js';
import { redact } from '../text/redact.js';
import { shortConfig } from '../operation/worker-identity.js';
import type { PlanTerms, PlanningRequest } from './plan-terms.js';
import type { PlanBinding } from './plan.js';
import type { RecoveryObservations, RecoverySource } from './recovery-observations.js';

/** What whoever approves has to know. */
export function planWarnings(
  terms: PlanTerms,
  { method, salvageFrom, restoreAs }: Pick<PlanBinding, 'method' | 'salvageFrom' | 'restoreAs'>,
  request: PlanningRequest,
  seen: RecoveryObservations,
): readonly string[] {
  const { source, coldFiles, media, replacesRunningServer, leftoverTargets = [] } = seen;
  const { cluster, host } = terms;
  const unseen = coldFiles?.notSeen ?? null;
  const nobody = whyNobodyApproves(terms.approval, request.requester);
  return [
    ...(nobody === null ? [] : [nobody]),
    ...(restoreAs === 'superuser'
      ? [
          `restore_as: superuser: code that is in the dump, of whoever owned something in the database, runs with the rights of role ${cluster.connection.user}`,
        ]
      : []),
    ...neverRestored(method, source),
    ...source.outline.warnings,
    ...leftoverTargets.map(
      ({ file, name, value }) =>
        `${file} sets ${name} = '${value}', left from an earlier recovery: this recovery overrides it; remove the line, for it would stop a standby`,
    ),
    ...(unseen === null
      ? []
      : [`it could not be checked whether files of the backup are in a storage class that must be thawed: ${unseen}`]),
    ...configurationDrift(terms, request),
    ...(host !== cluster.host ? onAnotherHost(terms, method, request.sourceAnswers) : []),
    ...(host === cluster.host && salvageFrom
      ? [
          `an earlier recovery was not completed: WAL that was not archived is taken from the old data that it kept, ${salvageFrom}`,
        ]
      : []),
    ...newCluster(source, cluster.dataDir),
    ...archivingChanges(seen),
    ...(replacesRunningServer ? ['the server is running: it is stopped, and its data directory is replaced'] : []),
    ...(media?.observed.warnings.map((warning) => `media ${request.order.withMedia}: ${warning}`) ?? []),
  ];
}

/** Reading a dump says nothing of what the server makes of its statements. */
function neverRestored(method: PlanBinding['method'], { outline, through }: RecoverySource): readonly string[] {
  if (method !== 'databases' || through !== undefined) return [];
  return outline.backups
    .filter(({ proven }) => proven?.level !== 'restored')
    .map(
      ({ id, proven }) =>
        `${id} was ${proven === null ? 'not verified' : 'read whole and verified'}, and never restored: what a restore cannot make shows only then, and is asked about before the databases are swapped; \`reprise backup verify ${id} --restore\` tries it first`,
    );
}

/** As the installation of a PostgreSQL package leaves one: it is not what was lost, and has nothing of it. */
function newCluster({ outline: { freshCluster } }: RecoverySource, dataDir = ''): readonly string[] {
  if (freshCluster === undefined) return [];
  // The upper half of the identifier is the second at which initdb ran.
  const made = new Date(Number(BigInt(freshCluster) >> 32n) * 1000).toISOString().replace('.000Z', 'Z');
  return [
    `${dataDir} contains a new, empty cluster (made ${made}; no database, table or tablespace was created in it), as installing PostgreSQL leaves one: it is put aside, and no WAL is taken from it`,
  ];
}

/** The archiving of the old server comes back, where there was any that the engine can work with. */
function archivingChanges({
  source: { policy },
  archiving,
  archivingIsUnfit,
  ownArchiveCommand: own,
}: RecoveryObservations): readonly string[] {
  if (!archiving || !own) return [];
  const { command, library } = archiving;
  if (command === '' && library === '')
    return [`the archive_command changes: it is empty now, and is set to \`${redact(own)}\``];
  return archivingIsUnfit
    ? [
        `the archive_command changes from \`${redact(command || library)}\`, with which ${policy?.engine} takes no backup, to \`${redact(own)}\``,
      ]
    : [];
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
  const state = sourceAnswers === false ? `the worker of host ${host} is not running: ` : '';
  const wal =
    method === 'data-directory'
      ? [`${state}WAL of ${name} that host ${host} did not archive is not salvaged: this recovery does not contain it`]
      : [];
  const isMounted = catalogueHost !== undefined && catalogueHost !== here;
  return isMounted
    ? [
        ...wal,
        `repository ${catalogue} is a directory of host ${catalogueHost}; the directory at the same path on this host is used: make sure that it is the same directory, and not an old copy`,
      ]
    : wal;
}
