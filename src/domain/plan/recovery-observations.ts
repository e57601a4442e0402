import type { Backup, BoundContent } from '../backup/backup.js';
import type { MediaPlan } from '../media/media.js';
import type { ObservedLayout } from './layout.js';
import type { RecoveryTarget } from '../target/target.js';
import type { PlanBinding, RecoveryMethod } from './plan.js';
import type { MeasuredRestore } from './predict-duration.js';
import type { TimelineHistory } from './timeline-history.js';
import type { ObservedColdFiles } from './thaw.js';
import type { Topology } from './topology.js';

/** What an engine found when it looked at a recovery request. */
export interface RecoveryOutline {
  /** One for `data-directory`; one a database for `databases`. */
  readonly backups: readonly Backup[];
  /** What PostgreSQL is told: the target that was asked for, or the position in the WAL that it comes to. */
  readonly target: RecoveryTarget;
  readonly timeline: number | null;
  /** The instant whose data comes back; null or absent where it is not known. */
  readonly stateAt?: string | null;
  /** The last commit that comes back; null or absent where it is not known, or before the backup's end. */
  readonly lastCommitAt?: string | null;
  /** Where the record of that commit begins; of the target `latest` alone. */
  readonly lastCommitLsn?: string;
  /** Of clusters with timelines. */
  readonly history?: TimelineHistory;
  readonly systemIdentifier: string | null;
  readonly sizeBytes: number;
  readonly neededBytes: number;
  readonly reachableFrom: string | null;
  readonly reachableTo: string | null;
  readonly walEnd: string | null;
  readonly salvageableSegments: number;
  readonly warnings: readonly string[];
  /** System identifier of a new, empty cluster that is in the place of the one that the backups are of. */
  readonly freshCluster?: string;
  /** Physical engines: numbers of the backup's tablespaces. */
  readonly tablespaces?: readonly string[];
  /** Of {@link neededBytes}, what is in `pg_wal` while WAL is replayed. */
  readonly walBytes?: number;
  /** All WAL between the backup and the target: the database grows by no more. */
  readonly replayBytes?: number;
}

/** What the recovery starts from: the backups of one policy, or the data directory as it is. */
export interface RecoverySource {
  readonly method: RecoveryMethod;
  /** As the plan has it. */
  readonly through?: PlanBinding['through'];
  readonly outline: RecoveryOutline;
  /** What is bound of each of its backups, by id. */
  readonly content: Readonly<Record<string, BoundContent>>;
  /** Absent for a restart. */
  readonly policy?: SourcePolicy;
}

export interface SourcePolicy {
  readonly name: string;
  readonly engine: string;
  /** The engine can restore over old data. */
  readonly overwrites: boolean;
}

/** Answer of a server to a connectivity check. */
export type ServerAnswer =
  { readonly ok: true } | { readonly ok: false; readonly layer: string; readonly reason: string };

/** Free and used bytes where the recovered data goes. */
export interface ObservedDisk {
  /** Free where the new data goes. */
  readonly freeBytes: number;
  /** That the cluster takes now on this host, without its WAL; absent where it is not here. */
  readonly presentBytes?: number;
  /** Of old data that is copied away or overwritten, and of the WAL in it; absent where it is renamed. */
  readonly oldData?: { readonly usedBytes: number; readonly walBytes: number };
  /** Where old data is copied to. */
  readonly copyTo?: {
    readonly path: string;
    readonly freeBytes: number;
    readonly writable: boolean;
    /** Who would have to write there. */
    readonly user: string | null;
    readonly sameFileSystem: boolean;
  };
}

/** A setting in a configuration file by which an earlier recovery was told where to stop. */
export interface LeftoverTarget {
  readonly file: string;
  readonly name: string;
  readonly value: string;
}

/** What is in the place that is recovered into. */
export interface PlaceObservations {
  /** Of a cluster whose data directory is replaced in place; null where neither server nor files can be read. */
  readonly topology: Topology | null;
  /** The cluster's own server is there, whether it is replaced or not; absent where that cannot be seen. */
  readonly serverIsThere?: boolean;
  /** The server whose data directory is replaced answers. */
  readonly replacesRunningServer: boolean;
  /** Processes of a server in the directory that a copy is restored into. */
  readonly processes: readonly number[];
  /** Of the server that dumps are restored into; null for other methods. */
  readonly targetServer: ServerAnswer | null;
  /** Where WAL that was never archived can be read, for a recovery in place: the data directory, or an earlier one. */
  readonly oldDataDir: string | null;
  /** Tablespaces of the cluster itself, where a copy of it is recovered on the same host. */
  readonly liveTablespaces?: readonly { readonly oid: string; readonly path: string }[];
  /** With what the replaced server archives; null where nobody can tell; absent where nothing is replaced in place. */
  readonly archiving?: { readonly command: string; readonly library: string } | null;
  /** The engine can take no backup with that command. */
  readonly archivingIsUnfit?: boolean;
  /** The command that is set where there is none, or an unfit one; null where the policy needs none. */
  readonly ownArchiveCommand?: string | null;
  /** Configuration files of the backup, outside the data directory, that are not there any more. */
  readonly missingConfiguration: readonly string[];
  /** Targets of earlier recoveries in configuration files of the cluster; absent where none are looked for. */
  readonly leftoverTargets?: readonly LeftoverTarget[];
}

/** Everything that was read to make one plan: the plan follows from it, from the order and from the config. */
export interface RecoveryObservations extends PlaceObservations {
  /** UTC ISO-8601. */
  readonly at: string;
  readonly source: RecoverySource;
  /** The directory to recover into exists. */
  readonly dataDirExists: boolean;
  /** Null for a restart. */
  readonly coldFiles: ObservedColdFiles | null;
  /** SHA-256 of the engine's own configuration file, where it has one. */
  readonly engineConfigDigest?: string;
  /** Plan of the media that go to the same instant; null where none were asked for or none can be made. */
  readonly media: MediaPlan | null;
  /** Null where no directory is written. */
  readonly disk: ObservedDisk | null;
  /** Restores on this host by the same engine and method, for the prediction. */
  readonly measured?: readonly MeasuredRestore[];
  /** Of the directory to recover into; absent where none is written. */
  readonly layout?: ObservedLayout;
}
