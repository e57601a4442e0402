const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;
const DOT = 0x2e;
/** In lines that are longer, a native search is faster than looking at each byte. */
const SHORT_LINE = 64;

/**
 * Counts the rows of every `COPY` in what `pg_restore --data-only --file=-` prints, as it comes, in time that grows with its
 * length and in constant memory: a row may have a gigabyte and is never held.
 *
 * A row of COPY's text format never holds a newline, so rows are lines (manual: COPY, Text Format). In what stands between them,
 * quotes are followed over line ends, because a name may hold a newline and whatever looks like SQL after it.
 */
export class CopyCounter {
  private rows = 0;
  private largeObjects = 0;
  private inData = false;
  /** Of the line of data that has begun: how many bytes were seen, and whether it may still be `\.`. */
  private seen = 0;
  private mayEnd = true;
  /** Parts of a line outside of data whose end has not come yet. */
  private line: Buffer[] = [];
  /** Lines of a statement that is not complete; null between statements. */
  private statement: string[] | null = null;
  private quote = '';

  /**
   * @param found called with each table's rows and its `COPY` statement, whose characters stand for bytes
   */
  constructor(private readonly found: (rows: number, statement: string) => void) {}

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) at = this.inData ? this.readData(chunk, at) : this.readLine(chunk, at);
  }

  /** How many large objects there were; null where the text ended in the middle of something. */
  end(): number | null {
    return this.inData || this.statement !== null || this.line.length > 0 ? null : this.largeObjects;
  }

  /** Counts rows up to the end of the table or of the chunk; returns where it stopped. */
  private readData(chunk: Buffer, from: number): number {
    let start = from;
    let rows = 0;
    // The line that an earlier chunk began, then whole ones, then the beginning of one.
    if (this.seen > 0) {
      const end = lineEnd(chunk, start);
      this.look(chunk, start, end);
      if (end === chunk.length) return end;
      start = end + 1;
      if (this.isEnd) return this.endTable(start);
      rows++;
    }
    for (;;) {
      const end = lineEnd(chunk, start);
      if (end === chunk.length) break;
      if (end === start + 2 && chunk[start] === BACKSLASH && chunk[start + 1] === DOT) {
        this.rows += rows;
        return this.endTable(end + 1);
      }
      rows++;
      start = end + 1;
    }
    this.rows += rows;
    [this.seen, this.mayEnd] = [0, true];
    this.look(chunk, start, chunk.length);
    return chunk.length;
  }

  /** Whether the line of data that was looked at is `\.`: the end of the table. */
  private get isEnd(): boolean {
    return this.mayEnd && this.seen === 2;
  }

  /** Looks at a part of a line of data, no further than it may be that end. */
  private look(chunk: Buffer, start: number, end: number): void {
    for (let at = start; at < end && this.mayEnd; at++) {
      this.mayEnd = this.seen < 2 && chunk[at] === (this.seen === 0 ? BACKSLASH : DOT);
      this.seen++;
    }
  }

  private endTable(next: number): number {
    this.found(this.rows, (this.statement ?? []).join('\n'));
    this.inData = false;
    this.statement = null;
    return next;
  }

  /** Reads one line outside of data, or the part of it that is there; returns where it stopped. */
  private readLine(chunk: Buffer, from: number): number {
    const end = chunk.indexOf(NEWLINE, from);
    // Its own memory: what the chunk is part of would be held with it.
    if (end === -1) {
      this.line.push(Buffer.from(chunk.subarray(from)));
      return chunk.length;
    }
    const rest = chunk.subarray(from, end);
    const line = this.line.length === 0 ? rest : Buffer.concat([...this.line, rest]);
    this.line = [];
    this.takeLine(line.toString('latin1'));
    return end + 1;
  }

  private takeLine(line: string): void {
    if (this.statement === null && (line === '' || line.startsWith('--') || line.startsWith('\\'))) return;
    this.statement ??= [];
    this.statement.push(line);
    this.followQuotes(line);
    if (this.quote !== '' || !line.endsWith(';')) return;
    const [first = ''] = this.statement;
    if (first.startsWith('COPY ') && line.endsWith(' FROM stdin;')) {
      [this.inData, this.rows, this.seen, this.mayEnd] = [true, 0, 0, true];
      return;
    }
    if (first.startsWith('SELECT pg_catalog.lo_open(')) this.largeObjects++;
    this.statement = null;
  }

  private followQuotes(line: string): void {
    for (let at = 0; at < line.length; at++) {
      at = this.quote === '' ? nextQuote(line, at) : line.indexOf(this.quote, at);
      if (at === -1) return;
      this.quote = this.quote === '' ? line.charAt(at) : '';
    }
  }
}

/** Where a line of data ends; the chunk's length where it goes on. */
function lineEnd(chunk: Buffer, start: number): number {
  const limit = Math.min(start + SHORT_LINE, chunk.length);
  for (let at = start; at < limit; at++) if (chunk[at] === NEWLINE) return at;
  const found = limit === chunk.length ? -1 : chunk.indexOf(NEWLINE, limit);
  return found === -1 ? chunk.length : found;
}

function nextQuote(line: string, from: number): number {
  const [single, double] = [line.indexOf("'", from), line.indexOf('"', from)];
  return single === -1 || (double !== -1 && double < single) ? double : single;
}
