/**
 * The layout of a data directory: what of it is a symbolic link, a mount point or on a disk of its own. What is seen of
 * it, and what a plan says of it.
 */
/** A directory outside the data directory that is part of it: where `pg_wal` or a tablespace leads to. */
export interface ObservedPart {
  readonly path: string;
  /** It lies in the data directory all the same. */
  readonly isInside: boolean;
  /** It is a directory that this worker, and the server, may write in. */
  readonly state: 'usable' | 'missing' | 'not-writable';
  readonly isEmpty: boolean;
  readonly freeBytes: number;
  /** Of what the cluster has in it now; 0 where counting takes too long. */
  readonly usedBytes: number;
  /** File systems are told apart by it. */
  readonly device: number;
}

export interface ObservedWal extends ObservedPart {
  /** Old WAL can be kept beside it: it is no mount point, and the directory that it is in can be written. */
  readonly hasRoomBeside: boolean;
}

export interface ObservedTablespace extends ObservedPart {
  readonly oid: string;
}

export interface ObservedLayout {
  /** Where the data is, or will be: `data_dir` itself, or where that link leads to. */
  readonly dataDir: string;
  readonly isLink: boolean;
  readonly isMountPoint: boolean;
  /** File systems that are mounted below it. */
  readonly mountsBelow: readonly string[];
  /** The directory that it is in. */
  readonly parent: ObservedPart['state'];
  readonly device: number;
  /** Null where `pg_wal` is a directory of the data directory, or gone. */
  readonly wal: ObservedWal | null;
  readonly tablespaces: readonly ObservedTablespace[];
  /** Further symbolic links in the data directory, such as one of a log directory. */
  readonly otherLinks: readonly string[];
}

/** A part that stays where it is. */
export interface PlannedPart {
  readonly path: string;
  /** Where what is in it now is moved to, on the same disk; null: it is overwritten. */
  readonly keptAs: string | null;
}

export interface PlannedTablespace {
  readonly oid: string;
  readonly path: string;
  /** Absent: it is restored to a directory of the recovery's own. */
  readonly keptAs?: string | null;
  /** The backup has it; otherwise the replay of WAL may make it again. */
  readonly restored: boolean;
}

/** The layout that the recovered data directory will have, as far as it is more than one directory. */
export interface PlannedLayout {
  /** Where `data_dir`, a symbolic link that stays, leads to. */
  readonly dataDir?: string;
  readonly wal?: PlannedPart;
  readonly tablespaces?: readonly PlannedTablespace[];
}

/** The directory that holds the data, whatever link leads to it. */
export function homeOf({ dataDir, layout }: { dataDir: string | null; layout?: PlannedLayout }): string {
  return layout?.dataDir ?? dataDir ?? '';
}
