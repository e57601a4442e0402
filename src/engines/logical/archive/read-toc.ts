import { RepriseError } from '../../../domain/errors.js';
import type { ReadContext } from '../../engine.js';
import { inTermsOfAge } from '../../../process/age/age.js';
import { runOnFile } from '../encryption.js';
import type { SealedFile } from '../encryption.js';
import { readToc, TocIncomplete } from './toc.js';
import type { ArchiveToc } from './toc.js';

/** Reads a beginning, from a file that is named or from stdin; base64, because a program's output is text to us. */
const HEAD = 'set -o pipefail; head --bytes="$1" "${@:2}" | base64 --wrap=0';
const FIRST_BYTES = 1 << 20;
/** The text of a million objects; a longer table of contents is none. */
const MOST_BYTES = 1 << 30;
const LONGEST_MS = 10 * 60_000;

/**
 * The table of contents of a dump, wherever it is and whether it is encrypted. No more is read than its beginning.
 * @throws RepriseError `backup-corrupt`, `version-mismatch`, `key-missing`, and what reading the repository throws
 */
export async function tocOf(context: ReadContext, file: SealedFile): Promise<ArchiveToc> {
  for (let bytes = FIRST_BYTES; ; bytes *= 4) {
    const beginning = await beginningOf(context, file, bytes);
    try {
      return readToc(beginning);
    } catch (error) {
      if (!(error instanceof TocIncomplete)) throw error;
      if (beginning.length < bytes || bytes >= MOST_BYTES)
        throw new RepriseError(
          'backup-corrupt',
          `the table of contents of ${file.key} is not whole`,
          'choose another backup with recover --to backup:ID',
        );
    }
  }
}

async function beginningOf(context: ReadContext, file: SealedFile, bytes: number): Promise<Buffer> {
  const argv = ['/bin/bash', '-c', HEAD, 'beginning', String(bytes)];
  const options = { timeoutMs: LONGEST_MS, maxBufferBytes: bytes * 2 };
  const { stdout } = await inTermsOfAge(runOnFile(context, file, argv, 'beginning', options));
  return Buffer.from(stdout, 'base64');
}
