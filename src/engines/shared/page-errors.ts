import { RepriseError } from '../../domain/errors.js';

/** So many pages are named. */
const NAMED = 5;

export const PAGE_CORRUPT_HINT =
  'find the table or index: SELECT oid::regclass FROM pg_class WHERE pg_relation_filepath(oid) = FILE, in its database; REINDEX an index, restore a table from an older backup; look at the disk; to take backups nevertheless: options: { page_errors: accept }';

/** Damaged pages as a message names them. */
export function pagesInWords(pages: readonly string[]): string {
  const more = pages.length - NAMED;
  return `${pages.slice(0, NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** Bounds of what is recorded of damaged pages. */
export const LONGEST_NAME = 200;
export const MOST_FILES = 100;

/** A backup that holds damaged pages is none that counts. */
export function damagedPages(label: string, pages: readonly string[]): RepriseError {
  return new RepriseError(
    'page-corrupt',
    `pages of the cluster are damaged on disk: ${pagesInWords(pages)}; backup ${label} holds them as they are, and does not count`,
    PAGE_CORRUPT_HINT,
  );
}
