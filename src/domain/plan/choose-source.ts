import { type Backup, isTrusted, type OtherCluster } from '../backup/backup.js';
import { majorOf, otherClusterInWords } from '../backup/other-cluster.js';
import type { ClusterConfig, PolicyConfig } from '../config.js';
import { RepriseError } from '../errors.js';
import { formatTarget } from '../target/target.js';
import type { RecoveryOrder } from '../operation/orders.js';
import type { RecoveryMethod } from './plan.js';
import type { RecoveryOutline, RecoverySource } from './recovery-observations.js';
import type { RecoveryTarget } from '../target/target.js';

/** What is known of the engine of a policy before it is asked. */
export interface PolicyCapabilities {
  readonly method: Exclude<RecoveryMethod, 'restart'>;
  readonly targets: readonly RecoveryTarget['kind'][];
  readonly archivesWal: boolean;
}

export interface CapablePolicy {
  readonly policy: PolicyConfig;
  readonly capabilities: PolicyCapabilities;
}

/** Nothing was asked for that a start of the server would not give. */
export function allowsRestart({ policy, target, timeline, into, pause, database }: RecoveryOrder): boolean {
  return into === 'in-place' && target.kind === 'latest' && !policy && !database && !pause && timeline === undefined;
}

/** A start of the server, offered instead of a restore. */
export function restartSource(found: {
  readonly reason: string;
  readonly systemIdentifier: string | null;
}): RecoverySource {
  const outline: RecoveryOutline = {
    backups: [],
    target: { kind: 'latest' },
    timeline: null,
    systemIdentifier: found.systemIdentifier,
    sizeBytes: 0,
    neededBytes: 0,
    reachableFrom: null,
    reachableTo: null,
    walEnd: null,
    salvageableSegments: 0,
    warnings: [
      `the data directory is intact (${found.reason}): the plan starts the server and restores nothing; to restore anyway, name a policy (--policy)`,
    ],
  };
  return { method: 'restart', outline, content: {} };
}

/**
 * The backup that the order names, where it names one that is known.
 * @throws RepriseError `no-usable-backup` where it cannot be restored from
 */
export function namedBackup(
  { target }: RecoveryOrder,
  cluster: string,
  backups: readonly Backup[],
): Backup | undefined {
  const named = backups.find(({ id }) => target.kind === 'backup' && id === target.id);
  if (named === undefined || isRestorable(named)) return named;
  throw new RepriseError(
    'no-usable-backup',
    `backup ${named.id} is ${named.status}${named.partial === undefined ? '' : `, as ${named.partial}`}: it cannot be restored`,
    `choose another one: reprise backup list ${cluster}`,
  );
}

/**
 * The target with the whole id of its backup, where only its label was written, as tools and our hints do.
 * @throws RepriseError `not-found` for a backup that nobody knows
 */
export function knownBackup(target: RecoveryTarget, cluster: string, backups: readonly Backup[]): RecoveryTarget {
  if (target.kind !== 'backup' || backups.some(({ id }) => id === target.id)) return target;
  const [only, ...others] = backups.filter(({ label }) => label === target.id);
  if (only !== undefined && others.length === 0) return { kind: 'backup', id: only.id };
  throw new RepriseError(
    'not-found',
    only === undefined ? `there is no backup ${target.id} of ${cluster}` : `several backups are called ${target.id}`,
    `name one by its whole id: reprise backup list ${cluster}`,
  );
}

/** Policies that can reach the target, in the order in which they lose least: those that replay WAL before those that do not. */
export function ablePolicies(
  policies: readonly CapablePolicy[],
  { target, timeline, database }: Pick<RecoveryOrder, 'target' | 'timeline' | 'database'>,
): readonly CapablePolicy[] {
  return (
    policies
      .filter(({ capabilities }) => capabilities.targets.includes(target.kind))
      .filter(({ capabilities }) => timeline === undefined || capabilities.archivesWal)
      .toSorted((a, b) => Number(b.capabilities.archivesWal) - Number(a.capabilities.archivesWal))
      // One database: a dump of it is moved at once, and a physical backup restored whole first.
      .toSorted((a, b) => (database === undefined ? 0 : Number(isWhole(a)) - Number(isWhole(b))))
  );
}

const isWhole = ({ capabilities }: CapablePolicy): boolean => capabilities.method === 'data-directory';

/**
 * Backups of a policy that the order may be carried out with, newest first.
 * @throws RepriseError `capability-missing`, `no-usable-backup`
 */
export function candidateBackups(
  { policy, capabilities: { targets, archivesWal, method } }: CapablePolicy,
  { target, timeline, database }: RecoveryOrder,
  backups: readonly Backup[],
): readonly Backup[] {
  if (!targets.includes(target.kind)) {
    throw new RepriseError(
      'capability-missing',
      `engine ${policy.engine} cannot recover to ${formatTarget(target)}`,
      `it can: ${targets.join(', ')}; point-in-time targets need a policy that archives WAL`,
    );
  }
  if (timeline !== undefined && !archivesWal)
    throw new RepriseError(
      'capability-missing',
      `engine ${policy.engine} keeps no WAL, so that it follows no timeline`,
      'omit --timeline, or name a policy that archives WAL',
    );
  // A physical backup holds every database.
  const ofAll = method === 'data-directory';
  const usable = backups.filter(
    (backup) =>
      backup.policy === policy.name && isRestorable(backup) && (!database || ofAll || backup.database === database),
  );
  if (usable.length === 0) {
    throw new RepriseError(
      'no-usable-backup',
      `policy ${policy.name} of ${policy.cluster} has no complete backup`,
      `list the backups: reprise backup list ${policy.cluster}`,
    );
  }
  const trusted = target.kind === 'backup' ? usable : usable.filter(isTrusted);
  const [adopted] = usable;
  if (trusted.length === 0 && adopted) {
    throw new RepriseError(
      'no-usable-backup',
      `policy ${policy.name} of ${policy.cluster} has only adopted backups, of which nobody knows where they came from`,
      adopted.adopted?.whole === false
        ? `name one: --to backup:${adopted.id}; nobody can tell whether it is whole`
        : `restore-test one: reprise backup verify ${adopted.id} --restore; or name it: --to backup:${adopted.id}`,
    );
  }
  return (method === 'data-directory' ? ofOneCluster(trusted, target) : trusted).toReversed();
}

/** WAL of one cluster leads on from none of another: those of the named backup's cluster, else of the newest one's. */
function ofOneCluster(backups: readonly Backup[], target: RecoveryTarget): readonly Backup[] {
  const named = target.kind === 'backup' ? backups.find(({ id }) => id === target.id) : undefined;
  const of = (named ?? backups.findLast(({ server }) => server !== undefined))?.server?.systemIdentifier;
  return of === undefined
    ? backups
    : backups.filter(({ server }) => server === undefined || server.systemIdentifier === of);
}

/**
 * A backup of another cluster than the present one, or of another major version than what is in the data directory, is recovered
 * beside: it would come with files that the service of the present one cannot start.
 * @param other the cluster it is of, where the policy's newest backup is of another one
 * @param present major version of what is in the data directory; undefined where nothing is
 * @throws RepriseError `identity-mismatch`, `version-mismatch`
 */
export function requireBeside(
  { into }: RecoveryOrder,
  { id, cluster, server }: Backup,
  other: OtherCluster | null,
  present?: number,
): void {
  if (into !== 'in-place' || server === undefined) return;
  const major = majorOf(server);
  const way = `recover it beside, with the programs of PostgreSQL ${major}: reprise recover ${cluster} --to backup:${id} --into NAME`;
  if (other !== null)
    throw new RepriseError(
      'identity-mismatch',
      `backup ${id} is of ${otherClusterInWords(other)}: it is not recovered in place`,
      way,
    );
  if (present !== undefined && present !== major)
    throw new RepriseError(
      'version-mismatch',
      `backup ${id} is of PostgreSQL ${major}, and the data directory is of PostgreSQL ${present}: it is not recovered in place`,
      `${way}; where that data directory is not needed, as after an installation, move it away and set data_dir and service to PostgreSQL ${major}`,
    );
}

/** The refusal where no policy can reach the target at all. */
export function noPolicyReaches({ name }: ClusterConfig, { target }: RecoveryOrder): RepriseError {
  return new RepriseError(
    'no-usable-backup',
    `no policy of ${name} can recover to ${formatTarget(target)}`,
    `list the backups: reprise backup list ${name}`,
  );
}

/** Whoever approves an older backup should know why it is not the newest. */
export function passedOver(backups: readonly Backup[], policy: string, outline: RecoveryOutline): readonly string[] {
  const newer = backups.filter(
    (backup) =>
      backup.policy === policy &&
      (backup.status === 'quarantined' || backup.status === 'partial') &&
      outline.backups.some(({ database, startedAt }) => database === backup.database && startedAt < backup.startedAt),
  );
  return [
    ...newer.map(({ id, partial }) =>
      partial === undefined
        ? `backup ${id} is newer but quarantined, so it is not used (to verify it again: reprise backup verify ${id})`
        : `backup ${id} is newer but partial, so it is not used: ${partial}`,
    ),
    ...outline.backups.flatMap(({ id, pageErrors }) =>
      pageErrors === undefined
        ? []
        : [`backup ${id} was taken although pages are damaged or not checked: ${pageErrors.join(', ')}`],
    ),
    ...adoptedAmong(backups, policy, outline),
  ];
}

/** Adopted backups: those that are used, and newer ones that are not. */
function adoptedAmong(backups: readonly Backup[], policy: string, outline: RecoveryOutline): readonly string[] {
  const used = new Set(outline.backups.map(({ id }) => id));
  return backups
    .filter((backup) => backup.policy === policy && backup.adopted !== undefined)
    .flatMap((backup) => {
      const { id, adopted, proven } = backup;
      const tested = [
        proven?.level === 'restored' ? 'restore-tested here' : 'not restore-tested here',
        ...(adopted?.unknown === undefined ? [] : [`perhaps not whole: ${adopted.unknown}`]),
      ].join(', ');
      if (used.has(id))
        return [
          `backup ${id} was adopted (${adopted?.checked === true ? 'of this cluster, by its system identifier' : `of unknown origin, ${tested}`})`,
        ];
      const hasNewer = outline.backups.some(
        ({ database, startedAt }) => database === backup.database && startedAt >= backup.startedAt,
      );
      return !hasNewer && !isTrusted(backup)
        ? [
            `backup ${id} is newer but adopted and ${adopted?.whole === false ? 'perhaps not whole' : 'not restore-tested here'}: to use it, name it (--to backup:${id})`,
          ]
        : [];
    });
}

/** The instant whose data comes back; null where only the recovery itself will know it. */
export function recoveredInstant({ method, through, outline }: RecoverySource): string | null {
  const { target, backups, reachableTo, stateAt } = outline;
  // A dump holds the data of its start; the oldest of several says what is not lost for sure.
  if (method === 'databases' && through === undefined)
    return backups.map(({ startedAt }) => startedAt).sort()[0] ?? null;
  if (stateAt != null) return stateAt;
  if (target.kind === 'latest') return reachableTo;
  if (target.kind === 'time') return target.time;
  const ended = target.kind === 'backup' || target.kind === 'end-of-backup' ? backups.at(-1)?.finishedAt : undefined;
  return ended ?? null;
}

/** Complete, or cold: then its files are thawed first. */
function isRestorable({ status }: Backup): boolean {
  return status === 'complete' || status === 'cold';
}
