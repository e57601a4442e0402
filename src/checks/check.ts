import type { z } from 'zod';
import type { TableCount } from '../domain/backup/backup.js';
import type { ConnectionConfig } from '../domain/config.js';

/** What a check is told about the recovered service it looks at. */
export interface CheckContext {
  readonly connection: ConnectionConfig;
  /** As whom queries run; absent: as `withConfiguredQuery` finds one. */
  readonly checksRole?: string | undefined;
  /** Rows as recorded with the backup that was restored; empty where nothing was recorded. */
  readonly recorded: readonly TableCount[];
  /** False where WAL was replayed beyond the backup: then the counts are a history, not an expectation. */
  readonly recordedIsExact: boolean;
  readonly signal: AbortSignal;
}

export interface CheckOutcome {
  readonly status: 'passed' | 'failed';
  /** What was seen, in one sentence without row values. */
  readonly detail: string;
}

/** A kind of check, run after a recovery; one line in the registry. */
export interface CheckKind<S extends z.ZodObject = z.ZodObject, O = Readonly<Record<string, unknown>>> {
  /** Strict schema of the check's keys besides `type`, as written in reprise.yml: durations as text. */
  readonly options: S;
  /** Makes `CheckConfig.options` of what the schema accepted: durations in seconds. */
  readonly read: (options: z.output<S>) => O;
  /** A check that fails is an outcome; what keeps it from being run at all is thrown. */
  readonly run: (context: CheckContext, options: O) => Promise<CheckOutcome>;
}
