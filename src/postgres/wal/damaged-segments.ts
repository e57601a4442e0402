import { isRepriseError } from '../../domain/errors.js';
import type { WalArchive } from './wal-archive.js';

/** Codes with which an archive says that a segment is there and cannot be read as it was written. */
const DAMAGE = new Set(['backup-corrupt', 'wal-gap']);

/**
 * Fetches a segment into a directory; false where it is damaged (F15). That is a gap in the log like a missing one:
 * recovery ends before it, and what lies before it is as good as ever.
 * @throws RepriseError what else hinders fetching
 */
export async function fetchUndamaged(archive: WalArchive, segment: string, directory: string): Promise<boolean> {
  try {
    await archive.fetch(segment, directory);
    return true;
  } catch (error) {
    if (isRepriseError(error) && DAMAGE.has(error.code)) return false;
    throw error;
  }
}

/** The archive as if these segments had never come to it. */
export function withoutSegments(archive: WalArchive, segments: ReadonlySet<string>): WalArchive {
  return { ...archive, segments: archive.segments.filter((name) => !segments.has(name)) };
}
