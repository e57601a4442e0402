import type { WalTransaction } from '../operation/wal-transactions.js';
import type { TableHistoryLine } from './history.js';

/** What is known of a table when somebody reports that its rows are wrong. */
export interface TableSurvey {
  /** Rows as the last backups recorded them, oldest first. */
  readonly history: readonly Pick<TableHistoryLine, 'backupId' | 'policy' | 'at' | 'rows' | 'change' | 'suspicion'>[];
  /** Null where production did not say. */
  readonly rowsNow: number | null;
  /** What is suspicious of the rows now against those of the backups, with the figures; null: nothing, or not known. */
  readonly suspicion: string | null;
  /** The configuration says how writes to it are blocked, or which batches are stopped. */
  readonly blocks: boolean;
  /** What could not be found out, and what a repair would be refused for. */
  readonly problems: readonly string[];
}

/** Transactions that may have done the damage: of a table those that did most first, of a migration the first ones first. */
export interface Suspects {
  /** UTC ISO-8601. */
  readonly from: string;
  readonly to: string;
  readonly transactions: readonly Suspect[];
  /** Why there are none, or not all; null: nothing is missing. */
  readonly problem: string | null;
}

export type Suspect = Pick<WalTransaction, 'xid' | 'committedAt' | 'inserted' | 'updated' | 'deleted'> & {
  /** `truncated`, `dropped` and the like, of the table as a whole. */
  readonly actions: readonly string[];
};
