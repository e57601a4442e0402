import { clusterOfBackup } from '../../domain/backup/backup.js';
import { RepriseError } from '../../domain/errors.js';
import type { InspectionResults, IncidentLine, Inspection } from '../../domain/operation/inspections.js';
import { adoptionOrder, mediaOrder, readOrder, recoveryOrder, rotationOrder } from '../../domain/operation/orders.js';
import type { CatalogueState } from '../../domain/backup/catalogue.js';
import type { KeptItem } from '../../domain/backup/records.js';
import { dropOldData } from '../../postgres/old-data/drop-old-data.js';
import { readJobs } from '../../process/jobs/supervisor.js';
import { openHostState } from '../../records/host-state.js';
import { surveyAdoption } from '../backup/adopt.js';
import type { HostActivities } from '../api.js';
import { planRotation, withoutContents } from '../backup/backups.js';
import type { HostDependencies } from '../dependencies.js';
import { type ActivityRun, wrapActivity } from '../activity-wrapper.js';
import { clockFindings } from './host-clock.js';
import { challengeKeys, proveKey } from './key-proof.js';
import { makeMediaPlan } from '../media/plan.js';
import { makePlan } from '../recovery/plan.js';
import {
  type ClusterContext,
  currentBackups,
  engineContext,
  engineFor,
  openClusterContext,
  policyOf,
  record,
} from '../cluster-context.js';
import { applyStorage, planStorage } from './storage-settings.js';
import { storageUsage } from './storage-volumes.js';
import { walWindows } from './wal-health.js';
import { diagnoseCluster } from './watch.js';

type Answer<K extends Inspection['kind']> = (
  question: Extract<Inspection, { kind: K }>,
  deps: HostDependencies,
  run: ActivityRun,
) => Promise<InspectionResults[K]>;

/** Reads and small writes of the command line, on the host that owns the data. */
const answers: { readonly [K in Inspection['kind']]: Answer<K> } = {
  backups: async ({ cluster }, deps, run) => {
    const found = await Promise.all((await sessionsOf(deps, cluster)).map((session) => currentBackups(session, run)));
    return { backups: found.flat().map(withoutContents) };
  },
  backup: async ({ id }, deps, run) => ({ backup: (await findBackup(deps, id, run)).backup }),
  hold: async ({ id, until, reason, by }, deps, run) => {
    const { session, backup } = await findBackup(deps, id, run);
    const operationId = `hold/${id}/${new Date().toISOString()}`;
    await record(session, { operationId }, 'hold', { kind: 'hold', backupId: id, until, reason }, by);
    const policy = policyOf(session, backup.policy);
    await engineFor(session, policy).holds?.hold(
      await engineContext(session, policy, run, operationId, []),
      backup.label,
    );
    return { backup: withoutContents((await findBackup(deps, id, run)).backup) };
  },
  release: async ({ id, by }, deps, run) => {
    const { session, backup } = await findBackup(deps, id, run);
    const operationId = `release/${id}/${new Date().toISOString()}`;
    await record(session, { operationId }, 'release', { kind: 'release', backupId: id }, by);
    const policy = policyOf(session, backup.policy);
    const held = (await currentBackups(session, run, [policy]))
      .filter(({ id: other, heldUntil }) => other !== id && heldUntil !== null)
      .map(({ label }) => label);
    await engineFor(session, policy).holds?.release(
      await engineContext(session, policy, run, operationId, []),
      backup.label,
      held,
    );
    return { backup: withoutContents((await findBackup(deps, id, run)).backup) };
  },
  kept: async ({ cluster }, deps) => ({ kept: await keptItems(deps, cluster) }),
  'kept-drop': async ({ id, by, dryRun }, deps) => {
    const item = (await keptOn(deps)).find((kept) => kept.id === id);
    if (!item)
      throw new RepriseError(
        'not-found',
        `no old data is kept under "${id}" on host ${deps.host}`,
        'reprise kept list',
      );
    if (!dryRun) {
      const session = await openClusterContext(deps, item.cluster);
      await refuseWhileInUse(session, item);
      await dropOldData(item, session.cluster.connection);
      await record(
        session,
        { operationId: item.operationId },
        `dropped/${item.id}`,
        { kind: 'kept-dropped', keptId: item.id },
        by,
      );
    }
    return { dropped: [item] };
  },
  incidents: async ({ cluster }, deps) => {
    const states = await Promise.all(
      (await sessionsOf(deps, cluster)).map(async (session) => incidentLines(session, await session.catalogue.state())),
    );
    return { incidents: states.flat() };
  },
  incident: async ({ id }, deps) => {
    const { session, line, operationId } = await findIncident(deps, id);
    const records = (await session.catalogue.records()).filter(
      (entry) => entry.operationId === operationId || entry.operationId.startsWith(`${operationId}-`),
    );
    return {
      incident: line,
      records,
      outcome: (await session.catalogue.state()).outcomes.get(operationId)?.outcome ?? null,
    };
  },
  report: async ({ id, cluster }, deps) => {
    const operationId = operationOfId(id);
    for (const session of await sessionsOf(deps, cluster ?? knownCluster(deps, id.split('/')[1]))) {
      const markdown = await session.catalogue.incidentDocument(operationId);
      if (markdown !== null) return { markdown };
    }
    throw new RepriseError(
      'not-found',
      `there is no incident document of ${id}`,
      'it is written when the recovery ends; meanwhile: reprise incident show',
    );
  },
  plan: async ({ kind: _kind, ...request }, deps, run) => {
    const session = await openClusterContext(deps, request.cluster);
    const order = readOrder(recoveryOrder, request.order);
    return { plan: await makePlan(session, { ...request, order, workflowId: 'dry-run' }, run) };
  },
  'media-plan': async ({ kind: _kind, ...request }, deps, run) => {
    const session = await openClusterContext(deps, request.cluster);
    const order = readOrder(mediaOrder, request.order);
    return { plan: await makeMediaPlan(session, { ...request, order, workflowId: 'dry-run' }, run) };
  },
  rotation: async ({ cluster, order }, deps, run) => {
    const { policy } = readOrder(rotationOrder, order);
    const { keep, remove, refused } = await planRotation(await openClusterContext(deps, cluster), policy, run);
    return { keep, remove, ...(refused ? { refused } : {}) };
  },
  adoption: async ({ cluster, order }, deps, run) =>
    surveyAdoption(await openClusterContext(deps, cluster), readOrder(adoptionOrder, order), run),
  diagnose: ({ cluster }, deps) => diagnoseCluster(deps, cluster),
  wal: async ({ cluster }, deps, run) => ({ windows: await walWindows(await openClusterContext(deps, cluster), run) }),
  jobs: async ({ cluster, operationId }, deps) => ({
    jobs: await readJobs((await openClusterContext(deps, cluster)).host.stateDir, operationId),
  }),
  'key-challenge': (question, deps) => challengeKeys(deps, question),
  'key-answer': (question, deps) => proveKey(deps, question),
  'storage-plan': async ({ repository }, deps, run) => ({ plan: await planStorage(deps, repository, run) }),
  'storage-usage': async ({ repository }, deps, run) => ({ usage: await storageUsage(deps, repository, run) }),
  'storage-apply': ({ repository, plan, by }, deps, run) => applyStorage(deps, repository, { plan, by }, run),
  host: async ({ host }, deps, run) => ({
    findings: [...(await deps.inspectHost(deps.config, host)), ...clockFindings(host, run)],
    configDigest: deps.config.digest,
  }),
};

export function inspectionActivities(deps: HostDependencies): Pick<HostActivities, 'answer'> {
  return {
    answer: wrapActivity('answer', ({ question }, run) => {
      const answer = answers[question.kind] as Answer<Inspection['kind']>;
      return answer(question as never, deps, run);
    }),
  };
}

/** Clusters of this host, or the one named. */
async function sessionsOf(deps: HostDependencies, cluster?: string): Promise<readonly ClusterContext[]> {
  const names = cluster
    ? [cluster]
    : Object.values(deps.config.clusters)
        .filter(({ host }) => host === deps.host)
        .map(({ name }) => name);
  return Promise.all(names.map((name) => openClusterContext(deps, name)));
}

/** A cluster that an id names, where it is one. */
function knownCluster({ config }: HostDependencies, name: string | undefined): string | undefined {
  return name !== undefined && Object.hasOwn(config.clusters, name) ? name : undefined;
}

async function findBackup(deps: HostDependencies, id: string, run: ActivityRun) {
  for (const session of await sessionsOf(deps, knownCluster(deps, clusterOfBackup(id)))) {
    const backup = (await currentBackups(session, run)).find((candidate) => candidate.id === id);
    if (backup) return { session, backup };
  }
  throw new RepriseError('not-found', `there is no backup "${id}"`, 'see what there is: reprise backup list');
}

async function keptItems(deps: HostDependencies, cluster?: string): Promise<readonly KeptItem[]> {
  const states = await Promise.all((await sessionsOf(deps, cluster)).map((session) => session.catalogue.state()));
  return states.flatMap(({ kept }) => kept);
}

/** What lies on this host, of every cluster that is here or is recovered onto it. */
async function keptOn(deps: HostDependencies): Promise<readonly KeptItem[]> {
  const here = Object.values(deps.config.clusters).filter(({ host, recovery }) =>
    [host, ...Object.values(recovery.targets).map((target) => target.host)].includes(deps.host),
  );
  const items = await Promise.all(here.map(({ name }) => keptItems(deps, name)));
  return items.flat().filter(({ host }) => host === deps.host);
}

/** Until its recovery has ended, what was put aside may be the only copy there is, and saved WAL is still replayed. */
async function refuseWhileInUse({ host }: ClusterContext, { id, operationId }: KeptItem): Promise<void> {
  const state = openHostState(host.stateDir);
  for (const plan of await state.openPlans()) {
    if (plan.binding.operationId !== operationId || !(await state.usedBy(plan.digest))) continue;
    throw new RepriseError(
      'conflict',
      `${id} belongs to a recovery that has not ended (operation ${operationId})`,
      'let it end, or give it up with reprise reject; a later recovery of the cluster ends it too',
    );
  }
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
  for (const session of await sessionsOf(deps, knownCluster(deps, id.split('/')[1]))) {
    const state = await session.catalogue.state();
    const incident = [...state.incidents.values()].find(
      (candidate) => candidate.id === id || candidate.operationId === operationOfId(id),
    );
    const line = incidentLines(session, state).find((candidate) => candidate.id === incident?.id);
    if (incident && line) return { session, line, operationId: incident.operationId };
  }
  throw new RepriseError('not-found', `there is no incident "${id}"`, 'see what there is: reprise incident list');
}

/** The operation id is the last part of a workflow id. */
function operationOfId(id: string): string {
  return id.slice(id.lastIndexOf('/') + 1);
}
