import { isRepriseError } from '../../domain/errors.js';
import {
  type MissingWal,
  missingWalText,
  type WalTransactionsRequest,
} from '../../domain/operation/wal-transactions.js';
import type { Suspects } from '../../domain/table/incident.js';
import type { ActivityRun } from '../activity-wrapper.js';
import type { ClusterContext } from '../cluster-context.js';
import { walTransactions } from '../inspection/wal-transactions.js';

/** Transactions of a span of time, those that did most first; WAL that cannot be read is told, and no error. */
export async function suspectsIn(
  clusterContext: ClusterContext,
  request: Omit<WalTransactionsRequest, 'cluster'>,
  run: ActivityRun,
): Promise<Suspects> {
  try {
    const { missing, transactions } = await walTransactions(
      clusterContext,
      { ...request, cluster: clusterContext.cluster.name },
      run,
    );
    return {
      ...{ from: request.from, to: request.to },
      ...{ problem: notRead(missing) },
      transactions: transactions.map(({ xid, committedAt, inserted, updated, deleted, actions }) => ({
        ...{ xid, committedAt, inserted, updated, deleted },
        actions: [...new Set(actions.map(({ action }) => action))],
      })),
    };
  } catch (error) {
    return unreadable(request, error);
  }
}

/** @throws the error itself where it is none that people can do something about */
export function unreadable({ from, to }: Pick<Suspects, 'from' | 'to'>, error: unknown): Suspects {
  if (!isRepriseError(error)) throw error;
  return { from, to, transactions: [], problem: `the WAL could not be read: ${error.message}` };
}

const MOST_NAMED = 3;

function notRead(missing: readonly MissingWal[]): string | null {
  if (missing.length === 0) return null;
  const more = missing.length > MOST_NAMED ? `; and ${missing.length - MOST_NAMED} more` : '';
  return `not read: ${missing.slice(0, MOST_NAMED).map(missingWalText).join('; ')}${more}`;
}
