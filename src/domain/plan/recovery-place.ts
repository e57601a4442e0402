import type { ClusterConfig, ConnectionConfig } from '../config.js';
import { RepriseError } from '../errors.js';
import { type PlanBinding, losesOldData } from './plan.js';

/** Where a recovery goes. */
export interface RecoveryPlace {
  readonly inPlace: boolean;
  readonly host: string;
  readonly dataDir: string | null;
  readonly port: number;
}

/** `in-place`, or an entry under `recovery.targets`; throws `not-found` for another name. */
export function recoveryPlace(cluster: ClusterConfig, into: string): RecoveryPlace {
  if (into === 'in-place')
    return { inPlace: true, host: cluster.host, dataDir: cluster.dataDir ?? null, port: cluster.connection.port };
  const target = cluster.recovery.targets[into];
  if (!target) {
    throw new RepriseError(
      'not-found',
      `cluster ${cluster.name} has no recovery target "${into}"`,
      `--into takes in-place${Object.keys(cluster.recovery.targets)
        .map((name) => `, ${name}`)
        .join('')}; add it under recovery.targets`,
    );
  }
  return { inPlace: false, host: target.host, dataDir: target.dataDir, port: target.port };
}

/**
 * The recovered server's connection: the cluster's own, at the port of the place. On another host the cluster's address
 * would still be the source's: there it is asked locally.
 */
export function connectionAt(
  cluster: ClusterConfig,
  { port, targetHost }: Pick<PlanBinding, 'port' | 'targetHost'>,
): ConnectionConfig {
  const { connection } = cluster;
  const isLocal =
    targetHost === cluster.host || connection.host.startsWith('/') || /^(?:localhost|127\.|::1$)/.test(connection.host);
  return { ...connection, port, ...(isLocal ? {} : { host: '127.0.0.1' }) };
}

/** A path below a directory whose own path is absolute and normalised, as all of the config are. */
const below = (directory: string, name: string): string => `${directory === '/' ? '' : directory}/${name}`;
const lastPart = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
/** The directory that a path is in. */
export const parentOf = (path: string): string => path.slice(0, Math.max(1, path.lastIndexOf('/')));

/** Letters that are safe in a path and in a database name. */
const short = (operationId: string): string => operationId.replace(/[^A-Za-z0-9]+/g, '-').slice(-32);

/** Old data stays beside the new: a rename on the same file system. */
export const oldDataDirectory = (dataDir: string, operationId: string): string =>
  `${dataDir}.aside-${short(operationId)}`;
/** The same below a directory of another file system. */
export const oldDataDirectoryOn = (path: string, dataDir: string, operationId: string): string =>
  below(path, lastPart(oldDataDirectory(dataDir, operationId)));
export const salvageDir = (dataDir: string, operationId: string): string => `${dataDir}.salvage-${short(operationId)}`;
/** Where saved WAL is: as in a data directory, where it is all that an overwritten one leaves to a later plan. */
export const savedWalDir = (binding: Pick<PlanBinding, 'replaces' | 'operationId'>, dataDir: string): string =>
  losesOldData(binding)
    ? `${salvageDir(dataDir, binding.operationId)}/pg_wal`
    : salvageDir(dataDir, binding.operationId);
/** The configuration captured with the backup, offered beside the restored data. */
export const configurationDir = (dataDir: string, operationId: string): string =>
  `${dataDir}.configuration-${short(operationId)}`;
export const tablespaceDir = (dataDir: string, operationId: string): string =>
  `${dataDir}.tablespaces-${short(operationId)}`;

/** PostgreSQL cuts names at 63 bytes: the operation's end stays whole, the database's name is cut. */
const suffixed = (database: string, suffix: string): string => {
  let name = database;
  while (Buffer.byteLength(name) + suffix.length > 63) name = name.slice(0, -1);
  return name + suffix;
};
export const oldDatabaseName = (database: string, operationId: string): string =>
  suffixed(database, `_aside_${short(operationId).slice(-20)}`);
export const newDatabaseName = (database: string, operationId: string): string =>
  suffixed(database, `_new_${short(operationId).slice(-20)}`);
