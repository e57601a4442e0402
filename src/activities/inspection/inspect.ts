import { Context } from '@temporalio/activity';
import { type Backup, clusterOfBackup, withoutContents } from '../../domain/backup/backup.js';
import { otherClusterOf } from '../../domain/backup/other-cluster.js';
import type { DrillOutcome } from '../../domain/drill/drill.js';
import { RepriseError } from '../../domain/errors.js';
import { collectFindings, type Finding } from '../../domain/findings.js';
import type { Inspection, InspectionResults } from '../../domain/operation/inspections.js';
import {
  actionOrder,
  adoptionOrder,
  drillOrder,
  exploreOrder,
  mediaOrder,
  readOrder,
  recoveryOrder,
  rotationOrder,
  migrationIncidentOrder,
  tableIncidentOrder,
} from '../../domain/operation/orders.js';
import { durationInWords } from '../../domain/text/text.js';
import { readJobs } from '../../process/jobs/supervisor.js';
import { lostEvidence } from '../../records/evidence/recorded.js';
import { type ActivityRun, wrapActivity } from '../activity-wrapper.js';
import type { HostActivities } from '../api.js';
import { makeActionPlan } from '../action/plan.js';
import { surveyAdoption } from '../backup/adopt.js';
import { orphansOf, previewRotation } from '../backup/rotate.js';
import {
  type ClusterContext,
  currentBackups,
  engineContext,
  engineFor,
  openClusterContext,
  openClusterContexts,
  policyOf,
  record,
} from '../cluster-context.js';
import { knownCluster, repositoryOf } from '../config-lookup.js';
import type { HostDependencies } from '../dependencies.js';
import { previewDrill } from '../drill/plan-drill.js';
import { makeMediaPlan } from '../media/plan.js';
import { makePlan } from '../recovery/plan.js';
import { pinFindings, pinLines } from '../sweep.js';
import { previewExploration } from '../temporary/temporary-instance.js';
import { findMigration } from '../incident/migration.js';
import { findKnown } from '../table/known-table.js';
import { surveyTable } from '../table/survey.js';
import { closedAsToldBy } from '../workflow-closed.js';
import { acceptRepository } from './accept-repository.js';
import { inPages, pageOf } from './answer-pages.js';
import { besideCopies, stopBeside } from './beside.js';
import { incidentReport, listIncidents, showIncident } from './incidents.js';
import { listRecoveries } from './recoveries.js';
import { keptItems } from './kept-data.js';
import { challengeKeys, proveKey } from './key-proof.js';
import { pageErrorLines } from './page-errors.js';
import { planStorage, storageUsage } from './storage.js';
import { historyOf } from './table-history.js';
import { walWindows } from './wal-health.js';
import { walTransactions } from './wal-transactions.js';
import { diagnoseCluster } from './watch.js';

type Inspector<K extends Inspection['kind']> = (
  question: Extract<Inspection, { kind: K }>,
  deps: HostDependencies,
  run: ActivityRun,
) => Promise<InspectionResults[K]>;

/** Reads and small writes of the command line, on the host that owns the data. */
const inspectors: { readonly [K in Inspection['kind']]: Inspector<K> } = {
  backups: async ({ cluster }, deps, run) => {
    const contexts = await openClusterContexts(deps, cluster);
    const found = await Promise.all(contexts.map((clusterContext) => currentBackups(clusterContext, run)));
    const pins = await Promise.all(contexts.map(pinLines));
    const pageErrors = await Promise.all(contexts.map((one, index) => pageErrorLines(one, found[index] ?? [])));
    return {
      backups: found.flatMap((own) => named(deps, own)).map(withoutContents),
      pins: pins.flat(),
      pageErrors: pageErrors.flat(),
    };
  },
  backup: async ({ id }, deps, run) => {
    const { backup, among } = await findBackup(deps, id, run);
    return { backup: named(deps, among).find((one) => one.id === backup.id) ?? backup };
  },
  hold: async ({ id, until, reason, by }, deps, run) => {
    const { clusterContext, backup } = await findBackup(deps, id, run);
    const operationId = `hold/${id}/${new Date().toISOString()}`;
    await record(clusterContext, { operationId }, 'hold', { kind: 'hold', backupId: id, until, reason }, by);
    const policy = policyOf(clusterContext, backup.policy);
    await engineFor(clusterContext, policy).holds?.hold(
      await engineContext(clusterContext, policy, run, operationId, []),
      backup.label,
    );
    return { backup: withoutContents((await findBackup(deps, id, run)).backup) };
  },
  kept: async ({ cluster }, deps) => ({ kept: await keptItems(deps, cluster) }),
  incidents: async ({ cluster }, deps) => ({ incidents: await listIncidents(deps, cluster) }),
  recoveries: async ({ cluster }, deps) => ({ recoveries: await listRecoveries(deps, cluster) }),
  incident: ({ id }, deps) => showIncident(deps, id),
  report: async ({ id, cluster, format }, deps) => {
    const text = await incidentReport(deps, id, { cluster, format });
    return format === undefined ? { markdown: text } : { markdown: '', html: text };
  },
  plan: async ({ kind: _kind, ...request }, deps, run) => {
    const clusterContext = await openClusterContext(deps, request.cluster);
    const order = readOrder(recoveryOrder, request.order);
    return { plan: await makePlan(clusterContext, { ...request, order, workflowId: 'dry-run' }, run) };
  },
  drills: async ({ cluster }, deps) => {
    const contexts = await drillContexts(deps, cluster);
    const states = await Promise.all(contexts.map(({ catalogue }) => catalogue.state()));
    const { firstRecordAt } = (cluster === undefined ? undefined : states[0]) ?? {};
    return {
      drills: states.flatMap(({ drills }) => drills),
      register: states.flatMap(({ register }) => register),
      lost: (await Promise.all(contexts.map((one, index) => lostOf(one, states[index]?.drills ?? [])))).flat(),
      ...(firstRecordAt === undefined ? {} : { firstRecordAt }),
    };
  },
  'drill-plan': async ({ kind: _kind, ...request }, deps, run) => {
    const order = readOrder(drillOrder, request.order);
    return { plan: await previewDrill(deps, { ...request, order, workflowId: 'dry-run' }, run) };
  },
  'explore-plan': async ({ kind: _kind, ...request }, deps, run) => {
    const { host: _host, ...order } = readOrder(exploreOrder, request.order);
    const clusterContext = await openClusterContext(deps, request.cluster);
    return { plan: await previewExploration(clusterContext, { ...request, order }, run) };
  },
  'media-plan': async ({ kind: _kind, ...request }, deps, run) => {
    const clusterContext = await openClusterContext(deps, request.cluster);
    const order = readOrder(mediaOrder, request.order);
    return { plan: await makeMediaPlan(clusterContext, { ...request, order, workflowId: 'dry-run' }, run) };
  },
  rotation: async ({ cluster, order }, deps, run) => {
    const { policy } = readOrder(rotationOrder, order);
    const clusterContext = await openClusterContext(deps, cluster);
    return { ...(await previewRotation(clusterContext, policy, run)), ...(await orphansOf(clusterContext)) };
  },
  adoption: async ({ cluster, order }, deps, run) =>
    surveyAdoption(await openClusterContext(deps, cluster), readOrder(adoptionOrder, order), run),
  beside: async ({ cluster }, deps) => ({ copies: await besideCopies(deps, cluster) }),
  'beside-stop': async (question, deps) => ({ stopped: await stopBeside(deps, question) }),
  diagnose: ({ cluster }, deps) => diagnoseCluster(deps, cluster),
  wal: async ({ cluster }, deps, run) => ({ windows: await walWindows(await openClusterContext(deps, cluster), run) }),
  'wal-transactions': async (request, deps, run) =>
    walTransactions(await openClusterContext(deps, request.cluster), request, run),
  'table-history': async ({ cluster, database, table }, deps, run) => ({
    history: await historyOf(await openClusterContext(deps, cluster), database, table, run),
  }),
  'migration-time': async ({ cluster, order }, deps, run) => ({
    time: await findMigration(await openClusterContext(deps, cluster), readOrder(migrationIncidentOrder, order), run),
  }),
  known: async ({ cluster, database, table }, deps, run) => ({
    known: await findKnown(await openClusterContext(deps, cluster), { database, table }, run),
  }),
  'table-survey': async ({ cluster, order }, deps, run) => ({
    survey: await surveyTable(await openClusterContext(deps, cluster), readOrder(tableIncidentOrder, order), run),
  }),
  jobs: async ({ cluster, operationId }, deps) => ({
    jobs: await readJobs((await openClusterContext(deps, cluster)).host.stateDir, operationId),
  }),
  'key-challenge': (question, deps) => challengeKeys(deps, question),
  'key-answer': (question, deps) => proveKey(deps, question),
  'storage-plan': async ({ repository }, deps, run) => ({ plan: await planStorage(deps, repository, run) }),
  'storage-usage': async ({ repository }, deps, run) => ({ usage: await storageUsage(deps, repository, run) }),
  'repository-accept': (question, deps, run) => acceptRepository(deps, question, run),
  action: async ({ kind: _kind, ...request }, deps, run) => {
    const clusterContext = await openClusterContext(deps, request.cluster);
    const order = readOrder(actionOrder, request.order);
    return { plan: await makeActionPlan(clusterContext, { ...request, order, workflowId: 'dry-run' }, run) };
  },
  page: async ({ id, page }, deps) => ({ text: await pageOf(deps, id, page) }),
  host: async ({ host }, deps, run) => ({
    findings: [
      ...(await deps.inspectHost(deps.config, host)),
      ...clockFindings(host, run),
      // Records that cannot be read hide nothing else that was found.
      ...(await collectFindings(`host/${host}/pins`, () => pinFindings(deps, closedAsToldBy(Context.current())))),
    ],
    configDigest: deps.config.digest,
  }),
};

/** The function for a kind of inspection. @throws RepriseError `usage` for a kind that this version does not know */
function inspectorFor(kind: string): Inspector<Inspection['kind']> {
  if (Object.hasOwn(inspectors, kind)) return inspectors[kind as Inspection['kind']] as Inspector<Inspection['kind']>;
  throw new RepriseError(
    'usage',
    `the worker of this host does not know the request "${kind}"`,
    'use the same version for the command line and the worker: reprise doctor shows which differ',
  );
}

export function inspectionActivities(deps: HostDependencies): Pick<HostActivities, 'answer'> {
  return {
    answer: wrapActivity('answer', async ({ question }, run) => {
      const answer = await inspectorFor(question.kind)(question as never, deps, run);
      return question.kind === 'page' ? answer : inPages(deps, answer);
    }),
  };
}

/** Clusters of this host, and those that are drilled here: the host of such a one may be down. */
function drillContexts(deps: HostDependencies, cluster: string | undefined): Promise<readonly ClusterContext[]> {
  if (cluster !== undefined) return openClusterContexts(deps, cluster);
  const here = Object.values(deps.config.clusters).filter(
    ({ host, drill }) => host === deps.host || drill?.host === deps.host,
  );
  return Promise.all(here.map(({ name }) => openClusterContext(deps, name)));
}

/** Backups of one cluster, oldest first; physical ones of another system identifier are named as such. */
function named(deps: HostDependencies, backups: readonly Backup[]): readonly Backup[] {
  return backups.map((backup) => {
    const physical = deps.engineOf(backup.engine).capabilities.method === 'data-directory';
    const otherCluster = physical ? otherClusterOf(backup, backups) : null;
    return otherCluster === null ? backup : { ...backup, otherCluster };
  });
}

async function findBackup(deps: HostDependencies, id: string, run: ActivityRun) {
  for (const clusterContext of await openClusterContexts(deps, knownCluster(deps.config, clusterOfBackup(id)))) {
    const among = await currentBackups(clusterContext, run);
    const backup = among.find((candidate) => candidate.id === id);
    if (backup) return { clusterContext, backup, among };
  }
  throw new RepriseError('not-found', `there is no backup "${id}"`, 'list the backups: reprise backup list');
}

/** More than this between two clocks makes times in plans and reports wrong. */
const BEHIND_SECONDS = 5;
/** A question waits up to 30 s for a worker; only what is more than that is the clock. */
const AHEAD_SECONDS = 35;

/** This host's clock against that of the Temporal server, which schedules by its own. */
function clockFindings(host: string, { aheadSeconds }: Pick<ActivityRun, 'aheadSeconds'>): readonly Finding[] {
  const check = `host/${host}/clock`;
  if (aheadSeconds >= -BEHIND_SECONDS && aheadSeconds <= AHEAD_SECONDS) {
    return [{ check, level: 'ok', message: `the clock of host ${host} agrees with Temporal's`, fix: null }];
  }
  const message = `the clock of host ${host} is ${durationInWords(Math.abs(aheadSeconds))} ${aheadSeconds < 0 ? 'behind' : 'ahead of'} Temporal's: schedules, expiries and reports are wrong by that`;
  return [{ check, level: 'problem', message, fix: 'let both use the same time servers: apt-get install chrony' }];
}

/** What the repository of a cluster's records should have of its drills. */
async function lostOf({ deps, cluster, user }: ClusterContext, drills: readonly DrillOutcome[]) {
  const storage = deps.openStorage(repositoryOf(deps.config, cluster.catalogue), user);
  return (await lostEvidence(storage, cluster.name, drills)).map((lost) => ({ ...lost, cluster: cluster.name }));
}
