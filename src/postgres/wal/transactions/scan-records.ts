import { join } from 'node:path';
import { RepriseError } from '../../../domain/errors.js';
import { formatLsn } from '../../../domain/target/wal.js';
import { printingMuch } from '../../../process/exec/find-programs.js';
import { runProgram } from '../../../process/exec/run-program.js';
import type { FollowedSegment } from '../scan/followed-segments.js';
import type { WalReader } from '../wal-archive.js';
import { type HeapRecord, WaldumpParser } from './record-parser.js';
import type { OtherRecord, TransactionRecord } from './record-text.js';
import { StagedWal, type WalPlaces } from './staged-wal.js';

/** WAL that is read at a time; as much again is fetched meanwhile. */
const BATCH_BYTES = 128 * 1024 * 1024;
/** Where records of a batch are kept to be sorted. */
const SORTED_BATCH_BYTES = 16 * 1024 * 1024;
/** WAL in which nothing was printed is kept for a record that goes over the end of the batch, up to here. */
const SILENT_BYTES = 64 * 1024 * 1024;
const READ_TIMEOUT_MS = 900_000;
/** From here on pg_waldump takes several resource managers at once. */
const TAKES_SEVERAL = 15;
/** Exit code 1 is a result where it says that the WAL ends there. */
const END_OF_WAL = /error in WAL record at ([0-9A-F]+\/[0-9A-F]+)|could not find a valid record/;

export type Manager = 'Heap' | 'Heap2' | 'Transaction' | 'Storage' | 'Standby' | 'Database';
const EVERYTHING: readonly Manager[] = ['Heap', 'Heap2', 'Transaction', 'Storage', 'Standby', 'Database'];

/** What WAL is read from, and with what. */
export interface WalSource extends WalPlaces {
  /** Major version that wrote it; null where its mark is not known, as of a later one. */
  readonly major: number | null;
  readonly segmentBytes: number;
}

export interface ScanVisitor {
  readonly heap?: (record: HeapRecord, wal: StagedWal) => void;
  readonly transaction?: (record: TransactionRecord) => void;
  readonly other?: (record: OtherRecord) => void;
  /** After each batch and each record of a transaction: whether to go on. */
  readonly goesOn?: () => boolean;
  /** Awaited after each batch. */
  readonly between?: () => Promise<void>;
}

export interface ScanOrder {
  /** Segments without a gap. */
  readonly segments: readonly FollowedSegment[];
  /** Records that begin before are passed over; absent: from the first segment on. */
  readonly from?: number;
  /** Only these; absent: all that are known. */
  readonly managers?: readonly Manager[];
  /** What is read, for the progress; absent: it is not reported. */
  readonly phase?: string;
}

export interface ScanResult {
  /** The position after which nothing was read, as the end of a segment or of the WAL in it. */
  readonly end: number;
  /** Whether the visitor ended it. */
  readonly stopped: boolean;
  /** The segment that is damaged; the scan ended before it. */
  readonly damaged: FollowedSegment | null;
  /** The WAL ends within the segments: `end` says where. */
  readonly ended: boolean;
}

/**
 * Calls the visitor with the records of segments, in the order of the WAL. Segments are fetched ahead, a batch while the one
 * before is read, and none is kept. A batch begins with the last record that was printed of the one before, so that what goes
 * over its end is read whole.
 */
export async function scanRecords(
  context: WalReader,
  source: WalSource,
  order: ScanOrder,
  visitor: ScanVisitor,
): Promise<ScanResult> {
  const { segments, managers = EVERYTHING } = order;
  const sorted = source.major !== null && source.major < TAKES_SEVERAL && managers.length > 1;
  const batchBytes = sorted ? SORTED_BATCH_BYTES : BATCH_BYTES;
  const step = Math.max(1, Math.floor(batchBytes / source.segmentBytes));
  const bytes =
    Math.min(segments.length, 2 * step + Math.ceil(SILENT_BYTES / source.segmentBytes)) * source.segmentBytes;
  const wal = await StagedWal.open(source, source.segmentBytes, bytes, context.signal);
  try {
    return await new Scan(context, source, order, visitor, wal, sorted ? managers : null).run(step);
  } finally {
    await wal.remove();
  }
}

const NOTHING_AHEAD: ReturnType<StagedWal['bring']> = Promise.resolve({ read: [], damaged: null });

class Scan {
  private readonly managers: readonly Manager[];
  /** Where the last record began that was visited. */
  private seen: number;
  private stopped = false;
  /** Segments that are fetched while those before them are read. */
  private ahead: ReturnType<StagedWal['bring']> = NOTHING_AHEAD;

  constructor(
    private readonly context: WalReader,
    private readonly source: WalSource,
    private readonly order: ScanOrder,
    private readonly visitor: ScanVisitor,
    private readonly wal: StagedWal,
    /** Read one after the other, and sorted; null: all at once. */
    private readonly oneByOne: readonly Manager[] | null,
  ) {
    this.managers = order.managers ?? EVERYTHING;
    this.seen = (order.from ?? 0) - 1;
  }

  async run(step: number): Promise<ScanResult> {
    try {
      return await this.readAll(step);
    } finally {
      // However the reading ended, nothing is fetched any more when the directory is removed.
      await this.ahead.catch(() => undefined);
    }
  }

  private async readAll(step: number): Promise<ScanResult> {
    const { segments, phase } = this.order;
    const size = this.source.segmentBytes;
    const first = segments[0];
    let from = Math.max(this.seen + 1, first === undefined ? 0 : startOf(first, size));
    let end = from;
    this.bring(0, step);
    for (let at = 0; at < segments.length; at += step) {
      this.context.signal.throwIfAborted();
      if (phase !== undefined) this.context.report({ phase, done: at, total: segments.length, unit: 'segments' });
      const { read, damaged } = await this.ahead;
      if (damaged === null) this.bring(at + step, step);
      const last = read.at(-1);
      if (last !== undefined) {
        end = endOf(last, size);
        const found = end <= from ? { error: null } : await this.readBatch(from, end);
        await this.visitor.between?.();
        if (this.stopped || found.error !== null)
          return { end: found.error ?? this.seen, stopped: this.stopped, damaged: null, ended: !this.stopped };
        from = Math.max(from, await this.nextStart(from, end, last));
        await this.wal.forget(segments.slice(Math.max(0, at - step), at + step), from);
      }
      if (damaged !== null) return { end, stopped: false, damaged, ended: false };
    }
    return { end, stopped: false, damaged: null, ended: segments.at(-1)?.until != null };
  }

  private bring(at: number, step: number): void {
    this.ahead = this.wal.bring(this.order.segments.slice(at, at + step));
    // Where the reading ends before its turn, as by a cancellation, nobody awaits it: its failure must not end the worker.
    this.ahead.catch(() => undefined);
  }

  /** Visits what begins between two positions; `error`: where the WAL ends before the second. */
  private async readBatch(from: number, to: number): Promise<{ readonly error: number | null }> {
    if (this.oneByOne === null) return this.dump(from, to, this.managers, this.directly());
    const found: Kept[] = [];
    let error: number | null = null;
    for (const manager of this.oneByOne) {
      const { error: ended } = await this.dump(from, to, [manager], keepRecords(found));
      if (ended !== null) error = Math.min(error ?? ended, ended);
    }
    const direct = this.directly();
    for (const { kind, record } of found.toSorted((a, b) => a.record.lsn - b.record.lsn))
      (direct[kind] as (one: typeof record) => void)(record);
    return { error };
  }

  private directly(): Visits {
    const { heap, transaction, other, goesOn } = this.visitor;
    const isNew = ({ lsn }: { readonly lsn: number }): boolean => {
      if (this.stopped || lsn <= this.seen) return false;
      this.seen = lsn;
      return true;
    };
    return {
      heap: (record) => {
        if (isNew(record)) heap?.(record, this.wal);
      },
      transaction: (record) => {
        if (!isNew(record)) return;
        transaction?.(record);
        if (goesOn?.() === false) this.stopped = true;
      },
      other: (record) => {
        if (isNew(record)) other?.(record);
      },
    };
  }

  private async dump(
    from: number,
    to: number,
    managers: readonly Manager[] | 'all',
    visits: Visits & { readonly position?: (lsn: number) => void },
  ): Promise<{ readonly error: number | null }> {
    const stop = new AbortController();
    const parser = new WaldumpParser(visits);
    const filters = managers === 'all' ? [] : managers.flatMap((manager) => ['--rmgr', manager]);
    const argv = [
      ...[join(this.context.pgBin, 'pg_waldump'), '-p', this.wal.directory, '-t', '1'],
      ...['-s', lsnText(from), '-e', lsnText(to), ...filters],
    ];
    try {
      const { exitCode, stderr } = await runProgram(await printingMuch(argv), {
        env: { LC_ALL: 'C', TZ: 'UTC' },
        acceptCodes: [0, 1],
        timeoutMs: READ_TIMEOUT_MS,
        signal: AbortSignal.any([this.context.signal, stop.signal]),
        onChunk: (chunk) => {
          if (!this.stopped) parser.push(chunk);
          if (this.stopped) stop.abort();
        },
      });
      parser.end();
      return { error: exitCode === 0 ? null : errorAt(stderr, from) };
    } catch (error) {
      if (!this.stopped || this.context.signal.aborted) throw error;
      return { error: null };
    }
  }

  /** From where the next batch is read: a record that goes over the end of this one has to be read whole. */
  private async nextStart(from: number, end: number, last: FollowedSegment): Promise<number> {
    const start = Math.max(from, this.seen);
    if (end - start <= SILENT_BYTES) return start;
    // Long without a record of interest: as when an index is built.
    let found = start;
    await this.dump(Math.max(start, startOf(last, this.source.segmentBytes)), end, 'all', {
      ...keepRecords([]),
      position: (lsn) => (found = Math.max(found, lsn)),
    });
    return found;
  }
}

interface Visits {
  readonly heap: (record: HeapRecord) => void;
  readonly transaction: (record: TransactionRecord) => void;
  readonly other: (record: OtherRecord) => void;
}

type Kept =
  | { readonly kind: 'heap'; readonly record: HeapRecord }
  | { readonly kind: 'transaction'; readonly record: TransactionRecord }
  | { readonly kind: 'other'; readonly record: OtherRecord };

function keepRecords(found: Kept[]): Visits {
  return {
    heap: (record) => void found.push({ kind: 'heap', record: copyOf(record) }),
    transaction: (record) => void found.push({ kind: 'transaction', record }),
    other: (record) => void found.push({ kind: 'other', record }),
  };
}

/** A heap record that stays as it is. */
function copyOf(record: HeapRecord): HeapRecord {
  const { kind, lsn, xid, length, tablespace, database, file, block, offset, newBlock, newOffset } = record;
  const { rows, initial, flags } = record;
  const offsets = kind === 'multi-insert' ? record.offsets() : null;
  const relids = kind === 'truncate' ? record.relids() : [];
  return {
    ...{ kind, lsn, xid, length, tablespace, database, file, block, offset, newBlock, newOffset, rows, initial, flags },
    offsets: () => offsets,
    relids: () => relids,
  };
}

/** @throws RepriseError `tool-failed` where it says something else than that the WAL ends */
function errorAt(stderr: string, from: number): number {
  const match = END_OF_WAL.exec(stderr);
  if (match !== null) return match[1] === undefined ? from : lsnNumber(match[1]);
  throw new RepriseError(
    'tool-failed',
    stderr.split('\n')[0] ?? 'pg_waldump failed',
    'see that the WAL can be read, and that the programs are of the version that wrote it',
  );
}

export function lsnText(lsn: number): string {
  return formatLsn(BigInt(lsn));
}

/** The reverse of {@link lsnText}. */
export function lsnNumber(text: string): number {
  const [high = '0', low = '0'] = text.split('/');
  return Number.parseInt(high, 16) * 0x1_0000_0000 + Number.parseInt(low, 16);
}

export function startOf({ number }: FollowedSegment, segmentBytes: number): number {
  return Number(number) * segmentBytes;
}

function endOf({ number, until }: FollowedSegment, segmentBytes: number): number {
  return until === null ? (Number(number) + 1) * segmentBytes : Number(until);
}
