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
        .join(
          '',
        )}; add it under recovery.targets. If reprise.yml names it: restart the worker, which has read an older one`,
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
  if (isLocal) return { ...connection, port };
  // Within a machine, nobody listens; the certificate is for the host that the configuration names, and this server may have none.
  const { tls } = connection;
  const asOffered = tls === undefined ? undefined : { ...tls, mode: 'prefer' as const, rootCert: undefined };
  return { ...connection, port, host: '127.0.0.1', tls: asOffered };
}

/** A path below a directory whose own path is absolute and normalised, as all of the config are. */
const below = (directory: string, name: string): string => `${directory === '/' ? '' : directory}/${name}`;
const lastPart = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
/** The directory that a path is in. */
export const parentOf = (path: string): string => path.slice(0, Math.max(1, path.lastIndexOf('/')));

/**
 * Sixteen digits that stand for all of several texts (FNV-1a of 64 bits). They keep names apart and protect nothing: a
 * plan with the same name twice is refused, and what is ours is told by its mark.
 */
function hashOf(...parts: readonly string[]): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(JSON.stringify(parts)))
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash.toString(16).padStart(16, '0');
}

/** The operation in letters that are safe in a path: as it is, or a beginning of it and a hash of the whole. */
const short = (operationId: string): string =>
  /^[A-Za-z0-9-]{1,32}$/.test(operationId)
    ? operationId
    : `${operationId.replaceAll(/[^A-Za-z0-9]+/g, '-').slice(0, 15)}-${hashOf(operationId)}`;

/** Old data stays beside the new: a rename on the same file system. */
export const oldDataDirectory = (dataDir: string, operationId: string): string =>
  `${dataDir}.aside-${short(operationId)}`;
/** The same inside a directory that stays where it is, as those of tablespaces do: what is beside their own is not theirs. */
export const asideWithin = (path: string, operationId: string): string => below(path, `.aside-${short(operationId)}`);
/** Where a tablespace is restored to, on the disk it belongs on, before it takes the place of the old one. */
export const restoredWithin = (path: string, operationId: string, oid: string): string =>
  below(path, `.tablespaces-${short(operationId)}/${oid}`);
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

/** PostgreSQL cuts names at 63 bytes. */
const LONGEST_NAME = 63;

/**
 * A name for what comes from a database: with database and operation in it, or where they are too long with a beginning
 * of the one and a hash of both, so that two databases never get the same name.
 */
function derivedName(database: string, what: 'aside' | 'new', operationId: string): string {
  const whole = `${database}_${what}_${operationId}`;
  if (/^[A-Za-z0-9-]{1,20}$/.test(operationId) && Buffer.byteLength(whole) <= LONGEST_NAME) return whole;
  const suffix = `_${what}_${hashOf(database, operationId)}`;
  let beginning = '';
  for (const character of database) {
    if (Buffer.byteLength(beginning + character) + suffix.length > LONGEST_NAME) break;
    beginning += character;
  }
  return beginning + suffix;
}

export const oldDatabaseName = (database: string, operationId: string): string =>
  derivedName(database, 'aside', operationId);
export const newDatabaseName = (database: string, operationId: string): string =>
  derivedName(database, 'new', operationId);

/** Stands in the comment of a database that an operation has restored: by it, and not by its name, it is known again. */
export const databaseMark = (operationId: string): string => `[reprise:${operationId.replaceAll(']', '')}]`;
