import { createReadStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import type { RowText } from '../../domain/table/repair.js';
import { writeTemporary } from '../../files/atomic-file.js';
import type { FileOwner } from '../../files/directories.js';
import { workMoved } from '../../files/work-signs.js';

const [NEWLINE, AT_ONCE] = [0x0a, 256 * 1024];

/** Lines of JSON, split at newlines alone: readline takes U+2028, which JSON leaves as it is, for the end of a line too. */
export async function* jsonLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<string, void> {
  let rest: Buffer[] = [];
  for await (const chunk of chunks) {
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
