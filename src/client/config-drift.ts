import type { Config } from '../domain/config.js';
import { CONTROL_QUEUE, lightQueue } from '../domain/operation/names.js';
import { type WorkerIdentity, parseIdentity, shortConfig } from '../domain/operation/worker-identity.js';
import type { TemporalSession } from './connect.js';
import { pollersOf } from './pollers.js';

/** A worker and the configuration it was started with. */
export interface WorkerConfig {
  /** Host of the config whose queue it polls; null for the queue of the workflows themselves. */
  readonly host: string | null;
  /** `pid@machine` */
  readonly worker: string;
  /** First 12 digits of its configuration's digest. */
  readonly config: string;
}

/** What living workers say they were started with, as the pollers of their queues are called: no worker has to answer. */
export async function workerConfigs(session: TemporalSession, config: Config): Promise<readonly WorkerConfig[]> {
  const queues = [
    { host: null, queue: CONTROL_QUEUE, kind: 'workflow' as const },
    ...Object.keys(config.hosts).map((host) => ({ host, queue: lightQueue(host), kind: 'activity' as const })),
  ];
  const found = await Promise.all(
    queues.map(async ({ host, queue, kind }) =>
      living(await pollersOf(session, queue, kind)).map(({ worker, config: theirs }) => ({
        host,
        worker,
        config: theirs,
      })),
    ),
  );
  return found.flat();
}

/** Workers with another configuration than this one: a destructive step is refused on a host where that is so. */
export async function configDrift(session: TemporalSession, config: Config): Promise<readonly WorkerConfig[]> {
  return (await workerConfigs(session, config)).filter((worker) => worker.config !== shortConfig(config.digest));
}

/** `what`: the sentence for people, and what to do. */
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
function living(pollers: readonly { readonly identity: string; readonly seenMs: number }[]): readonly WorkerIdentity[] {
  const known = pollers.flatMap(({ identity, seenMs }) => {
    const parsed = parseIdentity(identity);
    return parsed === null ? [] : [{ ...parsed, seenMs }];
  });
  return known.filter(
    ({ worker, seenMs }) => !known.some((other) => other.worker !== worker && Date.parse(other.since) > seenMs),
  );
}
