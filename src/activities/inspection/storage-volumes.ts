import { RepriseError } from '../../domain/errors.js';
import { NO_CLASS, UsageSums } from '../../domain/storage/storage-usage.js';
import type { StorageUsage, StoredVolume } from '../../domain/storage/storage-usage.js';
import type { WritableStorage } from '../../storage/storage.js';
import { repositoryOf } from '../control/repositories.js';
import type { HostDependencies } from '../dependencies.js';
import type { ActivityRun } from '../activity-wrapper.js';

/** So many objects between two reports of progress. */
const REPORT_EVERY = 10_000;

/** What a repository holds, by cluster, class and state, and what that costs a month by the config's own prices (P6). */
export async function storageUsage(deps: HostDependencies, name: string, run: ActivityRun): Promise<StorageUsage> {
  const repository = repositoryOf(deps.config, name);
  const storage = deps.openStorage(repository, null);
  const sums = new UsageSums(Object.keys(deps.config.clusters), repository.prices ?? null);
  let done = 0;
  for await (const volume of storage.volumes?.(run.signal) ?? listed(storage)) {
    if (run.signal.aborted) throw new RepriseError('interrupted', `adding up ${name} was given up`);
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
