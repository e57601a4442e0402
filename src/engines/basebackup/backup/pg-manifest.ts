import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { RepriseError } from '../../../domain/errors.js';
import { compareLsn } from '../../../domain/target/wal.js';

/** What PostgreSQL's `backup_manifest` says of a backup as a whole. */
export interface PgManifest {
  /** Bytes of all files it lists: of the restored cluster. */
  readonly totalBytes: number;
  readonly timeline: number;
  readonly startLsn: string;
  readonly stopLsn: string;
  /** Named from PostgreSQL 17 on. */
  readonly systemIdentifier: string | null;
}

const range = /"Timeline": (\d+), "Start-LSN": "([0-9A-F]+\/[0-9A-F]+)", "End-LSN": "([0-9A-F]+\/[0-9A-F]+)"/;

/**
 * Reads a `backup_manifest` line by line: with a million files it has hundreds of megabytes. pg_basebackup writes it
 * last, so that a killed one has left none.
 * @throws RepriseError `backup-corrupt` where there is none, or it has no end
 */
export async function readPgManifest(path: string): Promise<PgManifest> {
  const found = new ManifestLines();
  try {
    for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) found.take(line);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw incomplete('it has no backup_manifest');
  }
  return found.result();
}

/** What the lines of a manifest have said so far. */
class ManifestLines {
  private totalBytes = 0;
  private systemIdentifier: string | null = null;
  private complete = false;
  private readonly ranges: { timeline: number; start: string; stop: string }[] = [];

  take(line: string): void {
    this.totalBytes += Number(/"Size": (\d+)/.exec(line)?.[1] ?? 0);
    this.systemIdentifier ??= /^"System-Identifier": (\d+)/.exec(line)?.[1] ?? null;
    const [, timeline, start, stop] = range.exec(line) ?? [];
    if (timeline !== undefined && start !== undefined && stop !== undefined)
      this.ranges.push({ timeline: Number(timeline), start, stop });
    this.complete ||= line.startsWith('"Manifest-Checksum"');
  }

  result(): PgManifest {
    const sorted = this.ranges.toSorted((a, b) => compareLsn(a.start, b.start));
    const [first, last] = [sorted[0], sorted.at(-1)];
    if (!this.complete || first === undefined || last === undefined) throw incomplete('its backup_manifest is cut off');
    const { totalBytes, systemIdentifier } = this;
    return { totalBytes, timeline: last.timeline, startLsn: first.start, stopLsn: last.stop, systemIdentifier };
  }
}

function incomplete(why: string): RepriseError {
  return new RepriseError(
    'backup-corrupt',
    `the base backup is incomplete: ${why}`,
    'run the backup again; older backups are untouched',
  );
}
