import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { RepriseError } from '../../domain/errors.js';
import { compareLsn } from '../../domain/target/wal.js';

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
 * last, so that a killed one has left none (F4).
 * @throws RepriseError `backup-corrupt` where there is none, or it has no end
 */
export async function readPgManifest(path: string): Promise<PgManifest> {
  let totalBytes = 0;
  let systemIdentifier: string | null = null;
  let complete = false;
  const ranges: { timeline: number; start: string; stop: string }[] = [];
  try {
    for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
      totalBytes += Number(/"Size": (\d+)/.exec(line)?.[1] ?? 0);
      systemIdentifier ??= /^"System-Identifier": (\d+)/.exec(line)?.[1] ?? null;
      const [, timeline, start, stop] = range.exec(line) ?? [];
      if (timeline !== undefined && start !== undefined && stop !== undefined)
        ranges.push({ timeline: Number(timeline), start, stop });
      complete ||= line.startsWith('"Manifest-Checksum"');
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw incomplete('it has no backup_manifest');
  }
  const sorted = ranges.sort((a, b) => compareLsn(a.start, b.start));
  const [first, last] = [sorted[0], sorted.at(-1)];
  if (!complete || first === undefined || last === undefined) throw incomplete('its backup_manifest breaks off');
  return { totalBytes, timeline: last.timeline, startLsn: first.start, stopLsn: last.stop, systemIdentifier };
}

function incomplete(why: string): RepriseError {
  return new RepriseError(
    'backup-corrupt',
    `the base backup is not whole: ${why}`,
    'run the backup again; older backups are untouched',
  );
}
