import { keepsRows, type WalTableChange, type WalTransaction } from '../../../domain/operation/wal-transactions.js';
import { instantText } from './instants.js';
import type { RelationFile } from './record-text.js';
import { isSystemFile, type NamedTable, type RelationNames } from './relation-names.js';
import { lsnText } from './scan-records.js';
import { tableActions } from './table-actions.js';
import type { Counts, Tallied } from './transaction-tally.js';

/** Which transactions are listed. */
export interface Wanted {
  readonly minRows: number;
  readonly limit: number;
  /** OID: only what was done in this database. */
  readonly database?: number | undefined;
  /** Only what was done to these tables. */
  readonly tables?: ReadonlySet<NamedTable> | undefined;
}

/** So many tables of a transaction are listed. */
const LISTED_TABLES = 50;

/** What a transaction did to what is asked for. */
export interface WantedChanges {
  readonly sum: Pick<WalTransaction, 'inserted' | 'updated' | 'deleted'>;
  readonly actions: WalTransaction['actions'];
}

interface Ranked {
  /** Tables and databases that are gone; then rows deleted and updated; then rows inserted. */
  readonly damage: readonly [number, number, number];
  readonly transaction: WalTransaction;
}

/** Keeps the transactions that did most damage, as many as are listed. */
export class WorstTransactions {
  private readonly kept: Ranked[] = [];
  private matching = 0;
  private readonly known = new Map<RelationFile, NamedTable | null>();

  constructor(
    private readonly wanted: Wanted,
    private readonly names: RelationNames,
  ) {}

  /** Takes it where it is one of those that are asked for: then it is told what it did to them. */
  offer(transaction: Tallied): WantedChanges | null {
    const { minRows, limit } = this.wanted;
    const actions = this.actionsOf(transaction);
    const sum = { inserted: 0, updated: 0, deleted: 0 };
    for (const one of transaction.counts) {
      if (!this.isCounted(one, transaction, actions)) continue;
      sum.inserted += one.inserted;
      sum.updated += one.updated;
      sum.deleted += one.deleted;
    }
    const rows = sum.inserted + sum.updated + sum.deleted;
    const gone = actions.filter(({ action }) => !keepsRows(action)).length;
    const isListed = gone > 0 || rows >= Math.max(1, minRows) || (actions.length > 0 && minRows <= 1);
    if (!isListed) return null;
    this.matching++;
    const changes = { sum, actions };
    const damage = [gone, sum.deleted + sum.updated, sum.inserted] as const;
    const worst = this.kept.length < limit ? undefined : this.kept.at(-1);
    if (worst !== undefined && byDamage(worst, { damage }) <= 0) return changes;
    const counts = transaction.counts.filter((one) => this.isCounted(one, transaction, actions));
    const listed = { damage, transaction: this.listed(transaction, counts, sum, actions) };
    this.kept.splice(this.placeOf({ damage }), 0, listed);
    this.kept.splice(limit);
    return changes;
  }

  /** Behind those that did as much or more. */
  private placeOf(one: Pick<Ranked, 'damage'>): number {
    let [low, high] = [0, this.kept.length];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (byDamage(one, this.kept[middle] as Ranked) < 0) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  private actionsOf(transaction: Tallied): WalTransaction['actions'] {
    const actions = tableActions(transaction, this.names);
    return actions.length === 0 ? actions : actions.filter((action) => this.isWanted(action));
  }

  private isCounted(one: Counts, transaction: Tallied, actions: WalTransaction['actions']): boolean {
    return this.counts(one.file) && !this.isRewriting(one, transaction, actions);
  }

  result(): { readonly transactions: readonly WalTransaction[]; readonly more: number } {
    return {
      transactions: this.kept.map(({ transaction }) => transaction),
      more: this.matching - this.kept.length,
    };
  }

  private table(file: RelationFile): NamedTable | null {
    let table = this.known.get(file);
    if (table === undefined) {
      table = this.names.ofFile(file);
      this.known.set(file, table);
    }
    return table;
  }

  /** Whether rows of a file are rows of a table of users that is asked for. */
  private counts(file: RelationFile): boolean {
    const { database, tables } = this.wanted;
    if (database !== undefined && file.database !== database) return false;
    const table = this.table(file);
    if (table === null) return tables === undefined && !isSystemFile(file);
    return table.kind === 'table' && (tables === undefined || tables.has(table));
  }

  /** Rows that a rewrite copied into the new file of their table are no new rows. */
  private isRewriting(
    { file, updated, deleted }: Counts,
    { begun }: Tallied,
    actions: WalTransaction['actions'],
  ): boolean {
    if (updated + deleted > 0 || !begun.some((made) => made.file === file.file)) return false;
    const table = this.table(file);
    return actions.some(({ action, number }) => action === 'rewritten' && number === table?.oid);
  }

  private isWanted({ action, number, database }: WalTransaction['actions'][number]): boolean {
    const { tables, database: wanted } = this.wanted;
    if (wanted !== undefined && (action === 'database dropped' || database !== this.names.database(wanted)))
      return false;
    return tables === undefined || [...tables].some(({ oid }) => oid === number);
  }

  private listed(
    { end, atLeast }: Tallied,
    counts: readonly Counts[],
    sum: Pick<WalTransaction, 'inserted' | 'updated' | 'deleted'>,
    actions: WalTransaction['actions'],
  ): WalTransaction {
    const rowsOf = (one: Counts): number => one.deleted + one.updated + one.inserted;
    const sorted = counts.filter((one) => rowsOf(one) > 0).toSorted((a, b) => rowsOf(b) - rowsOf(a));
    return {
      ...{ xid: String(end.xid), committedAt: instantText(end.time), lsn: lsnText(end.lsn), ...sum },
      tables: sorted.slice(0, LISTED_TABLES).map((one) => this.change(one)),
      ...(sorted.length > LISTED_TABLES ? { moreTables: sorted.length - LISTED_TABLES } : {}),
      actions,
      ...(atLeast ? { atLeast } : {}),
      ...(end.prepared ? { prepared: true } : {}),
    };
  }

  private change({ file, inserted, updated, deleted, moved }: Counts): WalTableChange {
    const table = this.table(file);
    const { database, schema, table: name, partitionOf } = table ?? {};
    return {
      database: database ?? this.names.database(file.database),
      ...{ schema: schema ?? null, table: name ?? null, number: file.file },
      ...(partitionOf === undefined ? {} : { partitionOf }),
      ...{ inserted, updated, deleted },
      ...(moved > 0 ? { movedOut: moved } : {}),
    };
  }
}

/** Negative where the first did more. */
function byDamage(left: Pick<Ranked, 'damage'>, right: Pick<Ranked, 'damage'>): number {
  for (let index = 0; index < left.damage.length; index++) {
    const difference = (right.damage[index] ?? 0) - (left.damage[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
