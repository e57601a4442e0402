import type { Problem } from '../problem.js';
import type { SettledConfig } from '../resolve-defaults.js';

/** A sync removes what its source lacks: never may that be a backup, nor lie where the cluster's host does not reach. */
export function checkMedia(config: SettledConfig): Problem[] {
  const backups = new Set(
    Object.values(config.clusters).flatMap(({ catalogue, backups: policies }) => [
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
          hint: 'give media a repository of their own',
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
