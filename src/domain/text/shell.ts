import { visible } from './text.js';

/** A text as one word of a shell, in single quotes: nothing in it is expanded or run. */
export const shellQuoted = (text: string): string => `'${visible(text).replaceAll("'", `'\\''`)}'`;

/** The same, without quotes where it needs none. */
export const shellWord = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : shellQuoted(text));
