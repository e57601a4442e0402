/**
 * Memory for the pieces of one upload: `most` buffers of one size, used again, so that memory does not wait for the
 * garbage collector.
 */
export class PartBuffers {
  private readonly free: Buffer[] = [];
  private made = 0;

  constructor(
    private readonly bytes: number,
    private readonly most: number,
  ) {}

  /** A buffer; waits until one of `underWay` has given one back. */
  async take(underWay: ReadonlySet<Promise<void>>): Promise<Buffer> {
    while (this.free.length === 0 && this.made === this.most && underWay.size > 0) await Promise.race(underWay);
    const free = this.free.pop();
    if (free !== undefined) return free;
    this.made += 1;
    return Buffer.allocUnsafeSlow(this.bytes);
  }

  give(buffer: Buffer): void {
    this.free.push(buffer);
  }
}
