import type { MediaConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import type { MediaBinding, MediaPlaceName } from '../../domain/media/media.js';
import type { MediaTask } from '../../domain/operation/orders.js';
import { type MediaPlace, objectsOf } from '../../media/place.js';
import type { MediaRun } from '../../media/carry-out.js';
import { repositoryOf } from '../config-lookup.js';
import type { ClusterContext } from '../cluster-context.js';

/** @throws RepriseError `not-found` for an entry that is not there, or belongs to another cluster */
export function mediaOf({ deps, cluster }: ClusterContext, name: string): MediaConfig {
  const media = deps.config.media[name];
  if (media?.cluster === cluster.name) return media;
  const known = Object.values(deps.config.media)
    .filter((entry) => entry.cluster === cluster.name)
    .map((entry) => entry.name);
  throw new RepriseError(
    'not-found',
    `cluster ${cluster.name} has no media "${name}"`,
    known.length > 0 ? `its media: ${known.join(', ')}` : 'add it under media: in reprise.yml',
  );
}

/** Where a task reads and where it writes; the same place where it recovers in place. */
export function placesOf(
  clusterContext: ClusterContext,
  media: MediaConfig,
  { into }: MediaTask,
): { readonly from: MediaPlaceName; readonly into: MediaPlaceName } {
  const from = { repository: media.repository, folder: media.folder };
  if (into === undefined) return { from, into: from };
  const target = targetOf(clusterContext, media, into);
  if (
    target.repository === from.repository &&
    (target.folder.startsWith(from.folder) || from.folder.startsWith(target.folder))
  ) {
    throw new RepriseError(
      'conflict',
      `${into} is in ${media.name}, or ${media.name} is in it`,
      'omit --into to recover in place, or name another place',
    );
  }
  return { from, into: target };
}

/** Another entry of the same cluster, else a whole repository, but none with backups or media: a sync removes. */
function targetOf({ deps: { config } }: ClusterContext, { cluster }: MediaConfig, name: string): MediaPlaceName {
  const media = config.media[name];
  // Approvals and the lock are those of one cluster: nothing of another one may be changed by them.
  if (media && media.cluster !== cluster)
    throw new RepriseError(
      'conflict',
      `${name} are media of cluster ${media.cluster}, not of ${cluster}`,
      `name a separate place, or an entry under media: with cluster: ${cluster}`,
    );
  if (media) return { repository: media.repository, folder: media.folder };
  const known = [...Object.keys(config.media), ...Object.keys(config.repositories)];
  if (!config.repositories[name])
    throw new RepriseError(
      'not-found',
      `there is no media entry and no repository "${name}"`,
      `there are: ${known.join(', ')}`,
    );
  const holdsBackups = Object.values(config.clusters).some(
    ({ catalogue, policies }) =>
      catalogue === name || Object.values(policies).some(({ repository }) => repository === name),
  );
  if (holdsBackups)
    throw new RepriseError(
      'conflict',
      `repository ${name} holds backups or records: media are never put there`,
      'name a separate repository, or an entry under media:',
    );
  const living = Object.values(config.media).find(({ repository }) => repository === name);
  if (living)
    throw new RepriseError(
      'conflict',
      `repository ${name} holds the media ${living.name} of cluster ${living.cluster}`,
      'name the entry itself, or a repository without media',
    );
  return { repository: name, folder: '' };
}

/** The work of a plan, opened. */
export function workOf(
  clusterContext: ClusterContext,
  { task, from, into, media }: Pick<MediaBinding, 'task' | 'from' | 'into' | 'media'>,
): MediaRun {
  const opened = (place: MediaPlaceName): MediaPlace => openPlace(clusterContext, place);
  if (task.kind === 'sync') return { kind: 'sync', from: opened(from), into: opened(into), delete: task.delete };
  const at = Date.parse(task.to);
  if (task.into === undefined) return { kind: 'restore', place: opened(from), at, later: task.later };
  const work: MediaRun = { kind: 'restore-into', from: opened(from), into: opened(into), at };
  const [source, target] = [objectsOf(work.from).place, objectsOf(work.into).place];
  if (source.server === target.server) return work;
  throw new RepriseError(
    'capability-missing',
    `${task.into} is on another server than ${media}`,
    'recover into a bucket of the same server, then: reprise media sync',
  );
}

export function openPlace(clusterContext: ClusterContext, { repository, folder }: MediaPlaceName): MediaPlace {
  return {
    name: `repository ${repository}`,
    storage: clusterContext.deps.openStorage(repositoryOf(clusterContext.deps.config, repository), clusterContext.user),
    folder,
  };
}
