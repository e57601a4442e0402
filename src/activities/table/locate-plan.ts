import type { Backup } from '../../domain/backup/backup.js';
import type { PolicyConfig } from '../../domain/config.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import type { LocateOrder } from '../../domain/operation/orders.js';
import { holdsFor, readCountQuery } from '../../domain/table/count-query.js';
import { type BelongsTo, isTable, recordedRows } from '../../domain/table/history.js';
import { isPlaceOfTimeline, type LocatePlan, type TableState } from '../../domain/table/locate.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { oneOf, visible } from '../../domain/text/text.js';
import { parseSegmentName } from '../../domain/target/wal.js';
import { pathOf, type Timeline } from '../../postgres/wal/timelines.js';
import type { ActivityRun } from '../activity-wrapper.js';
import { type ClusterContext, currentBackups, engineFor, policyOf } from '../cluster-context.js';
import { withClusterWal } from '../cluster-wal.js';
import { policiesHere } from '../config-lookup.js';
import { rowsOf } from '../inspection/table-history.js';
import { PhysicalSource } from '../temporary/instance-source.js';
import { invariantNamed } from './invariants.js';

/**
 * The states to look at: physical backups of the policy that archives WAL, along one timeline, and dumps from before the first of them,
 * of which nothing later could be told.
 * @param look at the table on production
 * @throws RepriseError `usage`, `not-found`, `no-usable-backup`
 */
export async function planLocate(
  clusterContext: ClusterContext,
  order: LocateOrder,
  run: ActivityRun,
  look: () => Promise<TableState>,
): Promise<LocatePlan> {
  const { cluster } = clusterContext;
  const { database, table, condition } = order;
  // Refused before anything is looked at.
  if (condition.kind === 'invariant') invariantNamed(cluster, database, table, condition.name);
  const policies = await policiesFor(clusterContext, order);
  const walPolicy = walPolicyOf(clusterContext, policies);
  const course = walPolicy === null ? null : await courseOf(clusterContext, walPolicy, order, run);
  const now = course?.isNewest === false ? null : await productionState(look);
  const listed = await listedBackups(clusterContext, policies, walPolicy, run);
  const known = listed.backups
    .filter((backup) => isInRange(backup, order))
    .toSorted((a, b) => Date.parse(momentOf(a)) - Date.parse(momentOf(b)));
  const usable = known.filter(({ status }) => status === 'complete');
  const onCourse = await courseBackups(clusterContext, { walPolicy, course, run }, usable);
  const firstWithWal = onCourse.findIndex(({ policy }) => policy === walPolicy?.name);
  const probes = onCourse.filter(
    ({ policy }, index) => policy === walPolicy?.name || firstWithWal === -1 || index < firstWithWal,
  );
  if (probes.length === 0)
    throw new RepriseError(
      'no-usable-backup',
      `no backup of ${cluster.name} in that range can be looked into`,
      `list the backups: reprise backup list ${cluster.name}`,
    );
  const records = new Records(order, await rowsOf(clusterContext, database, table), probes);
  if (now?.absent === true && records.isNowhere) throw notThere(clusterContext, order, probes.length);
  return {
    backups: probes.map((backup) => ({
      ...{ id: backup.id, policy: backup.policy, startedAt: backup.startedAt, at: momentOf(backup) },
      recorded: records.of(backup, clusterContext),
    })),
    ...{ walPolicy: walPolicy?.name ?? null, timeline: course?.timeline.id ?? null, now },
    isLeft: course?.isNewest === false,
    notes: [...listed.notes, ...unusableNotes(known), ...leftNotes(usable, onCourse, course)],
  };
}

async function policiesFor(clusterContext: ClusterContext, { policy }: LocateOrder): Promise<readonly PolicyConfig[]> {
  if (policy !== undefined) return [policyOf(clusterContext, policy)];
  const here = await policiesHere(clusterContext.deps, clusterContext.cluster);
  return here.filter(({ enabled }) => enabled);
}

/** @throws RepriseError `usage` where there are several: a server archives to one place */
function walPolicyOf(clusterContext: ClusterContext, policies: readonly PolicyConfig[]): PolicyConfig | null {
  const archiving = policies.filter((policy) => engineFor(clusterContext, policy).capabilities.archivesWal);
  if (archiving.length > 1)
    throw new RepriseError(
      'usage',
      `several policies of cluster ${clusterContext.cluster.name} archive WAL`,
      `name one: ${oneOf(
        '--policy',
        archiving.map(({ name }) => name),
      )}`,
    );
  return archiving[0] ?? null;
}

/** One history of the cluster: a recovery to an earlier instant begins another one. */
interface TimelineCourse {
  readonly timeline: Timeline;
  readonly isNewest: boolean;
  readonly segmentBytes: number;
}

/** Null where no WAL can be read: then backups alone tell. @throws RepriseError `not-found` for a timeline that is not there */
async function courseOf(
  clusterContext: ClusterContext,
  { name: policy }: PolicyConfig,
  { timeline }: LocateOrder,
  run: ActivityRun,
): Promise<TimelineCourse | null> {
  const read = (wanted: number | null) =>
    withClusterWal(clusterContext, run, { policy, timeline: wanted }, ({ course }) => Promise.resolve(course));
  try {
    const newest = await read(null);
    const course = timeline === undefined ? newest : await read(timeline);
    const { segmentBytes } = course.source;
    return { timeline: course.timeline, isNewest: course.timeline.id === newest.timeline.id, segmentBytes };
  } catch (error) {
    const isGone = isRepriseError(error) && (error.code === 'not-found' || error.code === 'wal-gap');
    if (timeline !== undefined || !isGone) throw error;
    return null;
  }
}

/** A repository of dumps that cannot be read keeps nobody from searching in the backups with WAL. */
async function listedBackups(
  clusterContext: ClusterContext,
  policies: readonly PolicyConfig[],
  walPolicy: PolicyConfig | null,
  run: ActivityRun,
): Promise<{ readonly backups: readonly Backup[]; readonly notes: readonly string[] }> {
  try {
    const backups = await currentBackups(clusterContext, run, policies);
    return { backups: backups.filter((backup) => policies.some((policy) => isOf(policy, backup))), notes: [] };
  } catch (error) {
    if (!isRepriseError(error) || walPolicy === null || policies.length === 1) throw error;
    const backups = await currentBackups(clusterContext, run, [walPolicy]);
    return {
      backups: backups.filter((backup) => isOf(walPolicy, backup)),
      notes: [`only backups of policy ${walPolicy.name} were searched: ${error.message}`],
    };
  }
}

/** The records have those of other policies too. */
const isOf = ({ name, previousNames = [] }: PolicyConfig, { policy }: Backup): boolean =>
  policy === name || previousNames.includes(policy);

/** The instant that a backup holds: a dump its beginning, a physical one its end. */
const momentOf = (backup: Backup): string =>
  backup.database === undefined ? (backup.finishedAt ?? backup.startedAt) : backup.startedAt;

function isInRange(backup: Backup, { database, from, to }: LocateOrder): boolean {
  const { status, partial, otherCluster, database: only } = backup;
  if (status === 'running' || status === 'failed' || partial !== undefined || otherCluster !== undefined) return false;
  if (only !== undefined && only !== database) return false;
  const at = Date.parse(momentOf(backup));
  return (from === undefined || at >= Date.parse(from)) && (to === undefined || at <= Date.parse(to));
}

/** Backups from which a replay comes to the end of the timeline that is followed. */
async function courseBackups(
  clusterContext: ClusterContext,
  {
    walPolicy,
    course,
    run,
  }: { readonly walPolicy: PolicyConfig | null; readonly course: TimelineCourse | null; readonly run: ActivityRun },
  backups: readonly Backup[],
): Promise<readonly Backup[]> {
  if (walPolicy === null || course === null) return backups;
  const path = pathOf(course.timeline);
  const kept: Backup[] = [];
  for (const backup of backups) {
    const { wal } = backup;
    const place =
      wal === undefined
        ? true
        : isPlaceOfTimeline(parseSegmentName(wal.stop, course.segmentBytes), path, course.segmentBytes);
    const isOn =
      backup.policy !== walPolicy.name || (place ?? (await leadsThere(clusterContext, walPolicy, backup, course, run)));
    if (isOn) kept.push(backup);
  }
  return kept;
}

/** Of one that ended in the very segment in which its timeline was left, the repository says where. */
async function leadsThere(
  clusterContext: ClusterContext,
  policy: PolicyConfig,
  { id }: Backup,
  { timeline }: TimelineCourse,
  run: ActivityRun,
): Promise<boolean> {
  try {
    const source = await PhysicalSource.open({ clusterContext, run, operationId: 'locate', policy }, id);
    await source.outline({ kind: 'backup', id }, timeline.id);
    return true;
  } catch (error) {
    if (!isRepriseError(error) || error.code !== 'target-before-backup') throw error;
    return false;
  }
}

/** What the records of backups say of the table, without a restore. */
class Records {
  private readonly isOwn: BelongsTo;
  /** Backups count the partitions of a table, and some of them may have been dropped since: then there were more rows. */
  private readonly isPartitioned: boolean;

  constructor(
    private readonly order: LocateOrder,
    private readonly belongs: BelongsTo,
    private readonly backups: readonly Backup[],
  ) {
    this.isOwn = isTable(order.table);
    this.isPartitioned = !backups.some((backup) => this.holds(backup, this.isOwn));
  }

  /** All of them recorded the tables of the database, and none of them has it. */
  get isNowhere(): boolean {
    const { backups, belongs } = this;
    return backups.every((backup) => this.holds(backup, () => true) && !this.holds(backup, belongs));
  }

  of(backup: Backup, { cluster }: ClusterContext): TableState | null {
    const { database, table, condition } = this.order;
    if (!this.isPartitioned && this.holds(backup, () => true) && !this.holds(backup, this.isOwn))
      return { holds: false, absent: true, figure: 'the table is not there' };
    const rows = recordedRows(backup, database, this.belongs)?.rows;
    if (rows === undefined || condition.kind === 'key') return null;
    const holds =
      condition.kind === 'min-rows'
        ? rows >= condition.rows
        : this.countHolds(invariantNamed(cluster, database, table, condition.name).query, rows);
    if (holds === null || (this.isPartitioned && !holds)) return null;
    return { holds, rows, figure: `${rows} rows` };
  }

  private countHolds(query: string, rows: number): boolean | null {
    const count = readCountQuery(query);
    if (count === null || count.only || !this.isOwn(count) || this.isPartitioned) return null;
    return holdsFor(count, rows);
  }

  private holds({ contents = [] }: Backup, which: BelongsTo): boolean {
    return contents.some((one) => one.database === this.order.database && which(one));
  }
}

function unusableNotes(backups: readonly Backup[]): readonly string[] {
  const unusable = backups.filter(({ status }) => status !== 'complete');
  const states = [...new Set(unusable.map(({ status }) => status))].toSorted();
  return states.map((state) => {
    const ids = unusable.flatMap(({ id, status }) => (status === state ? [id] : []));
    return `${ids.length === 1 ? '1 backup is' : `${ids.length} backups are`} ${state} and not looked into: ${listOf(ids)}`;
  });
}

function leftNotes(
  usable: readonly Backup[],
  onCourse: readonly Backup[],
  course: TimelineCourse | null,
): readonly string[] {
  const left = usable.filter((backup) => !onCourse.includes(backup));
  const of = [...new Set(left.map(({ wal }) => Number.parseInt(wal?.stop.slice(0, 8) ?? '', 16)))].toSorted(
    (a, b) => a - b,
  );
  if (course === null || left.length === 0) return [];
  return [
    `timeline ${course.timeline.id} is searched: ${listOf(left.map(({ id }) => id))} ${left.length === 1 ? 'is' : 'are'} of what a recovery has left; to search that: ${of.map((id) => `--timeline ${id}`).join(' or ')}`,
  ];
}

/** So many are named. */
const NAMED = 5;

function listOf(ids: readonly string[]): string {
  const more = ids.length - NAMED;
  return `${ids.slice(0, NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** Null where production does not answer: a search does not need it. */
async function productionState(look: () => Promise<TableState>): Promise<TableState | null> {
  try {
    return await look();
  } catch (error) {
    if (isRepriseError(error) && error.code === 'database-unreachable') return null;
    throw error;
  }
}

function notThere({ cluster }: ClusterContext, { database, table }: LocateOrder, backups: number): RepriseError {
  return new RepriseError(
    'not-found',
    `there is no table ${visible(formatTableName(table))} in database ${visible(database)}: neither production nor one of ${backups} backups has it`,
    `see how it is written, and in which database: reprise backup show ID --json, psql -c "\\dt *.*" (cluster ${cluster.name})`,
  );
}
