/** Limits of S3 (Amazon S3 User Guide, "multipart upload limits"): 10,000 parts; parts get bigger on the way to 5 TiB. */
const PARTS_OF_ONE_SIZE = 1_000;
const MAX_PART_BYTES = 1024 ** 3;

/** Bytes of a part, counted from 1: a stream does not say how long it will be, so that later parts are bigger. */
export function partSize(firstBytes: number, partNumber: number): number {
  return Math.min(firstBytes * 2 ** Math.floor((partNumber - 1) / PARTS_OF_ONE_SIZE), Math.max(firstBytes, MAX_PART_BYTES));
}

/**
 * Memory for parts: as many bytes as `most` first parts have, or one part where it is bigger. Buffers are used again,
 * so that memory does not wait for the garbage collector.
 */
export class PartBuffers {
  private readonly budget: number;
  private free: Buffer[] = [];
  private outBytes = 0;

  constructor(
    private readonly firstBytes: number,
    most: number,
  ) {
    this.budget = firstBytes * most;
  }

  /** A buffer for a part; waits until one of `underWay` has given back enough. */
  async take(partNumber: number, underWay: ReadonlySet<Promise<void>>): Promise<Buffer> {
    const size = partSize(this.firstBytes, partNumber);
    while (this.outBytes + size > this.budget && underWay.size > 0) await Promise.race(underWay);
    this.free = this.free.filter((buffer) => buffer.length === size);
    this.outBytes += size;
    return this.free.pop() ?? Buffer.allocUnsafeSlow(size);
  }

  give(buffer: Buffer): void {
    this.outBytes -= buffer.length;
    this.free.push(buffer);
  }
}
