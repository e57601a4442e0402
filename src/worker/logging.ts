import { DefaultLogger, type LogEntry, type Logger, type RuntimeOptions } from '@temporalio/worker';
import type { LogSettings } from '../domain/log-settings.js';
import { redact } from '../domain/text/redact.js';
import { visible } from '../domain/text/text.js';

type SdkLevel = LogEntry['level'];

/** Options of the SDK's runtime: its log and that of its core, on stderr, a line each; stdout belongs to results. */
export function runtimeLogging(settings: LogSettings): Pick<RuntimeOptions, 'logger' | 'telemetryOptions'> {
  const level = settings.level.toUpperCase() as SdkLevel;
  return {
    logger: workerLogger(settings, (line) => process.stderr.write(`${line}\n`)),
    // The core tells of each poll at debug: only `trace` asks for that.
    telemetryOptions: {
      logging: { filter: { core: level === 'TRACE' ? 'DEBUG' : 'WARN', other: 'ERROR' }, forward: {} },
    },
  };
}

/** Writes each entry as one line without secrets. */
export function workerLogger({ level, format }: LogSettings, write: (line: string) => void): Logger {
  const line = format === 'json' ? jsonLine : textLine;
  return new DefaultLogger(level.toUpperCase() as SdkLevel, (entry) => {
    // Only one of a process's workers runs workflows; the others are right to have none.
    if (entry.message.startsWith('No workflows registered')) return;
    write(line(entry));
  });
}

function textLine(entry: LogEntry): string {
  const reason = errorOf(entry);
  return `${timeOf(entry)} ${entry.level} ${visible(redact(entry.message + (reason === null ? '' : `: ${reason}`)))}`;
}

/** What a log collector reads: the fields that say which work it is about are kept, the others may hold anything. */
function jsonLine(entry: LogEntry): string {
  const meta = entry.meta ?? {};
  const named = ['workflowId', 'runId', 'workflowType', 'activityType', 'activityId', 'attempt', 'taskQueue'];
  const about = Object.fromEntries(named.filter((name) => meta[name] !== undefined).map((name) => [name, meta[name]]));
  const reason = errorOf(entry);
  return JSON.stringify({
    time: timeOf(entry),
    level: entry.level.toLowerCase(),
    message: redact(entry.message),
    ...about,
    error: reason === null ? undefined : redact(reason),
  });
}

function timeOf({ timestampNanos }: LogEntry): string {
  return new Date(Number(timestampNanos / 1_000_000n)).toISOString();
}

function errorOf({ meta }: LogEntry): string | null {
  const error = meta?.['error'];
  return error instanceof Error ? error.message : null;
}
