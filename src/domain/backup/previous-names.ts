import type { ClusterConfig, PolicyConfig } from '../config.js';
import type { Backup } from './backup.js';

/** What tells whose a recorded backup is. */
type OfPolicy = Pick<Backup, 'policy' | 'engine' | 'repository'>;

/** Backups of one policy that the configuration does not have: nothing recovers from them, and no rotation removes them. */
export interface Orphans extends OfPolicy {
  readonly backups: number;
}

/**
 * The policy that the configuration has for a recorded backup: the one of that name, or the one that had it before, where it
 * still writes by the same engine to the same repository. Undefined where there is none.
 */
export function policyNow(
  policies: Readonly<Record<string, PolicyConfig>>,
  { policy, engine, repository }: OfPolicy,
): PolicyConfig | undefined {
  return (
    policies[policy] ??
    Object.values(policies).find(
      (one) => one.engine === engine && one.repository === repository && one.previousNames?.includes(policy),
    )
  );
}

/** Whether any policy had another name: most have not, and nothing is looked for then. */
export function hasPreviousNames(policies: Readonly<Record<string, PolicyConfig>>): boolean {
  return Object.values(policies).some(({ previousNames = [] }) => previousNames.length > 0);
}

/** Backups that no policy of the configuration has, by the policy that made them. */
export function orphansAmong(
  { policies }: Pick<ClusterConfig, 'policies'>,
  backups: readonly OfPolicy[],
): readonly Orphans[] {
  const found = new Map<string, Orphans>();
  for (const { policy, engine, repository } of backups) {
    if (policyNow(policies, { policy, engine, repository }) !== undefined) continue;
    const key = JSON.stringify([policy, engine, repository]);
    found.set(key, { policy, engine, repository, backups: (found.get(key)?.backups ?? 0) + 1 });
  }
  return [...found.values()];
}

/** What happens to them, and what to write so that they count again. */
export function orphansInWords(
  { name, policies }: Pick<ClusterConfig, 'name' | 'policies'>,
  { policy, engine, repository, backups }: Orphans,
): { readonly message: string; readonly fix: string } {
  const count = `${backups} backup${backups === 1 ? '' : 's'}`;
  const heir = Object.values(policies).find((one) => one.engine === engine && one.repository === repository);
  return {
    message: `${count} of policy ${policy} of ${name} (${engine}, repository ${repository}): the configuration has no such policy, so ${backups === 1 ? 'it is' : 'they are'} neither recovered from nor removed by rotation`,
    fix:
      heir === undefined
        ? `if it was renamed: previous_names: [${policy}] in the policy that took its place, with the same engine and repository; else keep it with enabled: false until its backups are no longer needed`
        : `if it was renamed to ${heir.name}: previous_names: [${policy}] in policy ${heir.name}; else keep it with enabled: false until its backups are no longer needed`,
  };
}
