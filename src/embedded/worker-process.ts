import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../domain/config.js';
import { RepriseError } from '../domain/errors.js';
import type { LogSettings } from '../domain/log-settings.js';
import { CONTROL_QUEUE, lightQueue } from '../domain/operation/names.js';
import { taskQueueTypes } from '../domain/operation/pollers.js';
import { startBackground, stopProcess } from '../process/exec/background.js';
import { tailOfFile, errorLine } from '../files/tail.js';
import { isAlive } from '../process/exec/process-identity.js';
import type { ProcessIdentity } from '../process/exec/process-identity.js';

const START_MS = 90_000;
const LOOK_MS = 200;

export interface WorkerProcessOptions {
  readonly config: Config;
  /** The program itself: `dist/main.js`. */
  readonly mainFile: string;
  readonly log: LogSettings;
  readonly directory: string;
  readonly address: string;
  readonly namespace: string;
}

/**
 * Many threads, few of them busy: an arena of memory for each (mallopt(3)) would cost more than it saves, and so would the
 * larger young generation that Node 24 gives to each heap. The unit and the image set the same.
 */
const littleMemory = { MALLOC_ARENA_MAX: '2', NODE_OPTIONS: '--max-semi-space-size=8' };

export const workerLog = (directory: string): string => join(directory, 'worker.log');

/**
 * Starts one worker for all hosts of the config, in a session of its own, and waits until it polls.
 * @throws `tool-failed` with the line of its log that says why when it ends instead.
 */
export async function startWorkerProcess({
  config,
  mainFile,
  log,
  directory,
  address,
  namespace,
}: WorkerProcessOptions): Promise<ProcessIdentity> {
  const hosts = Object.keys(config.hosts);
  const logFile = workerLog(directory);
  const argv = [
    ...[process.execPath, mainFile, '--config', config.file, '--address', address, '--namespace', namespace, 'worker'],
    ...hosts.flatMap((host) => ['--host', host]),
    ...['--log-level', log.level, '--log-format', log.format],
  ];
  // Secrets of the config may be references to the environment of whoever runs `up`.
  const env = Object.fromEntries(
    Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
  const identity = await startBackground(argv, { logFile, env: { ...littleMemory, ...env }, cwd: directory });
  try {
    await untilPolling(identity, hosts, { address, namespace, logFile });
  } catch (error) {
    await stopProcess(identity);
    throw error;
  }
  return identity;
}

async function untilPolling(
  identity: ProcessIdentity,
  hosts: readonly string[],
  server: { address: string; namespace: string; logFile: string },
): Promise<void> {
  const { Connection } = await import('@temporalio/client');
  const connection = await Connection.connect({ address: server.address });
  const polls = async (queue: string, taskQueueType: number): Promise<boolean> => {
    const answer = await connection.workflowService.describeTaskQueue({
      namespace: server.namespace,
      taskQueue: { name: queue },
      taskQueueType,
    });
    // The SDK's identity of a worker is `pid@host`.
    return (answer.pollers ?? []).some((poller) => poller.identity?.startsWith(`${identity.pid}@`) === true);
  };
  try {
    const wanted: [string, number][] = [
      [CONTROL_QUEUE, taskQueueTypes.workflow],
      ...hosts.map((host): [string, number] => [lightQueue(host), taskQueueTypes.activity]),
    ];
    const deadline = performance.now() + START_MS;
    while (performance.now() < deadline && (await isAlive(identity))) {
      // One after the other: a request that is still under way when another one fails would outlive the connection.
      let missing = wanted.length;
      for (const [queue, type] of wanted) if (await polls(queue, type)) missing -= 1;
      if (missing === 0) return;
      await sleep(LOOK_MS);
    }
  } finally {
    await connection.close();
  }
  const said = errorLine(await tailOfFile(server.logFile));
  throw new RepriseError(
    'tool-failed',
    `the worker did not start${said === '' ? '' : `: ${said}`}`,
    `see ${server.logFile}, then run \`reprise up\` again`,
  );
}
