import type { CheckKind } from '../checks/check.js';
import type { Config, RepositoryConfig, ScheduleConfig, SecretReference, DescribedStorage } from '../domain/config.js';
import type { Finding } from '../domain/findings.js';
import type { Engine } from '../engines/engine.js';
import type { NotifierKind } from '../notifiers/notifier.js';
import type { OsUser } from '../process/jobs/jobs.js';
import type { WritableStorage } from '../storage/storage.js';

/** Everything the activities of one host get from the composition root; tests give the same with other parts. */
export interface HostDependencies {
  readonly config: Config;
  /** The host these activities serve. */
  readonly host: string;
  openStorage(repository: RepositoryConfig, owner: OsUser | null): WritableStorage;
  /** A storage by the settings of an engine's own tool. */
  openDescribed(storage: DescribedStorage): WritableStorage;
  engineOf(kind: string): Engine;
  /** Command of the uploader, without its order. */
  readonly uploader: readonly string[];
  checkOf(kind: string): CheckKind;
  /** Directory of PostgreSQL's programs of a major version; the newest where none is given. */
  postgresBin(major?: number): Promise<string>;
  /** User that tools on a cluster's files run as; null = the worker's own. */
  jobUser(ownerPath?: string): Promise<OsUser | null>;
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
}
