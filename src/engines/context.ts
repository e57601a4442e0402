import type { ClusterConfig, DescribedStorage, HostConfig, PolicyConfig, RepositoryConfig } from '../domain/config.js';
import type { Progress } from '../domain/operation/progress.js';
import type { Aborting, Jobs, OsUser } from '../process/jobs/jobs.js';
import type { ReadableStorage, WritableStorage } from '../storage/storage.js';

/** What an engine works with; made by the activities, for one operation on one host. */
export interface EngineContext<S extends ReadableStorage = WritableStorage> extends Aborting {
  readonly cluster: ClusterConfig;
  readonly policy: PolicyConfig;
  readonly host: HostConfig;
  readonly storage: S;
  readonly operationId: string;
  /** Directory of PostgreSQL's programs for this cluster's major version. */
  readonly pgBin: string;
  readonly user: OsUser | null;
  readonly jobs: Jobs;
  readonly uploader: Uploader;
  /** Command of a program of ours that counts rows in what another one prints; the other one's arguments are added to it. */
  readonly rowCounter: readonly string[];
  readonly report: (progress: Progress) => void;
  /** UTC now, injected so that names are reproducible in a test. */
  readonly now: () => Date;
  /** Opens an object store of an engine's own tool, to read what the tool has no command for. */
  readonly openToolStore: (described: DescribedStorage) => ReadableStorage;
}

/** Without what changes anything. */
export type ReadContext = Omit<EngineContext<ReadableStorage>, 'jobs' | 'uploader' | 'rowCounter'>;

/** A program of ours that writes another one's output into the policy's repository and needs no worker for it. */
export interface Uploader {
  /** To which the file with its order is added. */
  readonly argv: readonly string[];
  readonly repository: RepositoryConfig;
}
