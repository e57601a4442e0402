import { fileURLToPath } from 'node:url';
import type { ControlDependencies, HostDependencies } from '../activities/dependencies.js';
import { checkOf, checksOfEveryDrill } from '../checks/registry.js';
import { receivingPolicies } from '../config/receivers.js';
import { nextRuns, previousRuns } from '../config/schedule.js';
import { resolveSecret } from '../process/exec/secrets.js';
import type { Config } from '../domain/config.js';
import { inspectHost } from '../doctor/inspect-host.js';
import { programVersions } from '../doctor/tools.js';
import { engineOf } from '../engines/loaded-engines.js';
import { notifierOf } from '../notifiers/registry.js';
import { findPostgresBin } from '../process/exec/find-programs.js';
import { jobUser } from '../process/exec/users.js';
import { repositoriesOf } from './repositories.js';
import { packageVersion } from './workflow-source.js';

/** The real parts behind the activities of one host. */
export function hostDependencies(config: Config, host: string): HostDependencies {
  return {
    config,
    host,
    ...repositoriesOf(config, host),
    // Short-lived objects are few: room for many of them would only be memory that stays taken.
    uploader: [
      process.execPath,
      '--expose-gc',
      '--max-semi-space-size=1',
      fileURLToPath(new URL('./uploader.js', import.meta.url)),
    ],
    rowCounter: [
      process.execPath,
      '--max-semi-space-size=1',
      fileURLToPath(new URL('./row-counter.js', import.meta.url)),
    ],
    engineOf,
    checkOf,
    checksOfEveryDrill,
    postgresBin: (major) => findPostgresBin(major),
    jobUser,
    previousRuns,
    inspectHost,
    programVersions: async (policies, major) => [
      { name: 'Reprise', version: await packageVersion() },
      { name: 'Node.js', version: process.version },
      ...(await programVersions(policies, major)),
    ],
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
    lastRun: (schedule, upTo) => previousRuns(schedule, upTo, 1)[0],
    receivingPolicies: (cluster) =>
      receivingPolicies(config).flatMap((one) => (one.cluster === cluster ? [one.policy] : [])),
  };
}
