import type { Socket } from 'node:net';
import { AsyncResource } from 'node:async_hooks';
import type pg from 'pg';
import { freeMemory } from '../../files/free-memory.js';
import { workMoved } from '../../files/work-signs.js';
import { sendBytes } from './encoding.js';

/** Called with a row where it came in; it keeps none of the bytes. */
export type UseLine = (bytes: Buffer, start: number, end: number) => void;

interface RawConnection {
  readonly stream: Socket;
}

type OnData = (chunk: Buffer) => void;

/** Kind and length of a message. */
const HEAD_BYTES = 5;
const COPY_DATA = 0x64;
/** What may come before and between rows: CopyOutResponse, NoticeResponse, ParameterStatus, NotificationResponse. */
const BESIDE_ROWS: ReadonlySet<number> = new Set([0x48, 0x4e, 0x53, 0x41]);
const PART_BYTES = 64 * 1024;

/**
 * Runs a `COPY ... TO STDOUT` in text format and hands on its rows where they came in, for tables of tens of millions: each is one message of
 * the protocol, and nothing is made for each of them. What follows the rows, and an error, is the driver's again.
 * @param statement in bytes of the session's encoding
 * @throws what the server says, or the function; after the latter the session is gone, since it would wait for somebody to read on
 */
export async function copyOut(client: pg.ClientBase, statement: Buffer, use: UseLine): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const reading = new Reading(statement, use, resolve, reject);
    client.query(reading as unknown as pg.Submittable);
  });
}

/** What the driver sees as a query. */
class Reading {
  private connection: RawConnection | null = null;
  private driver: OnData | null = null;
  private failure: unknown = null;
  /** A message that came in part; the buffer stays, so that wide rows do not each take another one. */
  private part: Buffer = Buffer.allocUnsafeSlow(PART_BYTES);
  private filled = 0;
  /** In whose name the rows are used: the session may be older. */
  private readonly receive = AsyncResource.bind((chunk: Buffer) => this.take(chunk));

  constructor(
    private readonly statement: Buffer,
    private readonly use: UseLine,
    private readonly resolve: () => void,
    private readonly reject: (error: unknown) => void,
  ) {}

  submit(connection: pg.Connection): void {
    this.connection = connection as unknown as RawConnection;
    const { stream } = this.connection;
    this.driver = stream.listeners('data')[0] as OnData;
    stream.off('data', this.driver);
    stream.on('data', this.receive);
    sendBytes(this.connection, this.statement);
  }

  handleError(error: unknown): void {
    this.release();
    this.reject(this.failure ?? error);
  }

  handleCommandComplete(): void {
    // It says how many rows there were.
  }

  handleReadyForQuery(): void {
    this.resolve();
  }

  /** The driver reads on. */
  private release(): void {
    const { driver, connection } = this;
    if (connection === null || driver === null) return;
    freeMemory(this.part);
    connection.stream.off('data', this.receive);
    connection.stream.on('data', driver);
    this.driver = null;
  }

  private take(chunk: Buffer): void {
    workMoved();
    try {
      const rest = this.messages(chunk);
      const { driver } = this;
      if (rest === null || driver === null) return freeMemory(chunk);
      this.release();
      for (const bytes of rest) driver(bytes);
    } catch (error) {
      this.failure = error;
      this.connection?.stream.destroy();
    }
  }

  /** Hands on the rows of a piece; from the first message on that is none, what is the driver's; null: there is no such. */
  private messages(chunk: Buffer): readonly Buffer[] | null {
    let at = 0;
    while (at < chunk.length) {
      const end = this.filled === 0 && chunk.length - at >= HEAD_BYTES ? at + sizeAt(chunk, at) : Infinity;
      if (end <= chunk.length) {
        if (!this.message(chunk, at, end)) return [chunk.subarray(at)];
        at = end;
        continue;
      }
      at = this.fill(chunk, at);
      const { part, filled } = this;
      if (filled < HEAD_BYTES || filled < sizeAt(part, 0)) continue;
      this.filled = 0;
      if (!this.message(part, 0, filled)) return [Buffer.from(part.subarray(0, filled)), chunk.subarray(at)];
    }
    return null;
  }

  /** Adds to a message that came in part: its head first, then all of it. Returns how far. */
  private fill(chunk: Buffer, at: number): number {
    const wanted = this.filled < HEAD_BYTES ? HEAD_BYTES : sizeAt(this.part, 0);
    if (wanted > this.part.length) {
      const small = this.part;
      this.part = Buffer.allocUnsafeSlow(wanted);
      small.copy(this.part, 0, 0, this.filled);
      freeMemory(small);
    }
    const step = Math.min(wanted - this.filled, chunk.length - at);
    chunk.copy(this.part, this.filled, at, at + step);
    this.filled += step;
    return at + step;
  }

  /** False where the rows are over. */
  private message(bytes: Buffer, at: number, end: number): boolean {
    const kind = bytes[at] ?? 0;
    // Without the newline at its end.
    if (kind === COPY_DATA) this.use(bytes, at + HEAD_BYTES, end - 1);
    return kind === COPY_DATA || BESIDE_ROWS.has(kind);
  }
}

/** Of a whole message: its length does not count its kind. */
function sizeAt(bytes: Buffer, at: number): number {
  return 1 + bytes.readUInt32BE(at + 1);
}
