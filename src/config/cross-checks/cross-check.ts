import { isAbsolute, relative, sep } from 'node:path';
import { engineKinds } from '../../engines/registry.js';
import { storageKinds } from '../../storage/registry.js';
import { checkCluster } from './check-cluster.js';
import { checkMedia } from './check-media.js';
import { checkPeople } from './check-people.js';
import type { ConfigPath, Problem } from '../problem.js';
import type { SettledConfig } from '../resolve-defaults.js';

/** A place that only one owner may have. */
interface Claim {
  readonly path: ConfigPath;
  /** What the reader is told it is, e.g. `repository local`. */
  readonly owner: string;
  readonly host: string;
  readonly place: string;
}

/** What is wrong between parts that are each right by themselves. */
export function crossCheck(config: SettledConfig): readonly Problem[] {
  const repositories = repositoryClaims(config);
  const dataDirs = dataDirClaims(config);
  return [
    ...Object.entries(config.clusters).flatMap(([name, cluster]) => checkCluster(config, name, cluster)),
    ...checkPeople(config),
    ...checkMedia(config),
    // Files lie under <repository>/<cluster>/<policy>/: only a shared or nested root makes two policies collide.
    ...collisions(repositories, overlaps, 'lie in one directory'),
    ...collisions(dataDirs, overlaps, 'lie in one directory'),
    ...repositories.flatMap((repository) =>
      dataDirs
        .filter((dataDir) => repository.host === dataDir.host && overlaps(repository.place, dataDir.place))
        .map((dataDir) => ({
          path: repository.path,
          message: `${repository.owner} and ${dataDir.owner} lie in one another`,
          hint: 'a recovery puts the data directory aside: keep backups on another device',
        })),
    ),
    ...collisions(engineClaims(config), same, 'share one place'),
    ...collisions(serverClaims(config), same, 'are one server'),
  ];
}

function repositoryClaims(config: SettledConfig): Claim[] {
  return Object.entries(config.repositories).flatMap(([name, repository]) => {
    const kind = storageKinds[repository.type];
    if (!kind) return [];
    const { type, host = '', encryption: _encryption, prices: _prices, ...options } = repository;
    // What is reached from everywhere is one place, from whichever host a repository is opened.
    return [
      {
        path: ['repositories', name],
        owner: `repository ${name}`,
        host: kind.onHost ? `${type} ${host}` : type,
        place: kind.place(kind.read(options)),
      },
    ];
  });
}

function dataDirClaims(config: SettledConfig): Claim[] {
  return Object.entries(config.clusters).flatMap(([name, cluster]) => {
    const own = cluster.data_dir;
    const targets = Object.entries(cluster.recovery.targets).map(([target, { host, data_dir }]) => ({
      path: ['clusters', name, 'recovery', 'targets', target],
      owner: `target ${target}`,
      host: `directory ${host}`,
      place: data_dir,
    }));
    const live = {
      path: ['clusters', name],
      owner: `the data directory of ${name}`,
      host: `directory ${cluster.host}`,
    };
    return own === undefined ? targets : [{ ...live, place: own }, ...targets];
  });
}

function engineClaims(config: SettledConfig): Claim[] {
  return Object.entries(config.clusters).flatMap(([cluster, { host, backups }]) =>
    Object.entries(backups).flatMap(([name, { engine, options }]) => {
      const place = engineKinds[engine]?.place?.(options);
      return place === undefined
        ? []
        : [{ path: ['clusters', cluster, 'backups', name], owner: `policy ${cluster}/${name}`, host, place }];
    }),
  );
}

function serverClaims(config: SettledConfig): Claim[] {
  return Object.entries(config.clusters).map(([name, { host, connection }]) => ({
    path: ['clusters', name],
    owner: `cluster ${name}`,
    host,
    place: `${connection.host}:${connection.port}`,
  }));
}

function collisions(claims: readonly Claim[], clash: (left: string, right: string) => boolean, how: string): Problem[] {
  return claims.flatMap((claim, index) => {
    const earlier = claims.slice(0, index).find(({ host, place }) => host === claim.host && clash(place, claim.place));
    if (!earlier) return [];
    const message = `${earlier.owner} and ${claim.owner} ${how}: ${claim.place}`;
    return [{ path: claim.path, message, hint: 'give each a place of its own' }];
  });
}

const same = (left: string, right: string): boolean => left === right;

/** Equal, or one within the other. */
function overlaps(left: string, right: string): boolean {
  return [relative(left, right), relative(right, left)].some(
    (way) => way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way),
  );
}
