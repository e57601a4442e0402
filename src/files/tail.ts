import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { MOST_REDACTED, redact } from '../domain/text/redact.js';

const KEPT_CHARACTERS = 2_000;
const LINE_CHARACTERS = 300;
const TOO_LONG = '(a line of more than 64 kB is left out)';

/** The redacted end of a tool's output file; empty where there is none. */
export async function tailOfFile(path: string): Promise<string> {
  const file = await open(path, 'r').catch(() => undefined);
  if (file === undefined) return '';
  try {
    const { size } = await file.stat();
    const start = Math.max(0, size - MOST_REDACTED);
    const buffer = Buffer.alloc(size - start);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, start);
    const text = buffer.toString('utf8', 0, bytesRead);
    return tailOfText(start === 0 ? text : fromNextLine(text));
  } finally {
    await file.close();
  }
}

/** The redacted end of what a tool printed. */
export function tailOfText(text: string): string {
  const end = text.length <= MOST_REDACTED ? text : fromNextLine(text.slice(-MOST_REDACTED));
  return redact(end).trimEnd().slice(-KEPT_CHARACTERS);
}

/** Without the line it begins in: of one cut in two, the end of a secret could be left whose beginning no rule sees any more. */
function fromNextLine(text: string): string {
  const lineEnd = text.indexOf('\n');
  return lineEnd === -1 ? TOO_LONG : text.slice(lineEnd + 1);
}

/** The lines of a file of any length, each cut after so many characters: memory does not grow with what others wrote. */
export async function* cutLinesOf(path: string, mostCharacters: number): AsyncGenerator<string> {
  let line = '';
  for await (const chunk of createReadStream(path, 'utf8') as AsyncIterable<string>) {
    let start = 0;
    for (let end = chunk.indexOf('\n'); end !== -1; end = chunk.indexOf('\n', start)) {
      yield (line + chunk.slice(start, Math.min(end, start + mostCharacters))).slice(0, mostCharacters);
      [line, start] = ['', end + 1];
    }
    if (line.length < mostCharacters) line += chunk.slice(start, start + mostCharacters);
  }
  if (line !== '') yield line.slice(0, mostCharacters);
}

/** The line that tells why: the last one that speaks of an error, else the last one. */
export function errorLine(tail: string): string {
  const lines = tail.split('\n').filter((line) => line.trim() !== '');
  const error = lines.findLast((line) => /\b(?:error|fatal|panic)\b/i.test(line));
  return (error ?? lines.at(-1) ?? '').trim().slice(0, LINE_CHARACTERS);
}
