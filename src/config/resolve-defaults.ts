import { join, resolve } from 'node:path';
import { engineKinds } from '../engines/registry.js';
import { notifierKinds } from '../notifiers/registry.js';
import { storageKinds } from '../storage/registry.js';
import { inheritedEncryption, settledEncryption } from './encryption.js';
import { DEFAULT_NAME } from './known-names.js';
import type { ConfigPath, Problem } from './problem.js';
import type { ClusterText, ConfigText, PolicyText } from './schema/schema.js';
import { recoverySteps } from './schema/cluster.js';
import { watchSchema } from './schema/kinds.js';
import { isSecretReference } from './secrets.js';

type Filled<T, K extends keyof T> = Omit<T, K> & { [P in K]-?: NonNullable<T[P]> };
type Dictionary<T> = Record<string, T>;

export type SettledPolicy = Filled<PolicyText, 'repository'>;
export type SettledHook = Filled<ClusterText['hooks'][string], 'host'>;
export type SettledTarget = Filled<ClusterText['recovery']['targets'][string], 'host'>;
export type SettledRepository = NonNullable<ConfigText['repositories']>[string];
export type SettledCluster = Omit<Filled<ClusterText, 'host' | 'catalogue'>, 'backups' | 'hooks' | 'recovery'> & {
  backups: Dictionary<SettledPolicy>;
  hooks: Dictionary<SettledHook>;
  recovery: Omit<ClusterText['recovery'], 'targets' | 'steps'> & {
    targets: Dictionary<SettledTarget>;
    steps: (typeof recoverySteps)[number][];
  };
};
/** reprise.yml with nothing left open: still in the file's own words, every default filled in, every path absolute. */
export type SettledConfig = Omit<ConfigText, 'hosts' | 'repositories' | 'clusters'> & {
  hosts: Dictionary<Filled<NonNullable<ConfigText['hosts']>[string], 'scratch_dir'>>;
  repositories: Dictionary<SettledRepository>;
  clusters: Dictionary<SettledCluster>;
};

/** Fills in what depends on other parts of the file. What cannot be concluded is a problem. `folder` is the file's own. */
export function resolveDefaults(
  text: ConfigText,
  folder: string,
): { config: SettledConfig; problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const absolute = (path: string) => resolve(folder, path);
  const hosts = mapValues(
    text.hosts ?? { [DEFAULT_NAME]: { state_dir: '/var/lib/reprise', heavy_slots: 1 } },
    (host) => {
      const stateDir = absolute(host.state_dir);
      return {
        ...host,
        state_dir: stateDir,
        scratch_dir: host.scratch_dir ? absolute(host.scratch_dir) : join(stateDir, 'scratch'),
      };
    },
  );
  const only = (what: string, names: readonly string[], path: ConfigPath): string => {
    if (names.length !== 1)
      problems.push({ path, message: `missing key "${what}"`, hint: `name one of: ${names.join(', ')}` });
    return names[0] ?? '';
  };
  const hostOf = (named: string | undefined, path: ConfigPath) => named ?? only('host', Object.keys(hosts), path);
  const repositories = mapValues<SettledRepository, SettledRepository>(
    text.repositories ?? { [DEFAULT_NAME]: { type: 'directory', path: './backups/postgres' } },
    (repository, name) => {
      const kind = storageKinds[repository.type];
      const host = kind?.onHost ? hostOf(repository.host, ['repositories', name]) : repository.host;
      return {
        ...absoluteSecrets(absolutePaths(repository, kind?.paths, folder), folder),
        ...settledEncryption(repository.encryption, folder),
        ...(host === undefined ? {} : { host }),
      };
    },
  );

  const settleCluster = (cluster: ClusterText, name: string): SettledCluster => {
    const at = ['clusters', name];
    const host = hostOf(cluster.host, at);
    const backups = mapValues(cluster.backups, (policy, policyName) => {
      const repository =
        policy.repository ?? only('repository', Object.keys(repositories), [...at, 'backups', policyName]);
      return {
        ...policy,
        repository,
        options: absolutePaths(policy.options, engineKinds[policy.engine]?.paths, folder),
        retention: withDays(policy.retention),
        ...inheritedEncryption(policy, repositories[repository]?.encryption, folder),
      };
    });
    const { passfile } = cluster.connection;
    const dataDir = cluster.data_dir === undefined ? undefined : absolute(cluster.data_dir);
    return {
      ...cluster,
      host,
      connection: { ...cluster.connection, ...(passfile === undefined ? {} : { passfile: absolute(passfile) }) },
      ...(dataDir === undefined ? {} : { data_dir: dataDir, watch: cluster.watch ?? watchSchema.parse({}) }),
      catalogue:
        cluster.catalogue ?? Object.values(backups)[0]?.repository ?? only('catalogue', Object.keys(repositories), at),
      backups,
      hooks: mapValues(cluster.hooks, (hook) => ({ ...hook, host: hook.host ?? host })),
      recovery: {
        ...cluster.recovery,
        old_data: absolutePaths(cluster.recovery.old_data, ['path'], folder),
        targets: mapValues(cluster.recovery.targets, (target) => ({
          ...target,
          host: target.host ?? host,
          data_dir: absolute(target.data_dir),
        })),
        // Steps of the runbook that are programs of the user's own are left out where there is no such program.
        steps: cluster.recovery.steps ?? recoverySteps.filter((step) => !isHookStep(step) || step in cluster.hooks),
      },
    };
  };
  const clusters = mapValues(text.clusters, settleCluster);
  const notifiers = mapValues(text.notifiers, (notifier) =>
    absoluteSecrets(absolutePaths(notifier, notifierKinds[notifier.type]?.paths, folder), folder),
  );
  return { config: { ...text, hosts, repositories, clusters, notifiers }, problems };
}

/** Steps that run the hook of the same name. */
export function isHookStep(step: string): boolean {
  return step === 'stop-applications' || step === 'start-applications';
}

/** Fourteen days is what the seed promises (B2); a policy with a rule of its own is taken at its word. */
function withDays(retention: PolicyText['retention']): PolicyText['retention'] {
  const { days, count, daily, weekly, monthly, yearly } = retention;
  const ruled = [days, count, daily, weekly, monthly, yearly].some((rule) => rule !== undefined);
  return ruled ? retention : { days: 14, ...retention };
}

function absolutePaths<T extends Readonly<Record<string, unknown>>>(
  values: T,
  keys: readonly string[] = [],
  folder: string,
): T {
  const paths = keys
    .map((key) => [key, values[key]])
    .filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  return { ...values, ...Object.fromEntries(paths.map(([key, path]) => [key, resolve(folder, path)])) };
}

/** Files that hold secrets count from the config file's folder too. */
function absoluteSecrets<T extends Readonly<Record<string, unknown>>>(values: T, folder: string): T {
  const change = (value: unknown) =>
    isSecretReference(value) && 'file' in value ? { file: resolve(folder, value.file) } : value;
  return { ...values, ...Object.fromEntries(Object.entries(values).map(([key, value]) => [key, change(value)])) };
}

/** Without a prototype, so that a name such as `constructor` finds nothing that the file does not hold. */
export function mapValues<T, R>(
  values: Readonly<Record<string, T>>,
  change: (value: T, name: string) => R,
): Record<string, R> {
  const result = Object.create(null) as Record<string, R>;
  for (const [name, value] of Object.entries(values)) result[name] = change(value, name);
  return result;
}
