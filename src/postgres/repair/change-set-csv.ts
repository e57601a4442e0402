import { rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ChangeSetHeader, RowText } from '../../domain/table/repair.js';
import { csvLine } from '../../domain/text/csv.js';
import { writeTemporary } from '../../files/atomic-file.js';
import { type FileOwner, syncDirectory } from '../../files/directories.js';
import { workMoved } from '../../files/work-signs.js';
import type { ChangeSetEntry, ReadChangeSet } from './change-set-file.js';

const WRITE_BYTES = 256 * 1024;

interface CsvRow {
  readonly op: 'put back' | 'corrected' | 'deleted' | 'left out' | 'conflict';
  readonly reason: string | null;
  readonly key: RowText | null;
  readonly before: RowText | null;
  readonly after: RowText | null;
}

/**
 * Writes what a repair changed as a table for a spreadsheet: what was done, why it was not, the key, and each column before and after. The
 * file is whole or not there, and its owner's alone. `left`: numbers of the changes that were not made.
 */
export async function writeChangesCsv(
  path: string,
  { header, entries }: ReadChangeSet,
  left: ReadonlySet<number>,
  owner: FileOwner | null,
): Promise<void> {
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  await writeTemporary(
    temporary,
    async (file) => {
      const columns = header.columns.flatMap((name) => [`before: ${name}`, `after: ${name}`]);
      let pending = csvLine(['op', 'reason', 'key', ...columns]);
      const flush = async (): Promise<void> => {
        await file.writeFile(pending);
        pending = '';
        workMoved();
      };
      let number = 0;
      for await (const entry of entries()) {
        const isLeft = entry.op !== 'conflict' && left.has(number++);
        pending += lineOf(header, rowOf(header, entry, isLeft));
        if (pending.length >= WRITE_BYTES) await flush();
      }
      await flush();
    },
    owner,
  );
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

function lineOf({ columns }: ChangeSetHeader, { op, reason, key, before, after }: CsvRow): string {
  const values = columns.flatMap((_, at) => [before?.[at] ?? null, after?.[at] ?? null]);
  return csvLine([op, reason, keyText(key), ...values]);
}

/** One value as it is, several as JSON: so that no two keys look the same. */
function keyText(key: RowText | null): string | null {
  if (key === null || key.length === 0) return null;
  return key.length === 1 ? (key[0] ?? null) : JSON.stringify(key);
}

const WORDS = { insert: 'put back', update: 'corrected', delete: 'deleted' } as const;

function rowOf({ key, columns }: ChangeSetHeader, entry: ChangeSetEntry, isLeft: boolean): CsvRow {
  if (entry.op === 'conflict')
    return { op: 'conflict', reason: entry.reason, key: entry.key, before: entry.now ?? entry.bad, after: entry.good };
  const before = 'before' in entry ? entry.before : null;
  const after = 'after' in entry ? entry.after : null;
  const row = after ?? before ?? [];
  return {
    op: isLeft ? 'left out' : WORDS[entry.op],
    reason: isLeft ? 'changed-since' : null,
    ...{ key: key.map((name) => row[columns.indexOf(name)] ?? null), before, after },
  };
}
