import type { LocateOrder } from '../../domain/operation/orders.js';
import { RepriseError } from '../../domain/errors.js';
import { MOST_TRANSACTIONS } from '../../domain/operation/wal-transactions.js';
import type { LocateStops, TableChange, TableCommit } from '../../domain/table/locate.js';
import { Reckoning, type Stops, stopsFor } from '../../domain/table/locate-stops.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { visible } from '../../domain/text/text.js';
import { compareLsn } from '../../domain/target/wal.js';
import { microsecondsOf, instantText } from '../../postgres/wal/transactions/instants.js';
import { type Listed, listTransactions, type WalWatcher } from '../../postgres/wal/transactions/list-transactions.js';
import type { TransactionRecord } from '../../postgres/wal/transactions/record-text.js';
import { type NamedTable, readRelationNames, RelationNames } from '../../postgres/wal/transactions/relation-names.js';
import { RowFollower } from '../../postgres/wal/transactions/row-follower.js';
import { lsnNumber, lsnText } from '../../postgres/wal/transactions/scan-records.js';
import type { ActivityRun } from '../activity-wrapper.js';
import type { CommitRange, InstanceStep, OrderedStep } from '../api.js';
import type { ClusterContext } from '../cluster-context.js';
import { withClusterWal } from '../cluster-wal.js';
import { namesFor } from '../inspection/wal-transactions.js';
import { instanceServer, readableInstance } from '../temporary/temporary-instance.js';
import { type KeyPlaces, placesOfKey } from './key-places.js';

export type CommitsStep = OrderedStep<LocateOrder> &
  InstanceStep & { readonly policy: string; readonly range: CommitRange };

/** Commits of one table that are told apart where nothing is reckoned; of more the most damaging. */
const MOST_COMMITS = 20 * MOST_TRANSACTIONS;

/** Commits that touched the table in a part of the WAL, and at which of them one replay stops. */
export async function findCommits(
  clusterContext: ClusterContext,
  step: CommitsStep,
  run: ActivityRun,
): Promise<LocateStops & { readonly notes: readonly string[] }> {
  const { order, range, policy } = step;
  const { database, table, condition } = order;
  const key = condition.kind === 'key' && range.reckons !== false ? condition : null;
  const { connection, content } = await (key === null
    ? instanceServer(clusterContext, step, run)
    : readableInstance(clusterContext, step, { database, table }, run));
  const places = key === null ? null : await placesOfKey(connection, { database, table, ...key }, run.signal);
  const timeline = content.restore.recovery?.timeline;
  return withClusterWal(
    clusterContext,
    run,
    { policy, timeline: typeof timeline === 'number' ? timeline : null },
    async (wal) => {
      // Names of then and of now: a table that was rewritten or truncated between has another file.
      const then = await readRelationNames(connection, database);
      const { names: now } = await namesFor(clusterContext, { database }, wal.course.systemIdentifier);
      const tables = new Set([then, now].flatMap((names) => names.tablesNamed(database, table)));
      const oid = then.databaseOid(database);
      if (tables.size === 0 || oid === undefined) throw notThere(order);
      const names = RelationNames.merged(then, now);
      const reckoner = range.reckons === false ? null : new Reckoner(order, range, { names, tables, places });
      const listed = await listTransactions(
        wal.reader,
        wal.course,
        names,
        {
          ...{ from: microsecondsOf(range.from), to: microsecondsOf(range.to), minRows: 1, limit: MOST_COMMITS },
          ...{ database: oid, tables },
        },
        wal.hasServersOwn,
        reckoner?.watcher,
      );
      const reckoned = reckoner?.stops ?? null;
      return {
        ...(reckoned === null ? stopsAmong(order, range, listed) : inText(reckoned)),
        notes: [
          ...(reckoned === null && listed.more > 0
            ? [
                `${listed.more} commits that changed fewer rows than all others were left out: name a shorter range with --from and --to`,
              ]
            : []),
          // What committed before the beginning is in the copy.
          ...listed.missing
            .filter(({ toLsn, kind }) => kind === 'after' || compareLsn(toLsn, range.afterLsn) > 0)
            .map(({ fromLsn, toLsn, kind }) =>
              kind === 'after'
                ? `the WAL from ${fromLsn} on is not archived yet: what committed there was not looked at`
                : `the WAL from ${fromLsn} to ${toLsn} is missing: what committed there was not looked at`,
            ),
        ],
      };
    },
  );
}

/** A commit of which no text was made yet: of millions a few are told. */
type RawCommit = TableChange & { readonly end: TransactionRecord };

/** Reckons while the WAL is read. */
class Reckoner {
  private readonly reckoning: Reckoning<RawCommit>;
  private readonly follower: RowFollower | null;
  private touched: { readonly lsn: number; readonly isHot: boolean } | null = null;

  constructor(
    { condition }: LocateOrder,
    private readonly range: CommitRange,
    {
      names,
      tables,
      places,
    }: {
      readonly names: RelationNames;
      readonly tables: ReadonlySet<NamedTable>;
      readonly places: readonly KeyPlaces[] | null;
    },
  ) {
    this.follower =
      places === null
        ? null
        : new RowFollower({
            ...{ names, tables, from: lsnNumber(range.afterLsn), wereSeen: true },
            committed: ({ end: { lsn }, isHot }) => (this.touched = { lsn, isHot }),
            cut: () => undefined,
          });
    for (const { file, places: at } of places ?? []) this.follower?.follow(file, at);
    const rows = condition.kind === 'key' ? (this.follower?.count ?? null) : (range.rows ?? null);
    this.reckoning = new Reckoning(condition, rows);
  }

  get watcher(): WalWatcher {
    const { follower, range, reckoning } = this;
    const [after, before] = [
      lsnNumber(range.afterLsn),
      range.beforeLsn === null ? Infinity : lsnNumber(range.beforeLsn),
    ];
    const committed: WalWatcher['committed'] = ({ end }, changes) => {
      if (changes === null || end.lsn < after || end.lsn >= before) return;
      const { sum, actions } = changes;
      const commit = { end, ...sum, actions: actions.map(({ action }) => action) };
      if (follower === null) return reckoning.add(commit, null);
      const isTouching = this.touched?.lsn === end.lsn;
      reckoning.add(commit, {
        ...{ touched: isTouching, isHot: this.touched?.isHot === true },
        left: follower.left,
      });
    };
    return { ...follower?.watcher, committed };
  }

  get stops(): Stops<RawCommit> | null {
    return this.reckoning.stops;
  }
}

function inText({ total, stops, reckoned }: Stops<RawCommit>): LocateStops {
  return {
    total,
    stops: stops.map(({ commit: { end, inserted, updated, deleted, actions }, index }) => ({
      ...{ xid: String(end.xid), committedAt: instantText(end.time), lsn: lsnText(end.lsn) },
      ...{ inserted, updated, deleted, actions, index },
    })),
    ...(reckoned === undefined ? {} : { reckoned: reckoned === null ? null : String(reckoned.end.xid) }),
  };
}

function stopsAmong({ condition }: LocateOrder, range: CommitRange, { transactions }: Listed): LocateStops {
  const commits = transactions
    .filter(({ lsn }) => compareLsn(lsn, range.afterLsn) >= 0)
    .filter(({ lsn }) => range.beforeLsn === null || compareLsn(lsn, range.beforeLsn) < 0)
    .toSorted((a, b) => compareLsn(a.lsn, b.lsn))
    .map(({ xid, committedAt, lsn, inserted, updated, deleted, actions }): TableCommit => {
      const counts = { inserted, updated, deleted };
      return { xid, committedAt, lsn, ...counts, actions: actions.map(({ action }) => action) };
    });
  const { total, stops } = stopsFor(condition, commits);
  return { total, stops: stops.map(({ commit, index }) => ({ ...commit, index })) };
}

function notThere({ database, table }: LocateOrder): RepriseError {
  return new RepriseError(
    'not-found',
    `there is no table ${visible(formatTableName(table))} in database ${visible(database)}, neither then nor now`,
    'see how it is written: psql -c "\\dt *.*"',
  );
}
