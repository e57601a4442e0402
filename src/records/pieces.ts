import type { TableCount } from '../domain/backup/backup.js';
import type { CatalogueRecord, NewRecord } from '../domain/backup/records.js';

/**
 * A record stays below it, whatever a backup holds: S3 moves objects of 128 KiB and more to cold classes with age,
 * and a catalogue has to be readable at once, however old it is.
 */
const MOST_RECORD_BYTES = 96 * 1024;

/** A record as it is written. */
export function recordJson(record: CatalogueRecord | NewRecord): string {
  return `${JSON.stringify(record, null, 1)}\n`;
}

/**
 * A record as the records it is written in: the counts of a backup of many tables in records of their own before it, each
 * with an id that a retry finds again. Counts whose backup record never came are ignored.
 */
export function inPieces(record: NewRecord): { readonly before: readonly NewRecord[]; readonly last: NewRecord } {
  if (
    record.kind !== 'backup' ||
    record.backup.contents === undefined ||
    Buffer.byteLength(recordJson(record)) <= MOST_RECORD_BYTES
  )
    return { before: [], last: record };
  const { id, at, operationId, by } = record;
  const { contents, ...backup } = record.backup;
  const before = piecesOf(contents).map((tables, index): NewRecord => ({
    id: `${id}/contents/${index + 1}`,
    at,
    operationId,
    by,
    kind: 'contents',
    backupId: backup.id,
    contents: tables,
  }));
  return { before, last: { ...record, backup, contentRecords: before.length } };
}

function piecesOf(contents: readonly TableCount[]): TableCount[][] {
  const pieces: TableCount[][] = [];
  let room = 0;
  for (const table of contents) {
    // Its lines are indented more in the record: at most nine lines, two more blanks each.
    const bytes = Buffer.byteLength(JSON.stringify(table, null, 1)) + 20;
    if (pieces.length === 0 || bytes > room) {
      pieces.push([]);
      room = MOST_RECORD_BYTES - 4 * 1024;
    }
    pieces.at(-1)?.push(table);
    room -= bytes;
  }
  return pieces;
}
