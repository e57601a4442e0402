import type { InitialContents } from '../data/initial.js';
import type { Change, Row, TableName } from './row.js';

/** The contents the database should have: generated at first, then changed as the business client's log says. */
export class ExpectedContents {
  private readonly tables: ReadonlyMap<TableName, Map<string, Row>>;

  constructor(initial: Pick<InitialContents, 'rows'>) {
    this.tables = new Map(
      [...initial.rows].map(([table, rows]) => [table, new Map(rows.map((row) => [keyOf(row), row]))]),
    );
  }

  /** Applies the changes of one transaction. A change that cannot be means that the log is not a true account: throws. */
  apply(changes: readonly Change[]): void {
    for (const change of changes) {
      const rows = this.rowsOf(change.table);
      const key = change.op === 'delete' ? change.key : keyOf(change.row);
      if (rows.has(key) === (change.op === 'insert'))
        throw new Error(`${change.op} of ${change.table} ${key} contradicts what was logged before`);
      if (change.op === 'delete') rows.delete(key);
      else rows.set(key, change.row);
    }
  }

  row(table: TableName, key: string): Row | undefined {
    return this.rowsOf(table).get(key);
  }

  names(): readonly TableName[] {
    return [...this.tables.keys()];
  }

  rows(table: TableName): Iterable<Row> {
    return this.rowsOf(table).values();
  }

  private rowsOf(table: TableName): Map<string, Row> {
    const rows = this.tables.get(table);
    if (rows === undefined) throw new Error(`${table} is no table of the demo`);
    return rows;
  }
}

function keyOf(row: Row): string {
  return row[0] ?? '';
}
