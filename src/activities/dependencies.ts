import type { CheckKind } from '../checks/check.js';
import type {
  CheckConfig,
  Config,
  DescribedStorage,
  PolicyConfig,
  RepositoryConfig,
  ScheduleConfig,
  SecretReference,
} from '../domain/config.js';
import type { PreviousRuns } from '../domain/backup/freshness.js';
import type { Finding } from '../domain/findings.js';
import type { Engine } from '../engines/engine.js';
import type { NotifierKind } from '../notifiers/notifier.js';
import type { OsUser } from '../process/jobs/jobs.js';
import type { IdentityCheck, RecordedUse } from '../records/repository-identity.js';
import type { WritableStorage } from '../storage/storage.js';

/** A cluster that uses a repository, and what its records say of it. */
export interface RepositoryUser {
  readonly cluster: string;
  readonly recorded: () => Promise<RecordedUse>;
}

/** Where an engine's own tool keeps the files of a policy. */
export interface ToolPlace extends RepositoryUser {
  readonly policy: PolicyConfig;
  readonly storage: DescribedStorage;
  readonly owner: OsUser | null;
}

/** Everything the activities of one host get from the composition root; tests give the same with other parts. */
export interface HostDependencies {
  readonly config: Config;
  /** The host these activities serve. */
  readonly host: string;
  /**
   * Opens a repository, of which nothing is read or written before it was found to be the one that this host, or the records
   * of the cluster, know: its calls throw `repository-mismatch`.
   */
  openStorage(repository: RepositoryConfig, owner: OsUser | null, user?: RepositoryUser): WritableStorage;
  /** A storage by the settings of an engine's own tool; its root is never made. */
  openDescribed(storage: DescribedStorage, owner?: OsUser | null): WritableStorage;
  /** Whether a repository, or the place of an engine's own tool, is the known one; absent: nobody looks. */
  readonly identities?: {
    /** Null for one that carries no identity. */
    ofRepository(repository: RepositoryConfig, owner: OsUser | null): IdentityCheck | null;
    ofTool(place: ToolPlace): IdentityCheck;
  };
  engineOf(kind: string): Engine;
  /** Command of the uploader, without its order. */
  readonly uploader: readonly string[];
  /** Command of the counter of rows, without the program whose output it counts. */
  readonly rowCounter: readonly string[];
  checkOf(kind: string): CheckKind;
  /** Checks that every drill runs beside those of the configuration. */
  checksOfEveryDrill(): readonly CheckConfig[];
  /** Directory of PostgreSQL's programs of a major version; the newest where none is given. */
  postgresBin(major?: number): Promise<string>;
  /** User that tools on a cluster's files run as; null = the worker's own. */
  jobUser(ownerPath?: string): Promise<OsUser | null>;
  /** Reprise and the programs that policies use here, with their versions; absent: nobody looks. `major`: of PostgreSQL. */
  programVersions?(
    policies: readonly PolicyConfig[],
    major: number | undefined,
  ): Promise<readonly { readonly name: string; readonly version: string }[]>;
  /** When a schedule was due up to an instant, newest first. */
  previousRuns: PreviousRuns;
  /** What `doctor` finds on this host. */
  inspectHost(config: Config, host: string): Promise<readonly Finding[]>;
}

/** What control activities need. */
export interface ControlDependencies {
  readonly config: Config;
  /** Temporal's Web UI as this worker's connection knows it; absent: as the config has it. */
  readonly webUi?: string | undefined;
  notifierOf(kind: string): NotifierKind;
  /** The secret behind a reference, read when it is needed. */
  secret(reference: SecretReference): Promise<string>;
  /** When a schedule is due next after an instant; undefined where it never is. */
  nextRun(schedule: ScheduleConfig, after: Date): Date | undefined;
  /** When a schedule was due last up to an instant; undefined where it never was. */
  lastRun(schedule: ScheduleConfig, upTo: Date): Date | undefined;
  /** Policies of a cluster whose WAL a worker receives. */
  receivingPolicies(cluster: string): readonly string[];
}
