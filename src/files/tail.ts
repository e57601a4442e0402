import { open } from 'node:fs/promises';
import { redact } from '../domain/text/redact.js';

const READ_BYTES = 16_384;
const KEPT_CHARACTERS = 2_000;
const LINE_CHARACTERS = 300;

/** The redacted end of a tool's output file; empty where there is none. */
export async function tailOfFile(path: string): Promise<string> {
  const file = await open(path, 'r').catch(() => undefined);
  if (file === undefined) return '';
  try {
    const { size } = await file.stat();
    const start = Math.max(0, size - READ_BYTES);
    const buffer = Buffer.alloc(size - start);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, start);
    const text = buffer.toString('utf8', 0, bytesRead);
    // A line cut in two could show the end of a secret whose beginning no rule sees any more.
    return tailOfText(start === 0 ? text : text.slice(text.indexOf('\n') + 1));
  } finally {
    await file.close();
  }
}

/** The redacted end of what a tool printed. */
export function tailOfText(text: string): string {
  return redact(text).trimEnd().slice(-KEPT_CHARACTERS);
}

/** The line that tells why: the last one that speaks of an error, else the last one. */
export function errorLine(tail: string): string {
  const lines = tail.split('\n').filter((line) => line.trim() !== '');
  const error = lines.findLast((line) => /\b(?:error|fatal|panic)\b/i.test(line));
  return (error ?? lines.at(-1) ?? '').trim().slice(0, LINE_CHARACTERS);
}
