/** A path as it may stand in a config: no shell reads it, so `~` would be a directory of that name. */
export const pathPattern = /^(?!~)\P{Cc}+$/u;
export const pathRule = 'expected a path: whole, or relative to this file, without "~" and control characters';

/** Text for PostgreSQL or a program: both end it at a NUL without a word. */
export const holdsNoNul = (text: string): boolean => !text.includes('\0');
export const noNulRule = 'the text may not hold a NUL';
