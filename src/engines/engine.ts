/** The contract of an engine, in three parts: backups, restore, WAL; and what a kind of engine says in the registry. */
import type { PolicyConfig } from '../domain/config.js';
import type { z } from 'zod';
import type { BackupType, ListedBackup } from '../domain/backup/backup.js';
import type { RecoveryMethod } from '../domain/plan/plan.js';
import type { RecoveryOutline } from '../domain/plan/recovery-observations.js';
import type { RecoveryTarget } from '../domain/target/target.js';
import type { BackupEngine } from './backup-contract.js';
import type { EngineContext, ReadContext } from './context.js';
import type { RestoreEngine } from './restore-contract.js';
import type { WalEngine } from './wal-contract.js';

export type * from './backup-contract.js';
export type * from './restore-contract.js';
export type * from './wal-contract.js';
export type { EngineContext, ListedBackup, ReadContext, RecoveryOutline };

/** All methods are idempotent for one operation id: a later attempt finds what was done. */
export interface Engine extends BackupEngine, RestoreEngine, WalEngine {
  readonly kind: string;
  readonly capabilities: EngineCapabilities;
}

/** How engines differ. Callers ask for a capability, never for an engine's name; an absent one is refused (`capability-missing`). */
export interface EngineCapabilities {
  /** What a recovery with this engine works on. */
  readonly method: Exclude<RecoveryMethod, 'restart'>;
  /** Kinds of target it can reach. */
  readonly targets: readonly RecoveryTarget['kind'][];
  /** Types of backup it makes; with `incr`, an incremental backup may rest on others. */
  readonly types: readonly BackupType[];
  /** WAL is archived by this engine; the cluster has one archiver at the most. */
  readonly archivesWal: boolean;
  /** It can restore over the data of the same cluster, taking from there what is as in the backup; absent: it cannot. */
  readonly overwrites?: boolean;
  /** Its files are encrypted as the policy's `encryption` says. */
  readonly encrypts: boolean;
  /** Backups have to go in one `remove`, since its tool deletes only all before a given one; absent: one at a time. */
  readonly removesTogether?: true;
}

/** A kind of engine with the schema of its `options`; one line in the registry. Whoever reads a configuration loads no engine. */
export interface EngineKind<S extends z.ZodObject = z.ZodObject> {
  readonly load: () => Promise<Engine>;
  /** Those of the engine. */
  readonly capabilities: EngineCapabilities;
  /** Strict schema of `options` as written in reprise.yml: snake_case, durations as text. */
  readonly options: S;
  /** Makes `PolicyConfig.options` of what the schema accepted: camelCase, durations in seconds. */
  readonly read: (options: z.output<S>) => Readonly<Record<string, unknown>>;
  /** Whether a policy with these options (as in the config or as in `PolicyConfig`) has its WAL received, as `WalReceiver.wanted` says; absent: never. */
  readonly receives?: (options: Readonly<Record<string, unknown>>) => boolean;
  /**
   * Where the engine keeps its files outside the repository's own tree, in words: two policies never share one;
   * `options` as in `PolicyConfig`.
   */
  readonly place?: (options: Readonly<Record<string, unknown>>) => string;
  /** Looks where that is, for engines whose files do not go to the repository's own tree; `options` as in `PolicyConfig`. */
  readonly inspectPlace?: (options: Readonly<Record<string, unknown>>) => Promise<EnginePlace>;
  /** The `archive_command` that a policy needs; absent where the server needs none, or it depends on more than the policy. */
  readonly archiveCommand?: (policy: PolicyConfig) => Promise<string>;
  /** What is missing or wrong in its tool's own configuration for this cluster, with the very lines to add or change; null where nothing is. */
  readonly missingSetUp?: (
    options: Readonly<Record<string, unknown>>,
    server: SetUpServer,
  ) => Promise<{ readonly message: string; readonly lines: string } | null>;
  /** Its tool brings no settings to its sessions: they have the time-outs of role, database and server. */
  readonly keepsTimeouts?: true;
  /** What the role of the connection has to be created with, besides LOGIN. */
  readonly roleAttributes?: string;
  /** Programs it starts. */
  readonly tools?: readonly EngineTool[];
}

/** What the configuration of an engine's own tool has to say of a cluster. */
export interface SetUpServer {
  readonly dataDir: string;
  /** Its own; where it does not answer, the one of the configuration. */
  readonly port: number;
  readonly answers: boolean;
  /** Directory of its socket; null where it is reached by TCP. */
  readonly socketDir: string | null;
}

/** A program an engine starts, so that `doctor` can look whether it is there. */
export interface EngineTool {
  readonly program: string;
  /** One of PostgreSQL's own, of the server's major version; else found in PATH. */
  readonly ofPostgres: boolean;
  /** Option of the policy that may name another one, as in `PolicyConfig.options`. */
  readonly namedBy?: string;
  /** With what it says its version where it is not PostgreSQL's; default `version`. */
  readonly versionArgument?: string;
  /** How to get it. */
  readonly install: string;
  /** Oldest version that works, `[major, minor]`. */
  readonly oldest?: readonly [number, number];
}

/** Where an engine keeps its files, as its own configuration on this host says. */
export interface EnginePlace {
  /** Directory on this host; null where it is another machine's or an object store. */
  readonly path: string | null;
  readonly encrypted: boolean;
  /** How to have it encrypted, where it is not. */
  readonly encryptHint: string;
  /** What in that configuration works against Reprise, each with what to do. */
  readonly warnings: readonly string[];
}
