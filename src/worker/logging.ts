import { DefaultLogger, type LogEntry, type Logger } from '@temporalio/worker';
import { redact } from '../domain/text/redact.js';

/** Warnings and errors of the SDK on stderr, a line each, without secrets: stdout belongs to results. */
export function workerLogger(): Logger {
  return new DefaultLogger('WARN', ({ level, timestampNanos, message, meta }: LogEntry) => {
    // Only one of a process's workers runs workflows; the others are right to have none.
    if (message.startsWith('No workflows registered')) return;
    const at = new Date(Number(timestampNanos / 1_000_000n)).toISOString();
    const error = meta?.['error'];
    const reason = error instanceof Error ? `: ${error.message}` : '';
    process.stderr.write(`${at} ${level} ${redact(message + reason)}\n`);
  });
}
