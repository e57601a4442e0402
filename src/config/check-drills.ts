import type { ClusterConfig, Config, DrillConfig } from '../domain/config.js';
import { drillSchedules } from '../domain/operation/names.js';
import { drilledPolicies, reachesRepository } from '../domain/drill/drilled-policies.js';
import { type Claim, collisions, Directories, Places } from './claims.js';
import type { ConfigPath, Problem } from './problem.js';
import { didYouMean } from './suggest.js';

type CheckedConfig = Pick<Config, 'clusters' | 'hosts' | 'repositories'>;
interface Drilled {
  readonly cluster: ClusterConfig;
  readonly drill: DrillConfig;
  readonly at: ConfigPath;
}

/** What is wrong with drills: each empties a directory, so that it may share nothing with anything else. `taken`: data directories and repositories. */
export function checkDrills(config: CheckedConfig, taken: readonly Claim[]): Problem[] {
  const drilled = Object.entries(config.clusters).flatMap(([name, cluster]): Drilled[] =>
    cluster.drill === undefined ? [] : [{ cluster, drill: cluster.drill, at: ['clusters', name, 'drill'] }],
  );
  if (drilled.length === 0) return [];
  return [
    ...drilled.flatMap((one) => [
      ...checkHost(one),
      ...checkNames(one),
      ...checkEngines(one),
      ...checkReach(config, one),
    ]),
    ...stagingCollisions(
      drilled.map(({ cluster, drill, at }) => ({
        path: [...at, 'data_dir'],
        owner: `the staging directory of ${cluster.name}`,
        host: `directory ${drill.host}`,
        place: drill.dataDir,
      })),
      [...taken, ...otherDirectories(config)],
      new Directories(),
      'use the same directory, or one inside the other',
      'a drill empties its directory: name one that nothing else uses',
    ),
    ...stagingCollisions(
      drilled.map(({ cluster, drill, at }) => ({
        path: [...at, 'port'],
        owner: `the drill of ${cluster.name}`,
        host: drill.host,
        place: `port ${drill.port}`,
      })),
      portClaims(config),
      new Places(),
      `use the same port of one host`,
      'give the restored server a port of its own',
    ),
  ];
}

/** The schedules of drills have their names among those of policies. */
function checkNames({ cluster }: Drilled): Problem[] {
  return Object.values(drillSchedules)
    .filter((name) => Object.hasOwn(cluster.policies, name))
    .map((name) => ({
      path: ['clusters', cluster.name, 'backups', name],
      message: `a cluster with drills has no policy "${name}": that is the name of a schedule of its drills`,
      hint: `rename the policy, and name ${name} under its previous_names`,
    }));
}

/** Clashes of drills with what there is, and with each other; what clashes without a drill is not told here. */
function stagingCollisions(
  drills: readonly Claim[],
  others: readonly Claim[],
  index: Directories | Places,
  how: string,
  hint: string,
): Problem[] {
  for (const other of others) index.add(other);
  return collisions(drills, index, how).map((problem) => ({ ...problem, hint }));
}

/** Directories on hosts besides data directories and repositories. */
function otherDirectories(config: CheckedConfig): Claim[] {
  const ofHosts = Object.entries(config.hosts).flatMap(([name, { stateDir, scratchDir }]) => [
    { path: ['hosts', name], owner: `state_dir of host ${name}`, host: `directory ${name}`, place: stateDir },
    { path: ['hosts', name], owner: `scratch_dir of host ${name}`, host: `directory ${name}`, place: scratchDir },
  ]);
  const ofClusters = Object.entries(config.clusters).flatMap(([name, { host, recovery, importFolders = {} }]) => {
    const at = { path: ['clusters', name], host: `directory ${host}` };
    const { oldData } = recovery;
    const old = oldData.mode === 'aside-on' ? [{ ...at, owner: `old data of ${name}`, place: oldData.path }] : [];
    const imports = Object.entries(importFolders).map(([folder, place]) => ({
      ...at,
      owner: `the import folder ${folder} of ${name}`,
      place,
    }));
    return [...old, ...imports];
  });
  return [...ofHosts, ...ofClusters];
}

function portClaims(config: CheckedConfig): Claim[] {
  return Object.entries(config.clusters).flatMap(([name, { host, connection, recovery }]) => [
    { path: ['clusters', name], owner: `cluster ${name}`, host, place: `port ${connection.port}` },
    ...Object.entries(recovery.targets).map(([target, place]) => ({
      path: ['clusters', name, 'recovery', 'targets', target],
      owner: `target ${target} of ${name}`,
      host: place.host,
      place: `port ${place.port}`,
    })),
  ]);
}

function checkHost({ cluster, drill, at }: Drilled): Problem[] {
  if (drill.host !== cluster.host || drill.allowSameHost) return [];
  return [
    {
      path: [...at, 'host'],
      message: `drills of ${cluster.name} would run on ${drill.host}, the host of the cluster`,
      hint: 'name another host; or allow_same_host: true, where a drill may take room, memory and disk time from the cluster',
    },
  ];
}

function checkEngines({ cluster, drill, at }: Drilled): Problem[] {
  const policies = Object.values(cluster.policies);
  const known = [...new Set(policies.flatMap(({ name, engine }) => [engine, name]))];
  return drill.engines.flatMap((named, index): Problem[] => {
    const path = [...at, 'engines', index];
    if (drill.engines.indexOf(named) !== index)
      return [{ path, message: `${JSON.stringify(named)} appears here twice`, hint: 'keep one of them' }];
    const meant = policies.filter(({ name, engine }) => named === name || named === engine);
    if (meant.length === 0)
      return [
        {
          path,
          message: `${cluster.name} has no policy of that name or engine: ${JSON.stringify(named)}`,
          hint: didYouMean(named, known, 'engines and policies'),
        },
      ];
    if (meant.some(({ enabled }) => enabled)) return [];
    return [
      {
        path,
        message: `the policy ${meant[0]?.name} is disabled: it makes no backups that a drill could restore`,
        hint: 'set enabled: true, or take it out of engines',
      },
    ];
  });
}

/** A directory of another host cannot be read from staging: refused where nothing would be left to restore. */
function checkReach(config: CheckedConfig, { cluster, drill, at }: Drilled): Problem[] {
  const unreached = (repository: string) => !reachesRepository(config, drill.host, repository);
  const elsewhere = (repository: string) =>
    `repository ${repository} is a directory of host ${config.repositories[repository]?.host}, drills of ${cluster.name} run on ${drill.host}`;
  const hint = `name a repository that both hosts can reach (type: s3), or drill on ${cluster.host} with allow_same_host: true`;
  if (unreached(cluster.catalogue))
    return [{ path: [...at, 'host'], message: `the catalogue: ${elsewhere(cluster.catalogue)}`, hint }];
  const policies = drilledPolicies(cluster, drill.engines);
  const [first] = policies;
  if (first === undefined)
    return drill.engines.length > 0
      ? []
      : [
          {
            path: at,
            message: `${cluster.name} has no enabled policy: a drill has nothing to restore`,
            hint: 'add one under backups',
          },
        ];
  return policies.every(({ repository }) => unreached(repository))
    ? [{ path: [...at, 'host'], message: elsewhere(first.repository), hint }]
    : [];
}

/** Policies that drills leave out: their repository is on another host. Each drill says it too. */
export function unreachedWarnings(config: CheckedConfig): Problem[] {
  return Object.entries(config.clusters).flatMap(([name, cluster]) => {
    const { drill } = cluster;
    if (drill === undefined) return [];
    return drilledPolicies(cluster, drill.engines)
      .filter(({ repository }) => !reachesRepository(config, drill.host, repository))
      .map(({ name: policy, repository }) => ({
        path: ['clusters', name, 'drill', 'host'],
        message: `drills leave out ${policy}, unless its repository ${repository} is mounted on ${drill.host} at the same path: it is a directory of host ${config.repositories[repository]?.host}`,
        hint: `name a repository that ${drill.host} can reach too, e.g. of type s3`,
      }));
  });
}
