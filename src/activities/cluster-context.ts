import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backup } from '../domain/backup/backup.js';
import { majorOf } from '../domain/backup/other-cluster.js';
import type { RecordBody } from '../domain/backup/records.js';
import type { ClusterConfig, HostConfig, PolicyConfig } from '../domain/config.js';
import { RepriseError, isRepriseError } from '../domain/errors.js';
import type { Engine, EngineContext, ReadContext } from '../engines/engine.js';
import { readableBy } from '../postgres/connection/passfile.js';
import type { JobLock, OsUser } from '../process/jobs/jobs.js';
import { createJobs } from '../process/jobs/supervisor.js';
import { type Catalogue, openCatalogue } from '../records/catalogue.js';
import { sha256Hex } from '../records/digest.js';
import { openHostState } from '../records/host-state.js';
import { underPresentNames } from '../records/present-names.js';
import { reconcile } from '../records/reconcile.js';
import type { WritableStorage } from '../storage/storage.js';
import type { ActivityRun } from './activity-wrapper.js';
import type { StepInput } from './api.js';
import { repositoryUser, requireToolRepository } from './used-repository.js';
import { clusterOf, hostOf, policiesHere, repositoryOf, requireHere } from './config-lookup.js';
import type { HostDependencies } from './dependencies.js';
import { withPreviousFolders } from './previous-folders.js';

/** Names of facts are kept readable; a long one ends in its digest. */
const LONGEST_NAME = 120;

/** One cluster on this host, opened: its config, records and user. */
export interface ClusterContext {
  readonly deps: HostDependencies;
  readonly cluster: ClusterConfig;
  readonly host: HostConfig;
  readonly user: OsUser | null;
  readonly catalogue: Catalogue;
  /** Of the programs that are used, where they are not those of the cluster as it is now. */
  readonly major?: number;
}

/**
 * The same with PostgreSQL's programs of the version that a physical backup was made of, as before an upgrade. A dump is read by those
 * of the cluster as it is now.
 */
export function forBackup(
  clusterContext: ClusterContext,
  { policy, server }: Pick<Backup, 'policy' | 'server'>,
): ClusterContext {
  const { method } = engineFor(clusterContext, policyOf(clusterContext, policy)).capabilities;
  return server === undefined || method !== 'data-directory'
    ? clusterContext
    : { ...clusterContext, major: majorOf(server) };
}

/** Opens a cluster. Throws `not-found` for one the config does not have, `path-refused` where its records are out of reach. */
export async function openClusterContext(deps: HostDependencies, clusterName: string): Promise<ClusterContext> {
  const named = clusterOf(deps.config, clusterName);
  const host = hostOf(deps);
  await requireHere(deps, named.catalogue, clusterName);
  // On another host the same path may be another server's.
  const user = await deps.jobUser(named.host === deps.host ? named.dataDir : undefined);
  const cluster = { ...named, connection: await readableBy(named.connection, user, join(host.stateDir, 'pgpass')) };
  const catalogue = catalogueOf(deps, cluster, user);
  return { deps, cluster, host, user, catalogue };
}

/** Opens every cluster of this host, or the one named. */
export async function openClusterContexts(
  deps: HostDependencies,
  cluster?: string,
): Promise<readonly ClusterContext[]> {
  const names = cluster
    ? [cluster]
    : Object.values(deps.config.clusters)
        .filter(({ host }) => host === deps.host)
        .map(({ name }) => name);
  return Promise.all(names.map((name) => openClusterContext(deps, name)));
}

const catalogues = new WeakMap<HostDependencies, Map<string, Catalogue>>();

/** After another repository was accepted: what was read of the one before is not in it. */
export function forgetCatalogues(deps: HostDependencies): void {
  catalogues.delete(deps);
}

/** One handle a cluster and worker: it remembers what it has read, so that ten thousand records are read once. */
function catalogueOf(deps: HostDependencies, cluster: ClusterConfig, user: OsUser | null): Catalogue {
  const known = catalogues.get(deps) ?? new Map<string, Catalogue>();
  catalogues.set(deps, known);
  const catalogue =
    known.get(cluster.name) ??
    underPresentNames(openCatalogue(catalogueStorage({ deps, cluster, user }), cluster.name), cluster);
  known.set(cluster.name, catalogue);
  return catalogue;
}

/** The repository of a cluster's records. */
export function catalogueStorage({
  deps,
  cluster,
  user,
}: Pick<ClusterContext, 'deps' | 'cluster' | 'user'>): WritableStorage {
  return deps.openStorage(repositoryOf(deps.config, cluster.catalogue), user);
}

export function policyOf(clusterContext: ClusterContext, name: string): PolicyConfig {
  const policy = clusterContext.cluster.policies[name];
  if (!policy)
    throw new RepriseError(
      'not-found',
      `cluster ${clusterContext.cluster.name} has no backup policy "${name}"`,
      `its policies: ${Object.keys(clusterContext.cluster.policies).join(', ')}`,
    );
  return policy;
}

export function storageOf(clusterContext: ClusterContext, policy: PolicyConfig): WritableStorage {
  const storage = clusterContext.deps.openStorage(
    repositoryOf(clusterContext.deps.config, policy.repository),
    clusterContext.user,
    repositoryUser(clusterContext, policy),
  );
  return withPreviousFolders(storage, policy);
}

/** What an engine reads with. */
export async function readContext(
  clusterContext: ClusterContext,
  policy: PolicyConfig,
  run: ActivityRun,
  operationId: string,
): Promise<ReadContext> {
  const { cluster, host, user } = clusterContext;
  await requireToolRepository(clusterContext, policy, run, false);
  return {
    cluster,
    policy,
    host,
    storage: storageOf(clusterContext, policy),
    operationId,
    pgBin: await postgresBinOf(clusterContext),
    user,
    signal: run.signal,
    leaveOnAbort: run.leaveOnAbort,
    report: run.report,
    now: () => new Date(),
    openToolStore: (described) => clusterContext.deps.openDescribed(described),
  };
}

/** What an engine works with: the same, and jobs bound to the operation (and to the plan, for destructive steps). */
export async function engineContext(
  clusterContext: ClusterContext,
  policy: PolicyConfig,
  run: ActivityRun,
  operationId: string,
  locks: readonly JobLock[],
  { planDigest, retry }: { planDigest?: string; retry?: number | undefined } = {},
): Promise<EngineContext> {
  const jobs = createJobs({
    stateDir: clusterContext.host.stateDir,
    operationId,
    planDigest,
    retry,
    user: clusterContext.user,
    locks,
    signal: run.signal,
    leaveOnAbort: run.leaveOnAbort,
    report: run.report,
  });
  return {
    ...(await readContext(clusterContext, policy, run, operationId)),
    storage: storageOf(clusterContext, policy),
    jobs,
    rowCounter: clusterContext.deps.rowCounter,
    uploader: {
      argv: clusterContext.deps.uploader,
      repository: repositoryOf(clusterContext.deps.config, policy.repository),
    },
  };
}

/** Below Temporal's lock, because Temporal may be lost: what jobs of one cluster hold on its host. */
export const clusterLocks = {
  backup: (cluster: string, policy: string): readonly JobLock[] => [
    { name: `cluster-${cluster}`, mode: 'shared' },
    { name: `policy-${cluster}-${policy}`, mode: 'exclusive' },
  ],
  recovery: (cluster: string): readonly JobLock[] => [{ name: `cluster-${cluster}`, mode: 'exclusive' }],
};

/** PostgreSQL's programs of the cluster's own major version: of its data directory, else of its newest backup. */
export async function postgresBinOf(clusterContext: ClusterContext): Promise<string> {
  return clusterContext.deps.postgresBin(clusterContext.major ?? (await majorOfCluster(clusterContext)));
}

async function majorOfCluster(clusterContext: ClusterContext): Promise<number | undefined> {
  const present = await majorOfDataDir(clusterContext);
  if (present !== undefined) return present;
  const known = (await clusterContext.catalogue.state()).backups.findLast((backup) => backup.server);
  return known?.server && majorOf(known.server);
}

/** The major version of what is in the cluster's data directory now; undefined where it is gone or on another host. */
export async function majorOfDataDir({
  cluster,
  deps,
}: Pick<ClusterContext, 'cluster' | 'deps'>): Promise<number | undefined> {
  if (!cluster.dataDir || cluster.host !== deps.host) return undefined;
  const text = await readFile(join(cluster.dataDir, 'PG_VERSION'), 'utf8').catch(() => '');
  return /^\d+\s*$/.test(text) ? Number(text) : undefined;
}

/**
 * Backups as the engines' own lists and the records agree on them, oldest first. Where nobody names a policy, those in a
 * repository that is not the known one are missing: in an emergency the others can be used.
 * @throws RepriseError `repository-mismatch` where that is so of every policy, or of one that is named
 */
export async function currentBackups(
  clusterContext: ClusterContext,
  run: ActivityRun,
  named?: readonly PolicyConfig[],
): Promise<readonly Backup[]> {
  const policies = named ?? (await policiesHere(clusterContext.deps, clusterContext.cluster));
  const state = await clusterContext.catalogue.state();
  const lost: unknown[] = [];
  const lists = await Promise.all(
    policies.map(async (policy) => {
      const { cluster, name, engine: kind, repository } = policy;
      const listed = await listOf(clusterContext, policy, run).catch((error: unknown) => {
        if (named !== undefined || !isRepriseError(error) || error.code !== 'repository-mismatch') throw error;
        lost.push(error);
        return [];
      });
      return { cluster, policy: name, engine: kind, repository, listed };
    }),
  );
  if (lost.length > 0 && lost.length === policies.length) throw lost[0];
  return reconcile(state, lists, new Date());
}

async function listOf(clusterContext: ClusterContext, policy: PolicyConfig, run: ActivityRun) {
  const engine = clusterContext.deps.engineOf(policy.engine);
  return engine.list(await readContext(clusterContext, policy, run, 'list'));
}

export function engineFor(clusterContext: ClusterContext, policy: PolicyConfig): Engine {
  return clusterContext.deps.engineOf(policy.engine);
}

/** Appends one fact of a step; `what` names it, so that a repetition adds nothing. */
export async function record(
  clusterContext: ClusterContext,
  step: Pick<StepInput, 'operationId'>,
  what: string,
  body: RecordBody,
  by = 'reprise',
): Promise<void> {
  const name = what.length > LONGEST_NAME ? `${what.slice(0, LONGEST_NAME)}…${sha256Hex(what).slice(0, 16)}` : what;
  await clusterContext.catalogue.append({
    id: `${step.operationId}/${name}`,
    at: new Date().toISOString(),
    operationId: step.operationId,
    by,
    ...body,
  });
}

/**
 * The same for a decision on a plan. The records of a cluster may be in the very bucket that a plan of `storage apply` would
 * make: then the ledger of this host alone has it.
 */
export async function recordDecided(
  clusterContext: ClusterContext,
  step: Pick<StepInput, 'operationId'> & { readonly plan: string | null },
  what: string,
  body: RecordBody,
  by?: string,
): Promise<void> {
  try {
    await record(clusterContext, step, what, body, by);
  } catch (error) {
    const plan = step.plan === null ? null : await openHostState(clusterContext.host.stateDir).readPlan(step.plan);
    if (plan?.binding.action !== 'storage-apply' || !isRepriseError(error)) throw error;
  }
}
