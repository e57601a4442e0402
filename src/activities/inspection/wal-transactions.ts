import { isRepriseError, RepriseError } from '../../domain/errors.js';
import {
  LISTED_TRANSACTIONS,
  MOST_TRANSACTIONS,
  type WalTransactionsAnswer,
  type WalTransactionsRequest,
} from '../../domain/operation/wal-transactions.js';
import { formatTableName, parseTableName, type TableName } from '../../domain/table/table-name.js';
import { formatTarget } from '../../domain/target/target.js';
import { answeringServer } from '../../postgres/connection/answering-server.js';
import { microsecondsOf } from '../../postgres/wal/transactions/instants.js';
import { listTransactions } from '../../postgres/wal/transactions/list-transactions.js';
import { readRelationNames, RelationNames } from '../../postgres/wal/transactions/relation-names.js';
import type { ActivityRun } from '../activity-wrapper.js';
import { type ClusterContext } from '../cluster-context.js';
import { withClusterWal } from '../cluster-wal.js';
import { exploredInstance } from '../temporary/temporary-instance.js';

/** Which transactions committed in a span of time, and what each did, from the WAL of a cluster. Changes nothing. */
export async function walTransactions(
  clusterContext: ClusterContext,
  request: WalTransactionsRequest,
  run: ActivityRun,
): Promise<WalTransactionsAnswer> {
  const { from, to, policy, timeline } = request;
  return withClusterWal(
    clusterContext,
    run,
    { ...(policy === undefined ? {} : { policy }), timeline: timeline ?? null },
    async (wal) => {
      const { names, source } = await allNames(clusterContext, request, wal.course.systemIdentifier);
      const order = {
        ...{ from: microsecondsOf(from), to: microsecondsOf(to), minRows: request.minRows ?? 1 },
        limit: Math.min(request.limit ?? LISTED_TRANSACTIONS, MOST_TRANSACTIONS),
        ...filterOf(request, names, source),
      };
      const { fromLsn, toLsn, ...listed } = await listTransactions(
        wal.reader,
        wal.course,
        names,
        order,
        wal.hasServersOwn,
      );
      return {
        ...{ policy: wal.policy.name, range: { from, to, fromLsn, toLsn, timeline: wal.course.timeline.id } },
        complete: listed.missing.length === 0,
        ...listed,
        names: source,
      };
    },
  );
}

interface Names {
  readonly names: RelationNames;
  readonly source: WalTransactionsAnswer['names'];
}

/** What the server does not know any more, a temporary instance names: of a table in both, the file that it has now counts too. */
async function allNames(
  clusterContext: ClusterContext,
  request: WalTransactionsRequest,
  systemIdentifier: string,
): Promise<Names> {
  const now = await namesFor(clusterContext, request, systemIdentifier);
  if (request.namesIn === undefined) return now;
  const { connection, restore } = await exploredInstance(clusterContext, request.namesIn);
  const then = await readRelationNames(connection, request.database);
  return {
    names: RelationNames.merged(now.names, then),
    source: { from: 'instance', reason: null, at: formatTarget(restore.target) },
  };
}

/** Names come from the server itself, where it answers and the WAL is its own: numbers of another one mean other tables. */
export async function namesFor(
  { cluster: { connection } }: ClusterContext,
  { database }: Pick<WalTransactionsRequest, 'database'>,
  systemIdentifier: string,
): Promise<Names> {
  const nowhere = (reason: string): Names => ({ names: new RelationNames(), source: { from: 'nowhere', reason } });
  try {
    const server = await answeringServer(connection);
    if (server === null) return nowhere('the server does not answer');
    if (server.systemIdentifier !== systemIdentifier)
      return nowhere(`the WAL is of the cluster ${systemIdentifier}, and the server is ${server.systemIdentifier}`);
    return { names: await readRelationNames(connection, database), source: { from: 'server', reason: null } };
  } catch (error) {
    if (!isRepriseError(error)) throw error;
    return nowhere(error.message);
  }
}

/** @throws RepriseError `not-found`; `database-unreachable` where nothing can be named */
function filterOf(
  { database, table }: WalTransactionsRequest,
  names: RelationNames,
  { reason }: WalTransactionsAnswer['names'],
) {
  if (database === undefined && table === undefined) return {};
  if (reason !== null)
    throw new RepriseError(
      'database-unreachable',
      `databases and tables cannot be told by their names: ${reason}`,
      'leave out --database and --table: tables are shown by their numbers then',
      { final: true },
    );
  const oid = database === undefined ? undefined : names.databaseOid(database);
  if (database === undefined || oid === undefined)
    throw database === undefined
      ? new RepriseError('usage', 'a table is named without its database', 'name both: --database D --table S.T')
      : new RepriseError(
          'not-found',
          `there is no database "${database}" on the server`,
          'list them: psql --list; one that was dropped is named by an earlier time: --names-at TARGET',
        );
  return {
    database: oid,
    ...(table === undefined ? {} : { tables: tablesOf(names, database, parseTableName(table)) }),
  };
}

function tablesOf(names: RelationNames, database: string, name: TableName) {
  const tables = new Set(names.tablesNamed(database, name));
  if (tables.size > 0) return tables;
  throw new RepriseError(
    'not-found',
    `there is no table ${formatTableName(name)} in database ${database} now`,
    'one that was dropped is named by an earlier time: --names-at TARGET; or leave out --table, and look for dropped tables',
  );
}
