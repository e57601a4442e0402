import { fileURLToPath } from 'node:url';
import type { ControlDependencies, HostDependencies } from '../activities/dependencies.js';
import { checkOf } from '../checks/registry.js';
import { nextRuns } from '../config/schedule.js';
import { resolveSecret } from '../process/exec/secrets.js';
import type { Config, RepositoryConfig } from '../domain/config.js';
import { inspectHost } from '../doctor/inspect-host.js';
import { engineOf } from '../engines/registry.js';
import { notifierOf } from '../notifiers/registry.js';
import { findPostgresBin } from '../process/exec/find-programs.js';
import type { OsUser } from '../process/jobs/jobs.js';
import { runProgram } from '../process/exec/run-program.js';
import { jobUser } from '../process/exec/users.js';
import { openDescribed, openStorage } from '../storage/registry.js';
import type { WritableStorage } from '../storage/storage.js';

/** The real parts behind the activities of one host. */
export function hostDependencies(config: Config, host: string): HostDependencies {
  // One handle a repository and owner: the catalogue remembers what it has read.
  const open = new Map<string, WritableStorage>();
  return {
    config,
    host,
    openStorage: (repository: RepositoryConfig, owner: OsUser | null) => {
      const key = `${repository.name} ${owner?.uid ?? ''}`;
      const storage = open.get(key) ?? openStorage(repository, { secret: resolveSecret, ...(owner ? { owner } : {}) });
      open.set(key, storage);
      return storage;
    },
    openDescribed: ({ type, values, secrets }) =>
      openDescribed(type, values, {
        secret: (reference) => resolveSecret(reference, { env: secrets, run: runProgram }),
      }),
    // Short-lived objects are few: room for many of them would only be memory that stays taken.
    uploader: [
      process.execPath,
      '--expose-gc',
      '--max-semi-space-size=1',
      fileURLToPath(new URL('./uploader.js', import.meta.url)),
    ],
    engineOf,
    checkOf,
    postgresBin: (major) => findPostgresBin(major),
    jobUser,
    inspectHost,
  };
}

/** The real parts behind the control activities. */
export function controlDependencies(config: Config, webUi: string | undefined): ControlDependencies {
  return {
    config,
    webUi,
    notifierOf,
    secret: resolveSecret,
    nextRun: (schedule, after) => nextRuns(schedule, after, 1)[0],
  };
}
