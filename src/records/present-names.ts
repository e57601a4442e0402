import type { CatalogueState } from '../domain/backup/catalogue.js';
import { hasPreviousNames, policyNow } from '../domain/backup/previous-names.js';
import type { CatalogueRecord } from '../domain/backup/records.js';
import type { ClusterConfig } from '../domain/config.js';
import { toolRepository } from '../domain/storage/repository-identity.js';
import type { CatalogueReader } from './catalogue.js';

/** The same records, in which backups of a policy that was renamed are those of the policy as it is called now. */
export function underPresentNames<C extends CatalogueReader>(
  catalogue: C,
  { name: cluster, policies }: Pick<ClusterConfig, 'name' | 'policies'>,
): C {
  if (!hasPreviousNames(policies)) return catalogue;
  const renamed = <B extends { policy: string; engine: string; repository: string }>(backup: B): B => {
    const now = policyNow(policies, backup);
    return now === undefined || now.name === backup.policy ? backup : { ...backup, policy: now.name };
  };
  const record = (one: CatalogueRecord): CatalogueRecord =>
    one.kind === 'backup' ? { ...one, backup: renamed(one.backup) } : one;
  return {
    ...catalogue,
    records: async () => (await catalogue.records()).map(record),
    state: async (now) => {
      const state = await catalogue.state(now);
      return { ...state, backups: state.backups.map(renamed), repositories: repositories(state) };
    },
  };

  /** Places of engines' own tools are known by cluster and policy. */
  function repositories({ repositories: known }: CatalogueState): ReadonlyMap<string, string> {
    const found = new Map(known);
    for (const { name, previousNames = [] } of Object.values(policies))
      for (const before of previousNames) {
        const id = known.get(toolRepository(cluster, before));
        const tool = toolRepository(cluster, name);
        if (id !== undefined && !found.has(tool)) found.set(tool, id);
      }
    return found;
  }
}
