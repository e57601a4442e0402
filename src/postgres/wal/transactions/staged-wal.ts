import { closeSync, constants, openSync, readSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { RepriseError } from '../../../domain/errors.js';
import { segmentName } from '../../../domain/target/wal.js';
import { sizeInWords } from '../../../domain/text/text.js';
import { removeTree } from '../../../files/remove-tree.js';
import { freeBytes } from '../../server/disk.js';
import type { FollowedSegment } from '../scan/followed-segments.js';
import { readSegmentHeader } from '../segment-file.js';
import { fetchUndamaged, type WalArchive } from '../wal-archive.js';

/** Segments fetched at a time: each may be a process. */
const AT_ONCE = 4;
const [SHORT_HEADER, LONG_HEADER, BLOCK] = [24, 40, 8192];
/** What is left free besides the WAL. */
const MARGIN_BYTES = 64 * 1024 * 1024;

/** Where WAL is read from. */
export interface WalPlaces {
  readonly archive: WalArchive;
  /** Lists the archive again, for what came to it meanwhile. */
  readonly listAgain?: () => Promise<WalArchive>;
  /** Data directory whose `pg_wal` has what is not archived yet; null where it cannot be read here. */
  readonly dataDir: string | null;
  /** Directory for fetched segments. */
  readonly scratch: string;
}

/**
 * Segments in a scratch directory, all under the name of one timeline: to pg_waldump they are one WAL then, and a record that
 * goes over a change of timelines is read as a recovery reads it.
 */
export class StagedWal {
  /** As it was listed last. */
  private archive: WalArchive;

  private constructor(
    readonly directory: string,
    private readonly places: WalPlaces,
    private readonly segmentBytes: number,
    private readonly signal: AbortSignal,
  ) {
    this.archive = places.archive;
  }

  /**
   * @param bytes as much as is there at a time
   * @throws RepriseError `disk-full` where the scratch directory has no room for that
   */
  static async open(places: WalPlaces, segmentBytes: number, bytes: number, signal: AbortSignal): Promise<StagedWal> {
    const free = await freeBytes(places.scratch);
    if (free < bytes + MARGIN_BYTES)
      throw new RepriseError(
        'disk-full',
        `reading WAL takes ${sizeInWords(bytes + MARGIN_BYTES)} in ${places.scratch}, and ${sizeInWords(free)} are free`,
        'free space there, or name another directory under hosts.NAME.scratch_dir',
      );
    const directory = await mkdtemp(join(places.scratch, 'scan-'));
    await mkdir(join(directory, 'incoming'));
    return new StagedWal(directory, places, segmentBytes, signal);
  }

  /** Brings segments here; those before the first that is damaged, and which one that is. */
  async bring(
    segments: readonly FollowedSegment[],
  ): Promise<{ readonly read: readonly FollowedSegment[]; readonly damaged: FollowedSegment | null }> {
    for (let first = 0; first < segments.length; first += AT_ONCE) {
      const some = segments.slice(first, first + AT_ONCE);
      const bad = (await Promise.all(some.map((segment) => this.bringOne(segment)))).indexOf(false);
      if (bad >= 0) return { read: segments.slice(0, first + bad), damaged: some[bad] ?? null };
    }
    return { read: segments, damaged: null };
  }

  private async bringOne({ name, number, from }: FollowedSegment): Promise<boolean> {
    this.signal.throwIfAborted();
    const incoming = join(this.directory, 'incoming');
    const isHere =
      from === 'archive'
        ? await fetchUndamaged(this.places.archive, name, incoming)
        : (await this.copyOwn(name, number, incoming)) || (await this.fetchArchivedSince(name, incoming));
    if (!isHere) return false;
    await rename(join(incoming, name), this.path(number));
    return true;
  }

  /** Copies it from the server; false where the server has it no more, or has taken the file for other WAL before it was copied. */
  private async copyOwn(name: string, number: bigint, directory: string): Promise<boolean> {
    const source = join(this.places.dataDir ?? '', 'pg_wal', name);
    await copyFile(source, join(directory, name), constants.COPYFILE_FICLONE).catch(() => undefined);
    // Looked at last: the file under this name is the one that was copied, and nothing else was written to it.
    const header = await readSegmentHeader(source);
    return header !== null && header.pageStart === number * BigInt(this.segmentBytes);
  }

  /** A server that runs gives up a segment as soon as it is archived. */
  private async fetchArchivedSince(name: string, directory: string): Promise<boolean> {
    const isThere = (): boolean => this.archive.segments.includes(name) && this.archive.beginnings?.has(name) !== true;
    if (!isThere() && this.places.listAgain !== undefined) this.archive = await this.places.listAgain();
    return isThere() && fetchUndamaged(this.archive, name, directory);
  }

  /** Removes what comes before the segment that holds a position. */
  async forget(segments: readonly FollowedSegment[], before: number): Promise<void> {
    const kept = BigInt(Math.floor(before / this.segmentBytes));
    for (const { number } of segments) if (number < kept) await rm(this.path(number), { force: true });
  }

  /** The last bytes of a record, which holds its own data there. Only while its segments are here. */
  recordTail(lsn: number, length: number, bytes: number): Buffer {
    const tail = Buffer.alloc(bytes);
    const begin = length - bytes;
    let at = lsn;
    for (let done = 0; done < length;) {
      if (at % BLOCK === 0) at += at % this.segmentBytes === 0 ? LONG_HEADER : SHORT_HEADER;
      const step = Math.min(length - done, BLOCK - (at % BLOCK));
      const first = Math.max(done, begin);
      if (first < done + step) this.readAt(at + first - done, tail.subarray(first - begin, done + step - begin));
      at += step;
      done += step;
    }
    return tail;
  }

  private readAt(at: number, into: Buffer): void {
    const handle = openSync(this.path(BigInt(Math.floor(at / this.segmentBytes))), 'r');
    try {
      readSync(handle, into, 0, into.length, at % this.segmentBytes);
    } finally {
      closeSync(handle);
    }
  }

  private path(number: bigint): string {
    return join(this.directory, segmentName({ timeline: 1, number }, this.segmentBytes));
  }

  async remove(): Promise<void> {
    await removeTree(this.directory);
  }
}
