import { createHash } from 'node:crypto';

/** What a name is on every file system and to every tool: no separator, no leading dot or dash. */
const PLAIN = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
const LONGEST_PLAIN = 80;

/**
 * A file name for any text: plain text as it is, all else a readable remainder and a hash, behind a `~` that no plain
 * name begins with, so that two texts never share a name and none leaves its directory.
 */
export function safeFileName(text: string): string {
  if (isPlainName(text, LONGEST_PLAIN)) return text;
  const remainder = text.replaceAll(/[^A-Za-z0-9_-]+/g, '-').slice(0, 40);
  return `~${remainder}~${createHash('sha256').update(text).digest('hex').slice(0, 20)}`;
}

/** Whether a text is a file name as it is, up to so many characters. */
export function isPlainName(text: string, longest: number): boolean {
  return text.length <= longest && PLAIN.test(text);
}

/**
 * The same for the ledger of a host, whose entries have always been called so: another name would make an entry that
 * is there look absent, and a step that was done would be done again.
 */
export function ledgerFileName(text: string): string {
  return isPlainName(text, 100) ? text : `name-${createHash('sha256').update(text).digest('hex')}`;
}
