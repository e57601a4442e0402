import { open, readFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { fileSize } from '../../files/paths.js';

const TAIL_BYTES = 16 * 1024;
const TAIL_LINES = 15;

/** Where reading of a log begins: what was there before is of an earlier start. */
export interface LogMark {
  readonly file: string;
  readonly offset: number;
}

/**
 * Files a server may write to: the one its start named, and the logging collector's (`current_logfiles`, manual,
 * "Error Reporting and Logging").
 */
export async function logFiles(dataDir: string, startLog: string): Promise<string[]> {
  const list = await readFile(join(dataDir, 'current_logfiles'), 'utf8').catch(() => '');
  const collected = list
    .split('\n')
    .map((line) => /^(?:stderr|csvlog|jsonlog) (.+)$/.exec(line)?.[1])
    .filter((path) => path !== undefined);
  return [startLog, ...collected.map((path) => (isAbsolute(path) ? path : join(dataDir, path)))];
}

/** Remembers how long each file is now. */
export async function markLogs(files: readonly string[]): Promise<LogMark[]> {
  return Promise.all(
    files.map(async (file) => ({
      file,
      offset: (await fileSize(file)) ?? 0,
    })),
  );
}

/** The last lines written since the marks, of files that came later from their beginning; empty where there are none. */
export async function logTail(files: readonly string[], marks: readonly LogMark[] = []): Promise<string> {
  const parts = await Promise.all(
    files.map((file) => readEnd(file, marks.find((mark) => mark.file === file)?.offset ?? 0).catch(() => '')),
  );
  return parts.filter((part) => part !== '').join('\n');
}

async function readEnd(file: string, from: number): Promise<string> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const start = Math.max(size < from ? 0 : from, size - TAIL_BYTES);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - start), 0, size - start, start);
    const lines = buffer.subarray(0, bytesRead).toString('utf8').trimEnd().split('\n');
    return lines.slice(-TAIL_LINES).join('\n');
  } finally {
    await handle.close();
  }
}
