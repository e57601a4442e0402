import { compareLsn } from '../target/wal.js';

/** A row of the canary as it was written. */
export interface CanaryRow {
  /** Counts up. */
  readonly n: number;
  /** By the clock of the server, UTC ISO-8601 with microseconds. */
  readonly at: string;
  /** Of no meaning: it has to come back as it was. */
  readonly token: string;
}

/** The same with a position in the WAL at or after the end of its commit. */
export interface WrittenCanary extends CanaryRow {
  readonly lsn: string;
  /** An instant after its commit, as {@link CanaryRow.at}: a dump that began before it may lack the row. Absent: written by an older version. */
  readonly committedAt?: string | undefined;
}

/** Up to where the rows of a restore go. */
export type CanaryBound = { readonly lsn: string } | { readonly at: string };

/**
 * The newest row that a restore up to here has to bring back; null where none was written before.
 * @param written in the order in which it was written. A number that comes again was written after a recovery: what an abandoned history had
 *   from there on counts no more.
 */
export function newestCanary(written: readonly WrittenCanary[], bound: CanaryBound): WrittenCanary | null {
  const rows: WrittenCanary[] = [];
  for (const row of written) {
    while ((rows.at(-1)?.n ?? 0) >= row.n) rows.pop();
    rows.push(row);
  }
  return (
    rows.findLast((row) =>
      'lsn' in bound
        ? compareLsn(row.lsn, bound.lsn) <= 0
        : Date.parse(row.committedAt ?? row.at) <= Date.parse(bound.at),
    ) ?? null
  );
}
