import type { Config } from '../domain/config.js';
import { engineKinds } from '../engines/registry.js';
import { storageKinds } from '../storage/registry.js';
import { checkCluster } from './check-cluster.js';
import { checkDrills } from './check-drills.js';
import { type Claim, collisions, Directories, Places } from './claims.js';
import type { Problem } from './problem.js';
import { reservedNotifierNames } from './schema/people.js';

type CheckedConfig = Omit<Config, 'warnings'>;

/** What is wrong between parts that are each right by themselves. */
export function crossCheck(config: CheckedConfig): readonly Problem[] {
  const repositories = repositoryClaims(config);
  const dataDirs = dataDirClaims(config);
  return [
    ...Object.entries(config.clusters).flatMap(([name, cluster]) => checkCluster(config, name, cluster)),
    ...checkPeople(config),
    ...checkMedia(config),
    // Files are under <repository>/<cluster>/<policy>/: only a shared or nested root makes two policies collide.
    ...collisions(repositories, new Directories(), 'use the same directory, or one inside the other'),
    ...collisions(dataDirs, new Directories(), 'use the same directory, or one inside the other'),
    ...overlapping(repositories, dataDirs),
    ...collisions(engineClaims(config), new Places(), 'share one place'),
    ...collisions(serverClaims(config), new Places(), 'are one server'),
    ...checkDrills(config, [...dataDirs, ...repositories]),
  ];
}

/** What is wrong between events, notifiers and contacts: somebody would wait for a message that never comes. */
function checkPeople(config: CheckedConfig): Problem[] {
  const reserved = Object.keys(config.notifiers)
    .filter((name) => reservedNotifierNames.includes(name))
    .map((name) => ({
      path: ['notifiers', name],
      message: `a notifier may not be named ${name}`,
      hint: 'contacts have a key of that name',
    }));
  return [
    ...reserved,
    ...Object.entries(config.notify).flatMap(([event, notifiers]) => checkEvent(config, event, notifiers ?? [])),
  ];
}

function checkEvent({ notifiers, contacts }: CheckedConfig, event: string, named: readonly string[]): Problem[] {
  return named.flatMap((name, index): Problem[] => {
    const path = ['notify', event, index];
    if (named.indexOf(name) !== index)
      return [{ path, message: `notifier "${name}" appears here twice`, hint: 'keep one of them' }];
    if (notifiers[name]?.takesRuns)
      return [
        {
          path,
          message: `notifier ${name} is told of every scheduled run, and of nothing else`,
          hint: 'take it out here: it needs no line under notify',
        },
      ];
    if (!notifiers[name]?.addressed || Object.values(contacts).some((contact) => contact[name] !== undefined))
      return [];
    return [
      {
        path,
        message: `notifier ${name} reaches nobody: no contact has an address for it`,
        hint: `add contacts: { NAME: { ${name}: [ADDRESS] } }`,
      },
    ];
  });
}

/** A sync removes what its source lacks: that must never be a backup, and the cluster's host must reach it. */
function checkMedia(config: CheckedConfig): Problem[] {
  const backups = new Set(
    Object.values(config.clusters).flatMap(({ catalogue, policies }) => [
      catalogue,
      ...Object.values(policies).map(({ repository }) => repository),
    ]),
  );
  return Object.entries(config.media).flatMap(([name, { repository, cluster }]): Problem[] => {
    const path = ['media', name, 'repository'];
    if (backups.has(repository))
      return [
        {
          path,
          message: `repository ${repository} holds backups or records`,
          hint: 'give media a separate repository',
        },
      ];
    const [there, here] = [config.repositories[repository]?.host, config.clusters[cluster]?.host];
    if (there === undefined || there === here) return [];
    return [
      {
        path,
        message: `repository ${repository} is a directory of host ${there}, the cluster is on ${here ?? '?'}`,
        hint: `name a repository that host ${here ?? '?'} can reach`,
      },
    ];
  });
}

function repositoryClaims(config: CheckedConfig): Claim[] {
  return Object.entries(config.repositories).flatMap(([name, repository]) => {
    const kind = storageKinds[repository.type];
    if (!kind) return [];
    const { type, host = '', options } = repository;
    // What is reached from everywhere is one place, from whichever host a repository is opened.
    return [
      {
        path: ['repositories', name],
        owner: `repository ${name}`,
        host: kind.onHost ? `${type} ${host}` : type,
        place: kind.place(options),
      },
    ];
  });
}

function dataDirClaims(config: CheckedConfig): Claim[] {
  return Object.entries(config.clusters).flatMap(([name, cluster]) => {
    const own = cluster.dataDir;
    const targets = Object.entries(cluster.recovery.targets).map(([target, { host, dataDir }]) => ({
      path: ['clusters', name, 'recovery', 'targets', target],
      owner: `target ${target}`,
      host: `directory ${host}`,
      place: dataDir,
    }));
    const live = {
      path: ['clusters', name],
      owner: `the data directory of ${name}`,
      host: `directory ${cluster.host}`,
    };
    return own === undefined ? targets : [{ ...live, place: own }, ...targets];
  });
}

function engineClaims(config: CheckedConfig): Claim[] {
  return Object.entries(config.clusters).flatMap(([cluster, { host, policies }]) =>
    Object.entries(policies).flatMap(([name, { engine, options }]) => {
      const place = engineKinds[engine]?.place?.(options);
      return place === undefined
        ? []
        : [{ path: ['clusters', cluster, 'backups', name], owner: `policy ${cluster}/${name}`, host, place }];
    }),
  );
}

function serverClaims(config: CheckedConfig): Claim[] {
  return Object.entries(config.clusters).map(([name, { host, connection }]) => ({
    path: ['clusters', name],
    owner: `cluster ${name}`,
    host,
    place: `${connection.host}:${connection.port}`,
  }));
}

function overlapping(repositories: readonly Claim[], dataDirs: readonly Claim[]): Problem[] {
  const index = new Directories();
  for (const dataDir of dataDirs) index.add(dataDir);
  return repositories.flatMap((repository) =>
    index.clashing(repository).map((dataDir) => ({
      path: repository.path,
      message: `${repository.owner} and ${dataDir.owner} overlap: one directory is inside the other`,
      hint: 'a recovery renames the data directory: keep backups on another device',
    })),
  );
}
