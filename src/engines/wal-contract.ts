/** What an engine does with WAL: receives it, provides it to a recovering server, and archives it again afterwards. */
import type { WalArchive } from '../postgres/wal/wal-archive.js';
import type { EngineContext, ReadContext } from './context.js';

export interface WalEngine {
  /** The archived WAL of the cluster as it is now; engines that archive WAL. */
  readArchive?(context: ReadContext): Promise<WalArchive>;
  /** Engines that can fetch WAL by themselves. */
  readonly receiver?: WalReceiver;
}

/** WAL before, in and after a recovery. */
export interface RecoveryWal {
  /** `restore_command` for the recovered server, with PostgreSQL's `%f` and `%p`. */
  restoreCommand(context: ReadContext): string;
  /** The same for the beginning of a segment that is nowhere whole, tried last; absent where none is kept. */
  restoreBeginningCommand?(context: ReadContext): string;
  /**
   * Prepares to copy archived WAL into the data directory of a server that is about to recover, whose `restore_command` waits
   * for the copies.
   * Null, or absent, where that command fetches by itself. See `withWalPrefetch`.
   */
  prefetchWal?(context: ReadContext, dataDir: string): Promise<WalPrefetch | null>;
  /** `archive_command` that re-arms archiving after the recovery, same stanza, new timeline; null where the policy needs none. */
  archiveCommand(context: ReadContext): string | null;
  /**
   * Whether backups can be taken while the server archives with another command, such as a script of the operator's; absent: with
   * any.
   */
  acceptsArchiveCommand?(command: string): boolean;
  /** Makes the repository ready for the recovered cluster (a new stanza only when its identity changed). */
  rearm(context: EngineContext): Promise<void>;
}

/** Copies archived WAL to a recovering server while it replays. */
export interface WalPrefetch {
  /**
   * Copies segments ahead of the server, until all are there or the signal is aborted.
   * @throws RepriseError `wal-gap` for a damaged segment that the server needs
   */
  copy(signal: AbortSignal): Promise<void>;
  /** No more copies will come: the server's `restore_command` stops waiting for them. */
  close(): Promise<void>;
}

/** WAL that is fetched from the server by a program which always runs, instead of an `archive_command`. */
export interface WalReceiver {
  /** Whether a policy with these options (as in the config or as in `PolicyConfig`) has its WAL fetched so. */
  wanted(options: Readonly<Record<string, unknown>>): boolean;
  /** Replication slot of such a policy. */
  slot(place: Pick<ReadContext, 'cluster' | 'policy'>): string;
  /**
   * Receives until the context's signal; the program itself goes on where the signal leaves jobs alone.
   * `waits`: it is known that what is received cannot be stored; returns as soon as it is.
   * @throws RepriseError `wal-not-archived` where it cannot be stored, unless that is known; the program goes on
   */
  receive(context: EngineContext, known?: { readonly waits: boolean }): Promise<void>;
}
