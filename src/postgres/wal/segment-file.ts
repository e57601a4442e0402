import { open } from 'node:fs/promises';

/** What the first page of a segment says; it can be read even where `global/pg_control` is gone. */
export interface SegmentHeader {
  readonly timeline: number;
  /** Decimal, as pg_controldata shows it. */
  readonly systemIdentifier: string;
  readonly segmentBytes: number;
  readonly blockBytes: number;
  /** Major version of the server that wrote it; null where this program does not know its mark. */
  readonly major: number | null;
  /** Position the page claims to have: another one than its file's name says in a recycled segment. */
  readonly pageStart: bigint;
}

/** `XLOG_PAGE_MAGIC` by major version. */
const MAJORS: Readonly<Record<number, number>> = { 0xd10d: 14, 0xd110: 15, 0xd113: 16, 0xd116: 17, 0xd118: 18 };

const LONG_HEADER_BYTES = 40;
const LONG_HEADER_FLAG = 0x0002;

/**
 * Reads the long header of a segment's first page (`XLogLongPageHeaderData`); null where there is none, as in a segment
 * made in advance. The layout is the writing machine's: little-endian on all platforms Debian has PostgreSQL for but s390x.
 */
export async function readSegmentHeader(path: string): Promise<SegmentHeader | null> {
  const handle = await open(path, 'r').catch(() => null);
  if (handle === null) return null;
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(LONG_HEADER_BYTES), 0, LONG_HEADER_BYTES, 0);
    // Version 11 of PostgreSQL has magic 0xD098, 18 has 0xD118: the rest of the number only grows.
    const magic = buffer.readUInt16LE(0);
    if (bytesRead < LONG_HEADER_BYTES || magic < 0xd000 || (buffer.readUInt16LE(2) & LONG_HEADER_FLAG) === 0)
      return null;
    return {
      timeline: buffer.readUInt32LE(4),
      major: MAJORS[magic] ?? null,
      pageStart: buffer.readBigUInt64LE(8),
      systemIdentifier: buffer.readBigUInt64LE(24).toString(),
      segmentBytes: buffer.readUInt32LE(32),
      blockBytes: buffer.readUInt32LE(36),
    };
  } finally {
    await handle.close();
  }
}

/** Of a record: header, header of its data, and the time at the beginning of that (`xl_restore_point`). */
const RESTORE_POINT_BYTES = 24 + 2 + 8;
const SHORT_HEADER_BYTES = 24;
/** 2000-01-01, from where PostgreSQL counts microseconds. */
const POSTGRES_EPOCH_US = 946_684_800_000_000n;

/**
 * When a restore point was made, which pg_waldump does not print: read from its record, at this offset of a segment.
 * UTC ISO-8601 with microseconds; null where the record goes over the end of the segment.
 */
export async function restorePointTime(path: string, offset: number, blockBytes = 8192): Promise<string | null> {
  const handle = await open(path, 'r');
  try {
    const found: Buffer[] = [];
    let at = offset;
    for (let left = RESTORE_POINT_BYTES; left > 0;) {
      if (at % blockBytes === 0) at += SHORT_HEADER_BYTES;
      const wanted = Math.min(left, blockBytes - (at % blockBytes));
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(wanted), 0, wanted, at);
      if (bytesRead < wanted) return null;
      found.push(buffer);
      at += wanted;
      left -= wanted;
    }
    const micros = Buffer.concat(found).readBigInt64LE(RESTORE_POINT_BYTES - 8) + POSTGRES_EPOCH_US;
    const milliseconds = new Date(Number(micros / 1000n));
    return `${milliseconds.toISOString().slice(0, -1)}${(micros % 1000n).toString().padStart(3, '0')}Z`;
  } finally {
    await handle.close();
  }
}
