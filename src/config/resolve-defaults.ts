import { join, resolve } from 'node:path';
import { z } from 'zod';
import { pathSchemas } from '../domain/fields.js';
import { engineKinds } from '../engines/registry.js';
import { storageKinds } from '../storage/registry.js';
import { DEFAULT_NAME } from './known-names.js';
import type { ConfigPath, Problem } from './problem.js';
import { recoverySteps, watchPresets } from './schema/cluster.js';
import { mapValues } from './schema/fields.js';
import type { ConfigText } from './schema/schema.js';

type ClusterText = ConfigText['clusters'][string];
type WithParts = ConfigText & {
  hosts: NonNullable<ConfigText['hosts']>;
  repositories: NonNullable<ConfigText['repositories']>;
};
type PolicyText = NonNullable<ClusterText['backups']>[string];

/**
 * reprise.yml with nothing left open, still in the file's own words: every default filled in, every path absolute.
 * What cannot be concluded is a problem. `text` has passed `schema`; `folder` is that of the file.
 */
export function resolveDefaults(
  schema: z.ZodType<unknown, ConfigText>,
  text: ConfigText,
  folder: string,
): { text: ConfigText; problems: readonly Problem[] } {
  const parts: WithParts = {
    ...text,
    hosts: text.hosts ?? { [DEFAULT_NAME]: {} },
    repositories: text.repositories ?? { [DEFAULT_NAME]: { type: 'directory', path: './backups/postgres' } },
  };
  return fromOtherKeys(ownDefaults(schema, parts, folder) as WithParts);
}

/**
 * A value with what its schema says by itself: defaults, and paths counted from `folder`. Transforms are left out, but
 * for those in front of a schema (a single address for a list of them).
 */
function ownDefaults(schema: z.core.$ZodType, value: unknown, folder: string): unknown {
  const below = (part: z.core.$ZodType, given: unknown) => ownDefaults(part, given, folder);
  // By the name of its kind: `instanceof` asks each schema for all of its traits, for each value of a large file.
  const { def } = (schema as z.core.$ZodTypes)._zod;
  if (def.type === 'default' || def.type === 'prefault')
    return below(def.innerType, value === undefined ? def.defaultValue : value);
  // Also where nothing was given: the default may stand in front of a transform.
  if (def.type === 'pipe' && !isTransform(def.in)) return below(def.in, value);
  if (value === undefined) return undefined;
  if (def.type === 'optional') return below(def.innerType, value);
  if (def.type === 'pipe') return below(def.out, z.parse(def.in, value));
  if (def.type === 'union') {
    const option = optionOf(def, value);
    return option === undefined ? value : below(option, value);
  }
  if (typeof value === 'string' && pathSchemas.get(schema as z.ZodType) !== undefined) return resolve(folder, value);
  return partDefaults(def, value, below);
}

/** The one that takes this value, which has passed the union. */
function optionOf(def: z.core.$ZodUnionDef | z.core.$ZodDiscriminatedUnionDef, value: unknown) {
  if (!('discriminator' in def)) return def.options.find((one) => z.safeParse(one, value).success);
  const named = (value as Record<string, unknown>)[def.discriminator] as z.core.util.Primitive;
  return def.options.find((one) => one._zod.propValues?.[def.discriminator]?.has(named));
}

const isTransform = (schema: z.core.$ZodType): boolean => (schema as z.core.$ZodTypes)._zod.def.type === 'transform';

/** The same of what holds parts. */
function partDefaults(
  def: z.core.$ZodTypes['_zod']['def'],
  value: unknown,
  below: (part: z.core.$ZodType, given: unknown) => unknown,
): unknown {
  if (def.type === 'array') return (value as unknown[]).map((item) => below(def.element, item));
  if (def.type === 'record') return mapValues(value as Record<string, unknown>, (item) => below(def.valueType, item));
  if (def.type !== 'object') return value;
  const fields = Object.entries(def.shape).map(
    ([key, field]) => [key, below(field, (value as Record<string, unknown>)[key])] as const,
  );
  return Object.fromEntries(fields.filter(([, field]) => field !== undefined));
}

/** What follows from other parts of the file. */
function fromOtherKeys(text: WithParts): { text: ConfigText; problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const only = (what: string, names: readonly string[], path: ConfigPath): string => {
    if (names.length !== 1)
      problems.push({ path, message: `missing key "${what}"`, hint: `name one of: ${names.join(', ')}` });
    return names[0] ?? '';
  };
  const hostOf = (given: string | undefined, path: ConfigPath) => given ?? only('host', Object.keys(text.hosts), path);
  const hosts = mapValues(text.hosts, (host) => ({
    ...host,
    scratch_dir: host.scratch_dir ?? join(host.state_dir ?? '', 'scratch'),
  }));
  const repositories = mapValues(text.repositories, (repository, name) =>
    storageKinds[repository.type]?.onHost
      ? { ...repository, host: hostOf(repository.host, ['repositories', name]) }
      : repository,
  );
  const policyOf = (policy: PolicyText, path: ConfigPath): PolicyText => {
    const repository = policy.repository ?? only('repository', Object.keys(repositories), path);
    const { encrypts } = engineKinds[policy.engine]?.capabilities ?? {};
    // A repository's encryption is that of the policies whose engine leaves encrypting to us.
    const encryption = policy.encryption ?? (encrypts ? repositories[repository]?.encryption : undefined);
    return {
      ...policy,
      repository,
      retention: retentionOf(policy.retention),
      ...(encryption === undefined ? {} : { encryption }),
    };
  };
  const clusterOf = (cluster: ClusterText, name: string): ClusterText => {
    const at = ['clusters', name];
    const host = hostOf(cluster.host, at);
    const backups = mapValues(cluster.backups ?? {}, (policy, policyName) =>
      policyOf(policy, [...at, 'backups', policyName]),
    );
    const { hooks = {}, recovery, drill } = cluster;
    return {
      ...cluster,
      host,
      ...(cluster.data_dir === undefined ? {} : { watch: cluster.watch ?? watchPresets }),
      catalogue:
        cluster.catalogue ?? Object.values(backups)[0]?.repository ?? only('catalogue', Object.keys(repositories), at),
      backups,
      ...(drill === undefined ? {} : { drill: { ...drill, host: hostOf(drill.host, [...at, 'drill']) } }),
      hooks: mapValues(hooks, (hook) => ({ ...hook, host: hook.host ?? host })),
      recovery: {
        ...recovery,
        targets: mapValues(recovery?.targets ?? {}, (target) => ({ ...target, host: target.host ?? host })),
        // Steps of the runbook that are programs of the user's own are left out where there is no such program.
        steps: recovery?.steps ?? recoverySteps.filter((step) => !isHookStep(step) || step in hooks),
      },
    };
  };
  return { text: { ...text, hosts, repositories, clusters: mapValues(text.clusters, clusterOf) }, problems };
}

/** Steps that run the hook of the same name. */
export function isHookStep(step: string): boolean {
  return step === 'stop-applications' || step === 'start-applications';
}

/** Fourteen days is what the seed promises; a policy with a rule of its own is taken at its word. */
function retentionOf(retention: PolicyText['retention'] = {}): PolicyText['retention'] {
  const { days, count, daily, weekly, monthly, yearly } = retention;
  const ruled = [days, count, daily, weekly, monthly, yearly].some((rule) => rule !== undefined);
  return ruled ? retention : { days: 14, ...retention };
}
