import { readFile, writeFile } from 'node:fs/promises';

/**
 * What a golden file holds, to be compared with what was made. `UPDATE_GOLDEN=1` writes the file instead: read the
 * difference before it is committed, because from then on it is what is right.
 */
export async function golden(file: URL, made: string): Promise<string> {
  if (process.env['UPDATE_GOLDEN'] === '1') await writeFile(file, made);
  return readFile(file, 'utf8');
}
