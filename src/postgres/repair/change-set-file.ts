import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { RepriseError } from '../../domain/errors.js';
import type { ChangeSetDigest, ChangeSetHeader, RowChange, RowConflict, RowText } from '../../domain/table/repair.js';
import { writeTemporary } from '../../files/atomic-file.js';
import { type FileOwner, syncDirectory } from '../../files/directories.js';
import { workMoved } from '../../files/work-signs.js';
import { jsonLines, requireOrdinarySize } from './rows-file.js';

/** What a change set holds of one row. */
export type ChangeSetEntry = RowChange | (RowConflict & { readonly op: 'conflict' });

const FORMAT = 1;
const headerLine = z.strictObject({
  format: z.literal(FORMAT),
  database: z.string(),
  table: z.strictObject({ schema: z.string(), table: z.string() }),
  columns: z.array(z.string()).min(1),
  key: z.array(z.string()),
});
/** Written at once; lines are short. */
const WRITE_BYTES = 256 * 1024;

/**
 * Writes a change set: a line of JSON with its header, then one line a row. The file is whole or not there, and its owner's alone, for
 * it holds people's data.
 * @param path in a directory that is there; what was there is replaced
 */
export async function writeChangeSet(
  path: string,
  header: ChangeSetHeader,
  entries: AsyncIterable<ChangeSetEntry> | Iterable<ChangeSetEntry>,
  owner: FileOwner | null,
): Promise<ChangeSetDigest> {
  const hash = createHash('sha256');
  const counts = { insert: 0, update: 0, delete: 0, conflicts: 0 };
  let bytes = 0;
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  await writeTemporary(
    temporary,
    async (file) => {
      let pending = `${JSON.stringify({ format: FORMAT, ...header })}\n`;
      const flush = async (): Promise<void> => {
        const chunk = Buffer.from(pending);
        pending = '';
        bytes += chunk.length;
        hash.update(chunk);
        await file.writeFile(chunk);
        workMoved();
      };
      for await (const entry of entries) {
        requireOrdinarySize(
          entry.op === 'conflict'
            ? []
            : ['before' in entry ? entry.before : null, 'after' in entry ? entry.after : null],
        );
        counts[entry.op === 'conflict' ? 'conflicts' : entry.op] += 1;
        pending += `${JSON.stringify(lineOf(entry))}\n`;
        if (pending.length >= WRITE_BYTES) await flush();
      }
      await flush();
    },
    owner,
  );
  await rename(temporary, path);
  await syncDirectory(dirname(path));
  return { sha256: hash.digest('hex'), bytes, ...counts };
}

const TOGETHER = 'together';

function lineOf(entry: ChangeSetEntry): unknown {
  const mark = entry.op !== 'conflict' && entry.together === true ? [TOGETHER] : [];
  switch (entry.op) {
    case 'insert':
      return ['i', entry.after, ...mark];
    case 'update':
      return ['u', entry.before, entry.after, ...mark];
    case 'delete':
      return ['d', entry.before, ...mark];
    case 'conflict':
      return ['c', entry.reason, entry.key, entry.good, entry.bad, entry.now];
  }
}

/** A change set that is read again. */
export interface ReadChangeSet {
  readonly header: ChangeSetHeader;
  /** In the order in which they were written. At the end the whole file was the expected one, else it throws. */
  entries(): AsyncGenerator<ChangeSetEntry>;
}

/**
 * Gives `use` a change set that is the very one that was approved: nobody can change its file unseen while it is read.
 * @throws RepriseError `not-found`; `plan-stale` for a file that is another one now
 */
export async function withChangeSet<T>(
  path: string,
  expected: Pick<ChangeSetDigest, 'sha256'>,
  use: (changes: ReadChangeSet) => Promise<T>,
): Promise<T> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch((error: unknown) => {
    throw new RepriseError('not-found', `the change set ${path} cannot be read: ${String(error)}`, NEW_PLAN);
  });
  try {
    const hash = createHash('sha256');
    for await (const chunk of file.createReadStream({ autoClose: false, start: 0 })) hash.update(chunk as Buffer);
    if (hash.digest('hex') !== expected.sha256) throw changed(path);
    const first = await jsonLines(chunksOf(file, () => undefined)).next();
    const header = headerLine.safeParse(parsed(path, first.done === true ? '' : first.value));
    if (!header.success) throw changed(path);
    const { format: _, ...read } = header.data;
    return await use({ header: read, entries: () => entriesOf(path, file, read.columns.length, expected.sha256) });
  } finally {
    await file.close();
  }
}

type OpenFile = Awaited<ReturnType<typeof open>>;

async function* chunksOf(file: OpenFile, seen: (chunk: Buffer) => void): AsyncGenerator<Buffer, void> {
  for await (const chunk of file.createReadStream({ autoClose: false, start: 0, highWaterMark: WRITE_BYTES })) {
    seen(chunk as Buffer);
    yield chunk as Buffer;
  }
}

async function* entriesOf(
  path: string,
  file: OpenFile,
  width: number,
  expected: string,
): AsyncGenerator<ChangeSetEntry> {
  const hash = createHash('sha256');
  let isHeader = true;
  for await (const line of jsonLines(chunksOf(file, (chunk) => void hash.update(chunk)))) {
    if (!isHeader) yield entryOf(path, line, width);
    isHeader = false;
  }
  if (hash.digest('hex') !== expected) throw changed(path);
}

function entryOf(path: string, line: string, width: number): ChangeSetEntry {
  const raw = parsed(path, line);
  const [kind, ...rest] = Array.isArray(raw) ? (raw as unknown[]) : [];
  const row = (value: unknown): RowText => {
    if (!Array.isArray(value) || value.length !== width) throw changed(path);
    return value as RowText;
  };
  const maybe = (value: unknown): RowText | null => (value === null ? null : row(value));
  const together = rest.at(-1) === TOGETHER ? ({ together: true } as const) : {};
  switch (kind) {
    case 'i':
      return { op: 'insert', after: row(rest[0]), ...together };
    case 'u':
      return { op: 'update', before: row(rest[0]), after: row(rest[1]), ...together };
    case 'd':
      return { op: 'delete', before: row(rest[0]), ...together };
    case 'c':
      return {
        op: 'conflict',
        reason: rest[0] as RowConflict['reason'],
        key: rest[1] as RowText,
        good: maybe(rest[2]),
        bad: maybe(rest[3]),
        now: maybe(rest[4]),
      };
    default:
      throw changed(path);
  }
}

function parsed(path: string, line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw changed(path);
  }
}

/** What takes a change set back. `left`: numbers of the changes, from 0, that were not made. */
export async function* reversedEntries(
  entries: AsyncIterable<ChangeSetEntry>,
  left: ReadonlySet<number> = new Set(),
): AsyncGenerator<RowChange> {
  let at = 0;
  for await (const entry of entries) {
    if (entry.op === 'conflict') continue;
    if (!left.has(at++)) yield reversed(entry);
  }
}

function reversed(change: RowChange): RowChange {
  if (change.op === 'insert') return { op: 'delete', before: change.after };
  if (change.op === 'delete') return { op: 'insert', after: change.before };
  return { op: 'update', before: change.after, after: change.before };
}

const NEW_PLAN = 'make a new plan: reprise table repair';

function changed(path: string): RepriseError {
  return new RepriseError('plan-stale', `the change set ${path} is not the one of the plan`, NEW_PLAN);
}
