import type { Backup } from '../backup/backup.js';
import type { ClusterConfig, Config } from '../config.js';
import { reachesRepository } from './drilled-policies.js';
import type { DrillPlan, NotTested, PlannedRestore } from './drill.js';

/** What a drill leaves out, and why: the report says it. `isolates`: the host can run a server without a network. */
export function notTestedBy(
  config: Pick<Config, 'media' | 'repositories'>,
  cluster: Pick<ClusterConfig, 'name' | 'host' | 'databases' | 'policies' | 'drill'>,
  host: string,
  { restores, unrestorable }: Required<Pick<DrillPlan, 'restores' | 'unrestorable'>>,
  backups: readonly Pick<Backup, 'id' | 'objects'>[],
  isolates = true,
): readonly NotTested[] {
  return [
    ...unrestorable.map(({ policy, reason }) => ({ kind: 'policy' as const, name: policy, reason })),
    ...policiesLeftOut(config, cluster, host, [...restores, ...unrestorable]),
    ...databasesLeftOut(cluster, restores),
    ...placesLeftOut(cluster, host, restores),
    ...Object.values(config.media)
      .filter((media) => media.cluster === cluster.name)
      .map(({ name }) => ({ kind: 'media' as const, name, reason: 'a drill restores no media' })),
    ...engineComparison(restores),
    ...objectsNotRecorded(restores, backups),
    ...reachable(restores, isolates),
  ];
}

/** Backups of older versions, those that others made, and those whose worker was lost while it made them. */
function objectsNotRecorded(
  restores: readonly PlannedRestore[],
  backups: readonly Pick<Backup, 'id' | 'objects'>[],
): NotTested[] {
  const recorded = new Set(backups.filter(({ objects }) => objects !== undefined).map(({ id }) => id));
  return restores
    .flatMap((restore) => restore.backups)
    .filter(({ id }) => !recorded.has(id))
    .map(({ label }) => ({
      kind: 'check',
      name: `objects of ${label}`,
      reason:
        'roles, tablespaces, extensions, large objects and definitions were not recorded with this backup: there is nothing to compare them with',
    }));
}

function policiesLeftOut(
  config: Pick<Config, 'repositories'>,
  { policies }: Pick<ClusterConfig, 'policies'>,
  host: string,
  planned: readonly Pick<PlannedRestore, 'policy'>[],
): NotTested[] {
  return Object.values(policies)
    .filter(({ name }) => planned.every(({ policy }) => policy !== name))
    .map(({ name, enabled, repository }) => {
      const reason = !enabled
        ? 'the policy is disabled'
        : reachesRepository(config, host, repository)
          ? 'it is not among the engines of this drill'
          : `its repository ${repository} is a directory of host ${config.repositories[repository]?.host}, which ${host} cannot read`;
      return { kind: 'policy' as const, name, reason };
    });
}

/** Physical restores hold them all. */
function databasesLeftOut(
  { databases }: Pick<ClusterConfig, 'databases'>,
  restores: readonly PlannedRestore[],
): NotTested[] {
  const dumps = restores.filter(({ method }) => method === 'databases');
  const isWhole = restores.some(({ method }) => method === 'data-directory');
  const restored = dumps.flatMap(({ backups }) => backups.map(({ database }) => database));
  const missing = databases
    .filter((name) => dumps.length > 0 && !restored.includes(name))
    .map((name) => ({ kind: 'database' as const, name, reason: 'there is no dump of it that could be restored' }));
  if (isWhole) return missing;
  return [
    ...missing,
    {
      kind: 'database',
      name: 'others of the cluster',
      reason: 'dumps are of the databases that the configuration names',
    },
  ];
}

function placesLeftOut(
  { name, host: source }: Pick<ClusterConfig, 'name' | 'host'>,
  host: string,
  restores: readonly PlannedRestore[],
): NotTested[] {
  const places: NotTested[] = restores.some(({ method }) => method === 'databases')
    ? [{ kind: 'tablespace', name: 'all of dumps', reason: 'what was in a tablespace is restored to pg_default' }]
    : [];
  if (restores.some(({ method }) => method === 'data-directory'))
    places.push({
      kind: 'tablespace',
      name: 'all of physical backups',
      reason: 'tablespaces are restored below one directory, not on disks of their own',
    });
  if (host !== source)
    places.push({
      kind: 'host',
      name: source,
      reason: `${name} was restored on ${host}: the disks of ${source} were not`,
    });
  return places;
}

function engineComparison(restores: readonly PlannedRestore[]): NotTested[] {
  const same = restores.some(({ chosen }) => chosen === 'same-as');
  if (same) return [];
  const physical = restores.filter(({ method }) => method === 'data-directory').length;
  return [
    {
      kind: 'check',
      name: 'comparison of two engines',
      reason:
        physical < 2
          ? 'it needs two engines that keep WAL'
          : 'the engines have no instant in common that both could be restored to',
    },
  ];
}

/** Which copies could reach other servers, so that whoever reads the report knows what to look at. */
function reachable(restores: readonly PlannedRestore[], isolates: boolean): NotTested[] {
  const copies = restores.filter(({ method }) => method === 'data-directory' || !isolates);
  if (copies.length === 0) return [];
  const reason = isolates
    ? 'the server that replays WAL needs the network, so its databases can reach other servers (postgres_fdw, dblink) while they are checked'
    : 'this host makes no network namespaces (unshare --net): what runs in the restored databases can reach other servers';
  return [{ kind: 'check', name: `no outgoing connections: ${copies.map(({ policy }) => policy).join(', ')}`, reason }];
}
