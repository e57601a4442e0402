import { createReadStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { RepriseError } from '../../domain/errors.js';
import type { RowText } from '../../domain/table/repair.js';
import { writeTemporary } from '../../files/atomic-file.js';
import type { FileOwner } from '../../files/directories.js';
import { workMoved } from '../../files/work-signs.js';

const [NEWLINE, AT_ONCE] = [0x0a, 256 * 1024];

/** A row is in memory several times over while it is put right. */
const MOST_BYTES = 64 * 1024 * 1024;

/** @throws RepriseError `capability-missing` for rows that are too large to be put right one by one */
export function requireOrdinarySize(values: readonly (RowText | null)[]): void {
  const length = values.reduce((sum, row) => sum + (row ?? []).reduce((all, one) => all + (one?.length ?? 0), 0), 0);
  if (length <= MOST_BYTES) return;
  throw new RepriseError(
    'capability-missing',
    `a damaged row has ${Math.ceil(length / 1_000_000)} MB, and rows of more than ${Math.floor(MOST_BYTES / 1_000_000)} MB are not put right one by one`,
    'leave it out with --where-in or --where-range, or recover the database instead: reprise recover CLUSTER --database D --to TIME',
  );
}

/** Lines of JSON, split at newlines alone: readline takes U+2028, which JSON leaves as it is, for the end of a line too. */
export async function* jsonLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<string, void> {
  let rest: Buffer[] = [];
  for await (const chunk of chunks) {
    workMoved();
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      yield Buffer.concat([...rest, chunk.subarray(start, end)]).toString('utf8');
      rest = [];
      start = end + 1;
    }
    if (start < chunk.length) rest.push(chunk.subarray(start));
  }
}

/** Gives `use` a function that writes a row, as a line of JSON; the file is whole or not there, and its owner's alone. */
export async function withRowsFile<T>(
  path: string,
  owner: FileOwner | null,
  use: (write: (row: RowText) => Promise<void>) => Promise<T>,
): Promise<T> {
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  const done: T[] = [];
  await writeTemporary(
    temporary,
    async (file) => {
      let pending = '';
      const flush = async (): Promise<void> => {
        const text = pending;
        pending = '';
        await file.writeFile(text);
        workMoved();
      };
      done.push(
        await use(async (row) => {
          requireOrdinarySize([row]);
          pending += `${JSON.stringify(row)}\n`;
          if (pending.length >= AT_ONCE) await flush();
        }),
      );
      await flush();
    },
    owner,
  );
  await rename(temporary, path);
  return done[0] as T;
}

/** Reads what {@link withRowsFile} wrote. */
export async function* readRows(path: string): AsyncGenerator<RowText> {
  const chunks = createReadStream(path, { highWaterMark: AT_ONCE }) as AsyncIterable<Buffer>;
  for await (const line of jsonLines(chunks)) yield JSON.parse(line) as RowText;
}
