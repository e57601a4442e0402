import { closeSync, openSync, writeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Change } from '../model/row.js';

/**
 * The client's own account of what it did, one JSON object a line. `sent` is written before COMMIT leaves, `committed`
 * once the server has said so: a `sent` alone may or may not be in the database.
 */
export type LogEntry =
  | {
      readonly kind: 'sent';
      readonly n: number;
      readonly at: string;
      readonly xid: string;
      readonly changes: readonly Change[];
    }
  | { readonly kind: 'committed'; readonly n: number; readonly at: string }
  | { readonly kind: 'lost'; readonly at: string; readonly reason: string }
  | { readonly kind: 'stopped'; readonly at: string }
  /** Written by the demo after a comparison that matched: business goes on from what exists after these transactions. */
  | { readonly kind: 'recovered'; readonly at: string; readonly upTo: number };

export interface LogWriter {
  write(entry: LogEntry): void;
  close(): void;
}

/** Appends; a line is handed to the operating system before the call returns, so that killing this process loses none. */
export function openLog(file: string): LogWriter {
  const descriptor = openSync(file, 'a', 0o600);
  return {
    write: (entry) => {
      writeSync(descriptor, `${JSON.stringify(entry)}\n`);
    },
    close: () => closeSync(descriptor),
  };
}

/** Entries in the order written; a last line cut off by a kill is left out, which the log's meaning allows. */
export async function readLog(file: string): Promise<readonly LogEntry[]> {
  const text = await readFile(file, 'utf8');
  const lines = text.split('\n');
  lines.pop();
  return lines.map((line) => JSON.parse(line) as LogEntry);
}

/** What the client did, told apart by how sure it is. */
export interface Account {
  readonly sent: readonly Extract<LogEntry, { kind: 'sent' }>[];
  /** Number of a transaction → instant of its acknowledgement (UTC ISO-8601). */
  readonly acknowledged: ReadonlyMap<number, string>;
}

/** Transactions that count, in order: those lost in an earlier pass are left out, since business went on without them. */
export function account(entries: readonly LogEntry[]): Account {
  let sent: Extract<LogEntry, { kind: 'sent' }>[] = [];
  const acknowledged = new Map<number, string>();
  for (const entry of entries) {
    if (entry.kind === 'sent') sent.push(entry);
    if (entry.kind === 'committed') acknowledged.set(entry.n, entry.at);
    if (entry.kind === 'recovered') {
      for (const { n } of sent) if (n > entry.upTo) acknowledged.delete(n);
      sent = sent.filter(({ n }) => n <= entry.upTo);
    }
  }
  return { sent, acknowledged };
}
