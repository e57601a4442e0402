/** A line of pg_waldump, in the widths that it prints. */
const RECORD =
  /^rmgr: (\S.{10}|\S{12,}) len \(rec\/tot\): ([ \d]{6,})\/([ \d]{6,}), tx: ([ \d]{10,}), lsn: ([0-9A-F]+\/[0-9A-F]{8}), prev [0-9A-F]+\/[0-9A-F]{8}, desc: (.*)$/;
const PREPARED_END = /^(?:COMMIT|ABORT)_PREPARED \d+: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d/;
/** What pg_waldump prints after the name of a prepared transaction. */
const AFTER_NAME = /: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d/;

export interface WaldumpRecord {
  /** Name of the resource manager. */
  readonly manager: string;
  /** Bytes, with full-page images. */
  readonly totalLength: number;
  readonly tx: string;
  readonly lsn: string;
  readonly description: string;
}

/**
 * The record in a line; null for anything else, and for the rest of a name: pg_waldump prints the name of a prepared
 * transaction as it is, and in a name of 200 bytes one line that looks like a record has room.
 */
export function recordIn(line: string): WaldumpRecord | null {
  const match = RECORD.exec(line);
  if (match === null) return null;
  const [, manager = '', , total = '', tx = '', lsn = '', description = ''] = match;
  const isName = manager.trim() !== 'XLOG' && !description.startsWith('PREPARE ');
  if (isName && AFTER_NAME.test(description.replace(PREPARED_END, ''))) return null;
  return { manager: manager.trim(), totalLength: Number(total), tx: tx.trim(), lsn, description };
}

/**
 * Takes the lines that pg_waldump prints and hands on those that are records, one line late: a line that is followed by the
 * rest of a name is none. Whoever may prepare a transaction could else say at which time others have committed.
 */
export class RecordLines {
  private last: string | null = null;

  constructor(private readonly take: (line: string) => void) {}

  push(line: string): void {
    const isRecord = line.startsWith('rmgr: ');
    if (isRecord) this.end();
    this.last = isRecord ? line : null;
  }

  /** Nothing follows. */
  end(): void {
    if (this.last !== null) this.take(this.last);
    this.last = null;
  }
}

/** {@link RecordLines} of a whole output. */
export function recordLines(stdout: string): readonly string[] {
  const found: string[] = [];
  const lines = new RecordLines((line) => found.push(line));
  for (const line of stdout.replace(/\n$/, '').split('\n')) lines.push(line);
  lines.end();
  return found;
}
