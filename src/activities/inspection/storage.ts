import type { Backup } from '../../domain/backup/backup.js';
import { RepriseError, isRepriseError } from '../../domain/errors.js';
import type { StoragePromise } from '../../domain/storage/lifecycle-rules.js';
import {
  checkLifecycle,
  checkSmallFiles,
  promisesOf,
  promisesOfBackups,
} from '../../domain/storage/lifecycle-rules.js';
import type { AppliedSetting, StorageNote, StoragePlan, StorageSurvey } from '../../domain/storage/storage-plan.js';
import { storageChanges } from '../../domain/storage/storage-plan.js';
import type { StorageUsage, StoredVolume } from '../../domain/storage/storage-usage.js';
import { NO_CLASS, UsageSums } from '../../domain/storage/storage-usage.js';
import { canonicalJson } from '../../domain/text/canonical-json.js';
import { sizeInWords } from '../../domain/text/text.js';
import { sha256Hex } from '../../records/digest.js';
import type { StoredObject, WritableStorage } from '../../storage/storage.js';
import type { ActivityRun } from '../activity-wrapper.js';
import { currentBackups, openClusterContext, record } from '../cluster-context.js';
import { repositoryOf } from '../config-lookup.js';
import type { HostDependencies } from '../dependencies.js';

/** What the settings of a repository are and should be, and where its lifecycle contradicts what is promised. */
export async function planStorage(deps: HostDependencies, name: string, run: ActivityRun): Promise<StoragePlan> {
  const repository = repositoryOf(deps.config, name);
  const storage = deps.openStorage(repository, null);
  const survey =
    storage.admin === undefined ? await nothingToSet(storage, name) : await storage.admin.survey(run.signal);
  const { promises, notes: unread } = await promisesOn(deps, name, survey, run);
  const policies = usersOf(deps, name).flatMap(({ policies: own }) => own);
  const { refusals, notes } = checkLifecycle(survey.rules, promises, policies);
  const { place, settings } = survey;
  const digest = sha256Hex(
    canonicalJson({
      place,
      settings: settings.map(({ name: setting, is, wanted, verdict }) => ({ setting, is, wanted, verdict })),
    }),
  );
  return {
    repository: name,
    type: repository.type,
    host: deps.host,
    place,
    digest,
    settings,
    notes: [...survey.notes, ...unread, ...notes],
    refusals,
  };
}

/**
 * Makes the settings as the config wants them, if they would still change as the plan that was confirmed says.
 *
 * @throws RepriseError `plan-stale`, `lifecycle-refused`
 */
export async function applyStorage(
  deps: HostDependencies,
  name: string,
  confirmed: { plan: string; by: string },
  run: ActivityRun,
): Promise<{ applied: readonly AppliedSetting[]; plan: StoragePlan }> {
  const plan = await planStorage(deps, name, run);
  if (plan.digest !== confirmed.plan)
    throw new RepriseError(
      'plan-stale',
      `the settings of ${name} have changed since the plan: nothing was changed`,
      `see the new plan: reprise storage plan ${name}`,
    );
  const [refusal, ...more] = plan.refusals;
  if (refusal !== undefined)
    throw new RepriseError(
      'lifecycle-refused',
      `${refusal.text}${more.length === 0 ? '' : ` (and ${more.length} more)`}: nothing was changed`,
      refusal.hint,
    );
  const { admin } = deps.openStorage(repositoryOf(deps.config, name), null);
  const changes = storageChanges(plan).map((setting) => setting.name);
  if (admin === undefined || changes.length === 0) return { applied: [], plan };
  const applied = await admin.apply(changes, run.signal);
  await noted(deps, plan, applied, confirmed);
  return { applied, plan: await planStorage(deps, name, run) };
}

/** Who has set what is in the journal of every cluster of this host that uses the repository. */
async function noted(
  deps: HostDependencies,
  plan: StoragePlan,
  applied: readonly AppliedSetting[],
  { by }: { by: string },
): Promise<void> {
  const done = applied.filter((setting) => setting.done).map(({ name }) => name);
  if (done.length === 0) return;
  const operationId = `storage/${plan.repository}/${new Date().toISOString()}`;
  for (const { cluster } of usersOf(deps, plan.repository).filter((user) => user.host === deps.host)) {
    const text = `settings of ${plan.place} were changed: ${done.join(', ')}`;
    const body = { kind: 'journal' as const, step: 'storage-apply', text, workflowId: operationId };
    // The change is made: a journal that cannot be reached does not undo it.
    await openClusterContext(deps, cluster)
      .then((clusterContext) => record(clusterContext, { operationId }, 'journal/storage-apply', body, by))
      .catch(ignoreStorage);
  }
}

async function nothingToSet(storage: WritableStorage, name: string): Promise<StorageSurvey> {
  const free = await storage.freeBytes().catch(ignoreStorage);
  const room = typeof free === 'number' ? `; ${sizeInWords(free)} are free` : '';
  return {
    place: `${storage.kind} ${name}`,
    there: true,
    settings: [],
    rules: [],
    notes: [{ level: 'info', text: `a ${storage.kind} has no settings: there is nothing to plan${room}` }],
  };
}

/** What the config, and the backups there are, promise on a repository whose lifecycle moves or removes anything. */
async function promisesOn(
  deps: HostDependencies,
  repository: string,
  { rules, there }: StorageSurvey,
  run: ActivityRun,
): Promise<{ promises: StoragePromise[]; notes: StorageNote[] }> {
  const promises: StoragePromise[] = [];
  const notes: StorageNote[] = [];
  for (const { cluster: name, host, policies } of usersOf(deps, repository)) {
    const cluster = deps.config.clusters[name];
    if (cluster === undefined) continue;
    promises.push(...policies.flatMap((policy) => promisesOf(policy, cluster)));
    if (rules.length === 0 || !there) continue;
    const backups = host === deps.host ? await backupsOf(deps, name, policies, run) : null;
    notes.push(...checkSmallFiles(rules, (await factsOf(deps, name, repository).catch(ignoreStorage)) ?? []));
    if (backups === null)
      notes.push({
        level: 'info',
        text: `backups of ${name} could not be listed from host ${deps.host}: only the config was checked`,
      });
    else promises.push(...policies.flatMap((policy) => promisesOfBackups(backups, policy, cluster, new Date())));
  }
  return { promises, notes };
}

/** Records and manifests of a cluster: what we write as JSON. */
async function factsOf(deps: HostDependencies, cluster: string, repository: string): Promise<readonly StoredObject[]> {
  const facts: StoredObject[] = [];
  for await (const object of deps.openStorage(repositoryOf(deps.config, repository), null).list(`${cluster}/`))
    if (object.key.endsWith('.json')) facts.push(object);
  return facts;
}

/** Null where nobody can tell, as before the bucket is made. */
async function backupsOf(
  deps: HostDependencies,
  cluster: string,
  policies: Parameters<typeof currentBackups>[2],
  run: ActivityRun,
): Promise<readonly Backup[] | null> {
  try {
    return await currentBackups(await openClusterContext(deps, cluster), run, policies);
  } catch (error) {
    if (isRepriseError(error)) return null;
    throw error;
  }
}

function usersOf(deps: HostDependencies, repository: string) {
  return Object.values(deps.config.clusters).flatMap(({ name: cluster, host, policies, catalogue }) => {
    const own = Object.values(policies).filter((policy) => policy.repository === repository);
    return own.length > 0 || catalogue === repository ? [{ cluster, host, policies: own }] : [];
  });
}

function ignoreStorage(error: unknown): null {
  if (isRepriseError(error)) return null;
  throw error;
}

/** So many objects between two reports of progress. */
const REPORT_EVERY = 10_000;

/** What a repository holds, by cluster, class and state, and what that costs a month by the config's own prices. */
export async function storageUsage(deps: HostDependencies, name: string, run: ActivityRun): Promise<StorageUsage> {
  const repository = repositoryOf(deps.config, name);
  const storage = deps.openStorage(repository, null);
  const sums = new UsageSums(Object.keys(deps.config.clusters), repository.prices ?? null);
  let done = 0;
  for await (const volume of storage.volumes?.(run.signal) ?? listed(storage)) {
    if (run.signal.aborted) throw new RepriseError('interrupted', `adding up ${name} was cancelled`);
    sums.add(volume);
    done += 1;
    if (done % REPORT_EVERY === 0) run.report({ phase: 'add up', done, unit: 'files' });
  }
  return sums.usage(name, deps.host);
}

/** A storage without versions and classes holds what it lists. */
async function* listed(storage: WritableStorage): AsyncGenerator<StoredVolume> {
  for await (const { key, sizeBytes } of storage.list(''))
    yield { key, sizeBytes, storageClass: NO_CLASS, state: 'current' };
}
