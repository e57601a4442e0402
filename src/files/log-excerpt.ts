import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { MOST_REDACTED, redact } from '../domain/text/redact.js';
import { visible } from '../domain/text/text.js';

/** Bytes of the beginning of a long log that are kept: what was begun, and with what. */
const BEGINNING_BYTES = 8 * 1024;
/** Part of the end that is only read for what begins in it: a row value that ends in what is shown is hidden as a whole. */
const UNSHOWN_PART = 1 / 8;

/**
 * A log for people, without secrets and row values. One of more than 64 kB is cut: its first 8 kB and its last 56 kB are left, with a line
 * between them that says how much is not.
 * @param chosen picks what is shown of a text; absent: all of it
 * @returns empty where there is no plain file
 */
export async function logExcerpt(path: string, chosen = (text: string): string => text): Promise<string> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(() => null);
  if (file === null) return '';
  try {
    const found = await file.stat();
    if (!found.isFile()) return '';
    const { size } = found;
    if (size <= MOST_REDACTED) return shown(chosen(await bytesOf(file, 0, size)));
    const [first, last] = [
      await bytesOf(file, 0, BEGINNING_BYTES),
      await bytesOf(file, size - MOST_REDACTED, size),
    ] as const;
    return cutText(chosen(wholeLines(first)), chosen(last), size);
  } finally {
    await file.close();
  }
}

/** The same of what a program printed. */
export function textExcerpt(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= MOST_REDACTED) return shown(text);
  const first = bytes.toString('utf8', 0, BEGINNING_BYTES);
  return cutText(wholeLines(first), bytes.toString('utf8', bytes.length - MOST_REDACTED), bytes.length);
}

const shown = (text: string): string => redact(text).split('\n').map(visible).join('\n').trim();

const wholeLines = (text: string): string => text.slice(0, text.lastIndexOf('\n') + 1);

function cutText(first: string, last: string, size: number): string {
  const end = shown(last);
  const kept = end.slice(end.indexOf('\n', Math.floor(end.length * UNSHOWN_PART)) + 1);
  const left = size - BEGINNING_BYTES - Math.round(MOST_REDACTED * (1 - UNSHOWN_PART));
  return `${shown(first)}\n(${Math.ceil(left / 1024)} kB are left out here)\n${kept}`;
}

async function bytesOf(file: FileHandle, from: number, to: number): Promise<string> {
  const buffer = Buffer.alloc(to - from);
  const { bytesRead } = await file.read(buffer, 0, buffer.length, from);
  return buffer.toString('utf8', 0, bytesRead);
}
