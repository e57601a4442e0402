/**
 * What a restore has to tell at its end, kept while it goes on: a later attempt that finds the database whole, or half given to its
 * owners, must not forget what is missing in it.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../../../files/atomic-file.js';
import { isErrno } from '../../../files/paths.js';
import { madeWorkDirectory, workDirectory } from './login-work.js';
import type { Restoring } from './pg-restore.js';

const noteSchema = z.object({
  accepted: z.array(z.string()),
  /** What a person decides on. */
  errors: z.array(z.string()),
  /** Keys of what is in the dump and could not be made. */
  missing: z.array(z.string()),
});
export type RestoreNote = z.infer<typeof noteSchema>;

const noteFile = (work: Restoring): string => join(workDirectory(work), 'note.json');
const refusedFile = (work: Restoring): string => join(workDirectory(work), 'refused');

export async function writeNote(work: Restoring, note: RestoreNote): Promise<void> {
  await madeWorkDirectory(work);
  await writeFileAtomic(noteFile(work), JSON.stringify(note));
}

/** Of a restore that had nothing to tell there is none. */
export async function readNote(work: Restoring): Promise<RestoreNote> {
  try {
    return noteSchema.parse(JSON.parse(await readFile(noteFile(work), 'utf8')));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return { accepted: [], errors: [], missing: [] };
    throw error;
  }
}

/** The database is kept for people to look at, and is not gone on with: the next attempt makes another one. */
export async function markRefused(work: Restoring): Promise<void> {
  await madeWorkDirectory(work);
  await writeFileAtomic(refusedFile(work), '');
}

export async function isRefused(work: Restoring): Promise<boolean> {
  return readFile(refusedFile(work)).then(
    () => true,
    () => false,
  );
}
