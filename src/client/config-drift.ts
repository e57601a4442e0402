import type { Config } from '../domain/config.js';
import { lightQueue } from '../domain/operation/names.js';
import { type WorkerIdentity, parseIdentity, shortConfig } from '../domain/operation/worker-identity.js';
import type { PolledQueue } from './pollers.js';

/** A worker, and the version and configuration it was started with. */
export interface WorkerConfig {
  /** Host of the config whose queue it polls; null for the queue of the workflows themselves. */
  readonly host: string | null;
  /** `pid@machine` */
  readonly worker: string;
  /** First 12 digits of its configuration's digest. */
  readonly config: string;
  /** Of its package; null where it does not say. */
  readonly version: string | null;
}

/** What living workers say they were started with, as the pollers of their queues are called: no worker has to answer. */
export function workerConfigs(queues: readonly PolledQueue[]): readonly WorkerConfig[] {
  return queues
    .filter(({ queue, kind, host }) => (host === null ? kind === 'workflow' : queue === lightQueue(host)))
    .flatMap(({ host, pollers }) =>
      livingWorkers(pollers).map(({ worker, config, version }) => ({ host, worker, config, version })),
    );
}

/** Those with another configuration than this one: a destructive step is refused on a host where that is so. */
export function withOtherConfig(workers: readonly WorkerConfig[], { digest }: Config): readonly WorkerConfig[] {
  return workers.filter(({ config }) => config !== shortConfig(digest));
}

/** The workers of each version, where living workers have more than one: an upgrade that has not reached all of them. */
export function mixedVersions(workers: readonly WorkerConfig[]): ReadonlyMap<string, readonly string[]> | null {
  const byVersion = new Map<string, readonly string[]>();
  for (const { worker, version } of workers) {
    const key = version ?? 'an older version';
    byVersion.set(key, [...new Set([...(byVersion.get(key) ?? []), worker])]);
  }
  return byVersion.size > 1 ? byVersion : null;
}

/** The sentence for people, and what to do. */
export function mixedVersionsInWords(versions: ReadonlyMap<string, readonly string[]>): {
  readonly message: string;
  readonly fix: string;
} {
  const each = [...versions].map(([version, workers]) => `${version} (${workers.join(', ')})`);
  return {
    message: `workers run with different versions of Reprise: ${each.join('; ')}`,
    fix: 'install the same version on each host, then restart its worker',
  };
}

/** The sentence for people, and what to do. */
export function driftInWords(
  { host, worker, config: theirs }: WorkerConfig,
  { file, digest }: Config,
): { readonly message: string; readonly fix: string } {
  const whose =
    host === null ? `the worker that runs the workflows (${worker})` : `the worker of host ${host} (${worker})`;
  return {
    message: `${whose} runs with another configuration (${theirs}) than this one (${shortConfig(digest)})`,
    fix: `copy the same ${file} there, then restart its worker; on one machine: reprise up`,
  };
}

/** A worker that was replaced is listed for a minute more: it has not polled since the next one began. */
export function livingWorkers(
  pollers: readonly { readonly identity: string; readonly seenMs: number }[],
): readonly WorkerIdentity[] {
  const known = pollers.flatMap(({ identity, seenMs }) => {
    const parsed = parseIdentity(identity);
    return parsed === null ? [] : [{ ...parsed, seenMs }];
  });
  return known.filter(
    ({ worker, seenMs }) => !known.some((other) => other.worker !== worker && Date.parse(other.since) > seenMs),
  );
}
