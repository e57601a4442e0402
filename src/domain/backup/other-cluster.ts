import type { Backup, OtherCluster } from './backup.js';

type Made = Pick<Backup, 'policy' | 'server'>;

/**
 * The cluster of a backup where its policy's newest backup is of another one: pg_upgrade, and a new initdb, make another system
 * identifier. Null where it is the same, or nobody recorded it.
 * @param backups of one cluster, oldest first
 */
export function otherClusterOf({ policy, server }: Made, backups: readonly Made[]): OtherCluster | null {
  const present = backups.findLast((backup) => backup.policy === policy && backup.server !== undefined)?.server;
  if (server === undefined || present === undefined || server.systemIdentifier === present.systemIdentifier)
    return null;
  return { systemIdentifier: server.systemIdentifier, major: majorOf(server) };
}

/** Major version of the server that a backup was made of. */
export function majorOf({ versionNum }: NonNullable<Backup['server']>): number {
  return Math.floor(versionNum / 10_000);
}

/** Such a cluster, in words. */
export function otherClusterInWords({ systemIdentifier, major }: OtherCluster): string {
  return `another cluster than the present one (PostgreSQL ${major}, system identifier ${systemIdentifier})`;
}
