import { RepriseError } from '../../domain/errors.js';
import {
  type ChangeSetDigest,
  type ChangeSetHeader,
  changedRows,
  isRepairPlan,
  type RepairPlan,
  type RowChange,
} from '../../domain/table/repair.js';
import { formatTableName, tableCommand } from '../../domain/table/table-name.js';
import { pathExists } from '../../files/paths.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { transactionEnd } from '../../postgres/repair/apply-changes.js';
import {
  type ChangeSetEntry,
  type ReadChangeSet,
  reversedEntries,
  withChangeSet,
  writeChangeSet,
} from '../../postgres/repair/change-set-file.js';
import { type HostState, openHostState } from '../../records/host-state.js';
import {
  begunChanges,
  hasRepairFiles,
  openRepairFiles,
  readBatch,
  type RepairFiles,
} from '../../records/repair-files.js';
import type { RepairRequest } from '../api.js';
import type { ClusterContext } from '../cluster-context.js';
import { appliedBy, countsOf } from './repair-session.js';

/** What of a plan was carried out. */
export interface CarriedOut {
  readonly plan: RepairPlan;
  /** Rows that it has changed. */
  readonly rows: number;
  /** So many of its changes, from the first on. */
  readonly count: number;
  /** Numbers of those that were left out. */
  readonly left: ReadonlySet<number>;
}

/**
 * The changes that take an earlier repair back, in the file of what was found. A repair that went through more than one plan, because a batch failed
 * in between, has done what all of them have done: the newest first.
 */
export async function takenBack(
  clusterContext: ClusterContext,
  { order }: RepairRequest,
  earlierId: string,
  files: RepairFiles,
): Promise<ChangeSetDigest> {
  const { host, user } = clusterContext;
  const earlier = await openRepairFiles(host.stateDir, earlierId);
  const done = await carriedOut(clusterContext, openHostState(host.stateDir), earlierId, earlier);
  const [newest] = done;
  if (newest === undefined)
    throw new RepriseError(
      'not-found',
      `there is no repair ${earlierId} on host ${host.name} that was carried out`,
      await othersOf(clusterContext, order),
    );
  const { order: was } = newest.plan.binding;
  if (formatTableName(was.table) !== formatTableName(order.table) || was.database !== order.database)
    throw new RepriseError('usage', `repair ${earlierId} was of another table`, 'name the table that it was of');
  return withKept({ ...clusterContext, files: earlier, earlierId, order }, done, (kept) =>
    writeChangeSet(files.found, kept[0]?.changes.header as ChangeSetHeader, newestFirst(kept), user),
  );
}

/** What the plan that takes a repair back says of one that did not do in one go what was approved. */
export async function onlyDone(clusterContext: ClusterContext, earlierId: string): Promise<readonly string[]> {
  const { stateDir } = clusterContext.host;
  const files = await openRepairFiles(stateDir, earlierId);
  const done = await carriedOut(clusterContext, openHostState(stateDir), earlierId, files);
  const isEnded = done[0]?.count === Number.POSITIVE_INFINITY;
  if (done.length === 0 || (isEnded && done.length === 1)) return [];
  const rows = done.reduce((sum, one) => sum + one.rows, 0);
  const how = isEnded ? `went through ${done.length} plans` : 'did not come to its end';
  return [`repair ${earlierId} ${how}: the ${rows} rows that it changed are taken back, and no others`];
}

type Kept = CarriedOut & { readonly changes: ReadChangeSet };

/** So many repairs are named. */
const NAMED = 5;

/** What could be taken back instead, the newest first. */
async function othersOf(clusterContext: ClusterContext, { database, table }: RepairRequest['order']): Promise<string> {
  const { cluster, host } = clusterContext;
  const state = openHostState(host.stateDir);
  const name = formatTableName(table);
  const plans = (await state.plans())
    .filter(isRepairPlan)
    .filter(({ binding }) => binding.cluster === cluster.name && binding.order.database === database)
    .filter(({ binding }) => formatTableName(binding.order.table) === name)
    .toSorted((one, other) => (one.createdAt < other.createdAt ? 1 : -1));
  const found = new Set<string>();
  for (const { digest, binding } of plans)
    if (
      found.size < NAMED &&
      ((await appliedBy(state, binding.operationId, digest)) !== null ||
        (await isPartlyDone(clusterContext, binding.operationId)))
    )
      found.add(binding.operationId);
  if (found.size === 0) return `no repair of ${name} was carried out there: there is nothing to take back`;
  const [newest = ''] = found;
  return `those of ${name}, the newest first: ${[...found].join(', ')}; as in: ${tableCommand('undo', { cluster: cluster.name, database, table }, `--repair ${newest}`)}`;
}

/** Whether a repair that did not come to its end has changed rows: its files are still there then. */
async function isPartlyDone(clusterContext: ClusterContext, operationId: string): Promise<boolean> {
  const { stateDir } = clusterContext.host;
  if (!(await hasRepairFiles(stateDir, operationId))) return false;
  const files = await openRepairFiles(stateDir, operationId);
  return (await carriedOut(clusterContext, openHostState(stateDir), operationId, files)).length > 0;
}

interface Earlier extends Pick<ClusterContext, 'cluster'> {
  readonly files: RepairFiles;
  readonly earlierId: string;
  readonly order: RepairRequest['order'];
}

/** With the change sets of these plans. */
async function withKept<T>(
  earlier: Earlier,
  [first, ...others]: readonly CarriedOut[],
  use: (kept: readonly Kept[]) => Promise<T>,
): Promise<T> {
  if (first === undefined) return use([]);
  const { cluster, files, earlierId, order } = earlier;
  const path = begunChanges(files, first.plan.digest);
  if (!(await pathExists(path)))
    throw new RepriseError(
      'not-found',
      `what repair ${earlierId} changed is kept no more`,
      `repair the table from a backup: ${tableCommand('repair', { ...order, cluster: cluster.name }, '--to TARGET --strategy upsert')}`,
    );
  return withChangeSet(path, first.plan.binding.changes, (changes) =>
    withKept(earlier, others, (kept) => use([{ ...first, changes }, ...kept])),
  );
}

/** The plans of the repair of which something was carried out, the newest one first. */
export async function carriedOut(
  { cluster }: ClusterContext,
  state: HostState,
  earlierId: string,
  files: RepairFiles,
): Promise<readonly CarriedOut[]> {
  const plans = (await state.plans()).filter(isRepairPlan).filter(({ binding }) => binding.operationId === earlierId);
  const found: CarriedOut[] = [];
  for (const plan of plans.toSorted((one, other) => (one.createdAt < other.createdAt ? 1 : -1))) {
    const whole = await appliedBy(state, earlierId, plan.digest);
    const done =
      whole === null
        ? await committedBatches(cluster.connection, plan, files)
        : { count: Number.POSITIVE_INFINITY, rows: changedRows(countsOf(whole)), left: new Set(whole.left) };
    if (done.count > 0) found.push({ plan, ...done });
  }
  return found;
}

/** Of a plan that did not come to its end. What was noted after a batch says that it was committed; of the last one the server is asked. */
async function committedBatches(
  connection: ClusterContext['cluster']['connection'],
  plan: RepairPlan,
  files: RepairFiles,
): Promise<Omit<CarriedOut, 'plan'>> {
  const left = new Set<number>();
  let [count, rows] = [0, 0];
  let noted = await readBatch(files, plan.digest, 0);
  for (let batch = 1; noted !== null; batch++) {
    const { xid, done } = noted;
    noted = await readBatch(files, plan.digest, batch);
    if (noted === null && !(await isCommitted(connection, plan.binding.order.database, xid))) break;
    rows += done.insert + done.update + done.delete;
    count += done.insert + done.update + done.delete + done.left.length;
    for (const at of done.left) left.add(at);
  }
  return { count, rows, left };
}

/** Where the server has forgotten it, the rows tell: what was not made is a conflict then. */
async function isCommitted(
  connection: ClusterContext['cluster']['connection'],
  database: string,
  xid: string,
): Promise<boolean> {
  const end = await withClient(connection, database, (client) => transactionEnd(client, xid));
  if (end !== 'in progress') return end !== 'aborted';
  throw new RepriseError('busy', `transaction ${xid} of that repair still runs`, 'wait until that repair has ended');
}

/** A row that two plans changed becomes what the newer one found: what was there between them, somebody else had written. */
async function* newestFirst(kept: readonly Kept[]): AsyncGenerator<RowChange> {
  const seen = new Set<string>();
  for (const [at, { changes, count, left }] of kept.entries()) {
    const { key, columns } = changes.header;
    const places = key.map((name) => columns.indexOf(name));
    for await (const change of reversedEntries(firstOf(changes.entries(), count), left)) {
      const row = 'before' in change ? change.before : change.after;
      const text = JSON.stringify(places.map((place) => row[place]));
      if (places.length > 0 && seen.has(text)) continue;
      // None comes after the oldest plan.
      if (at < kept.length - 1) seen.add(text);
      yield change;
    }
  }
}

async function* firstOf(entries: AsyncIterable<ChangeSetEntry>, count: number): AsyncGenerator<ChangeSetEntry> {
  let left = count;
  for await (const entry of entries) if (entry.op === 'conflict' || left-- > 0) yield entry;
}
