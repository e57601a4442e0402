import type { z } from 'zod';
import type { Backup, TableCount } from '../domain/backup/backup.js';
import type { ConnectionConfig } from '../domain/config.js';
import type { WrittenCanary } from '../domain/drill/canary.js';
import type { MediaVerdict } from '../domain/media/media.js';
import type { ReachedTarget } from '../domain/operation/step-events.js';
import type { RecoveryTarget } from '../domain/target/target.js';
import type { ReadTables } from '../postgres/content/read-tables.js';
import type { OsUser } from '../process/jobs/jobs.js';

/** What was restored, and from what: checks of content, files and target look at it. */
export interface RestoredService {
  readonly method: 'data-directory' | 'databases';
  /** By the names they have now; null: every database of the server. */
  readonly databases: readonly string[] | null;
  /** On this host; null: it is elsewhere, or not known. */
  readonly dataDir: string | null;
  /** Directory of PostgreSQL's programs of its major version. */
  readonly pgBin: string;
  /** As whom programs run; null: as the worker itself. */
  readonly user: OsUser | null;
  readonly target: RecoveryTarget;
  /** Null where no step said what was reached. */
  readonly reached: ReachedTarget | null;
  /** As recorded; `database`: by the name it has now. */
  readonly backups: readonly Pick<
    Backup,
    'label' | 'database' | 'server' | 'wal' | 'startedAt' | 'finishedAt' | 'objects'
  >[];
  /** Every table of it, read whole; read once, however many checks ask. */
  readonly tables: () => Promise<ReadTables>;
}

/** What a drill has for its checks, beside what was restored. */
export interface DrillTools {
  /** Keeps a text in the evidence, and returns the name by which it is found there. */
  readonly keep: (name: string, text: string) => Promise<string>;
  /** Keeps what a program of this check printed in the logs of the evidence, cut where it is long. */
  readonly log?: (text: string) => Promise<unknown>;
  /** Dumps each restored database and restores that dump in a server of its own; returns what was compared, by database. */
  readonly dumpAgain: () => Promise<readonly DumpedAgain[]>;
}

/** How one database came through another dump. */
export interface DumpedAgain {
  readonly database: string;
  /** Tables that hold the same rows as before; null where it did not come so far. */
  readonly tables: number | null;
  /** Why it failed; null: it is the same. */
  readonly problem: string | null;
}

/** What a check is told about the recovered service it looks at. */
export interface CheckContext {
  readonly connection: ConnectionConfig;
  /** As whom queries run; absent: as `withConfiguredQuery` finds one. */
  readonly checksRole?: string | undefined;
  /** Rows as recorded with the backup that was restored, by the databases' present names; empty where nothing was recorded. */
  readonly recorded: readonly TableCount[];
  /** False where WAL was replayed beyond the backup: then the counts are a history, not an expectation. */
  readonly recordedIsExact: boolean;
  readonly signal: AbortSignal;
  /** Absent where nothing was restored. */
  readonly restored?: RestoredService;
  /** Reads so many objects, chosen by chance, of a folder of media by its name, and decodes the images among them. */
  readonly sampleMedia?: (media: string, objects: number) => Promise<MediaVerdict>;
  /** Absent where none is configured. */
  readonly canary?: {
    readonly database: string;
    readonly everySeconds: number;
    /** What was written in the days before an instant, in its order. */
    readonly written: (until: Date) => Promise<readonly WrittenCanary[]>;
  };
  /** Absent after a recovery. */
  readonly drill?: DrillTools;
}

export interface CheckOutcome {
  /** `skipped`: it could not be looked at here, and the detail says why. */
  readonly status: 'passed' | 'failed' | 'skipped';
  /** What was seen, in one sentence without row values. */
  readonly detail: string;
  /** What to do. */
  readonly hint?: string;
  /** Name of a file of the evidence that has the whole. */
  readonly evidence?: string;
}

/** A kind of check, run after a recovery or in a drill; one line in the registry. */
export interface CheckKind<S extends z.ZodObject = z.ZodObject, O = Readonly<Record<string, unknown>>> {
  /** Strict schema of the check's keys besides `type`, as written in reprise.yml: durations as text. */
  readonly options: S;
  /** Makes `CheckConfig.options` of what the schema accepted: durations in seconds. */
  readonly read: (options: z.output<S>) => O;
  /** Every drill runs it, with the defaults of its options where nothing is configured. Absent: only where it is configured. */
  readonly inEveryDrill?: true;
  /** It asks a database for figures and nothing else: it is run after a table was repaired too, when applications may be stopped. */
  readonly afterRepair?: true;
  /** A check that fails is an outcome; what keeps it from being run at all is thrown. */
  readonly run: (context: CheckContext, options: O) => Promise<CheckOutcome>;
}
