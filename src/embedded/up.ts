import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Config } from '../domain/config.js';
import type { UpOptions, UpResult, UpState } from '../domain/embedded-server.js';
import { RepriseError } from '../domain/errors.js';
import { giveTree } from '../files/give-tree.js';
import { makeOwnDirectory } from '../files/trusted-paths.js';
import { stopProcess } from '../process/exec/background.js';
import { withHostLock } from '../process/jobs/file-lock.js';
import { isFree } from '../process/exec/ports.js';
import { isAlive } from '../process/exec/process-identity.js';
import type { ProcessIdentity } from '../process/exec/process-identity.js';
import { addresses, embeddedDirectory, readEmbeddedRecord, writeEmbeddedRecord } from './record.js';
import type { EmbeddedRecord } from './record.js';
import { choosePorts, startTemporal } from './temporal-server.js';
import type { TemporalServer } from './temporal-server.js';
import { upAs, userToBecome } from './as-worker-user.js';
import { startWorkerProcess, workerLog } from './worker-process.js';

type Ports = Pick<EmbeddedRecord, 'port' | 'uiPort'>;
const MOST_TRIES = 3;

/**
 * Starts the embedded Temporal server and a worker for all hosts of this config, or finds them running. State, history
 * and ports are kept over restarts. A worker with an older config is replaced; its jobs go on, the new one attaches.
 * Root becomes the owner of the data directories first.
 * @throws `conflict` when the config names a Temporal server elsewhere, or its port is taken; `lock-held` when another
 * `up` or `down` is at it; `privilege-missing` when that owner may not use what the config names.
 */
export async function up(options: UpOptions): Promise<UpResult> {
  const { config } = options;
  const directory = await embeddedDirectory(config);
  if (options.dryRun) return planned(config, directory);
  const user = await userToBecome(options);
  if (user !== null) return upAs(user, options, directory);
  await makeOwnDirectory(directory, null);
  const run = (): Promise<UpResult> => start(options, directory);
  const result = await withHostLock(directory, 'up', 'exclusive', run, { key: 'up', tool: 'reprise up' });
  // The worker has given the state directory to the user that its jobs run as: who goes on without root's rights needs this too.
  if (process.getuid?.() === 0) await giveTree(directory, await stat(dirname(directory)));
  return result;
}

async function start(options: UpOptions, directory: string): Promise<UpResult> {
  const { record, state } = await ensureServer(options, directory);
  const worker = await ensureWorker(options, directory, record);
  return {
    ...addresses(record),
    temporal: { pid: record.temporal?.pid ?? null, state },
    worker,
    access: accessTo(record),
    stateDir: directory,
    logs: [join(directory, 'temporal.log'), workerLog(directory)],
  };
}

/** The server that runs, or a new one with the database of the one before. */
async function ensureServer(
  { config, report }: UpOptions,
  directory: string,
): Promise<{ record: EmbeddedRecord; state: UpState }> {
  const before = await readEmbeddedRecord(config);
  if (before?.temporal != null && (await isAlive(before.temporal))) {
    report('the embedded Temporal server is up already');
    return { record: before, state: 'running' };
  }
  report('starting the embedded Temporal server');
  const server = await startServer(config, directory, before);
  const record: EmbeddedRecord = {
    version: 1,
    configFile: config.file,
    ...{ port: server.port, uiPort: server.uiPort },
    httpApi: 'closed',
    temporal: server.identity,
    worker: before?.worker ?? null,
  };
  // At once: a server nobody knows of could not be stopped.
  await writeEmbeddedRecord(config, record);
  return { record, state: 'started' };
}

/** The worker that runs with this very config, or a new one in place of the one before. */
async function ensureWorker(
  { config, mainFile, log, report }: UpOptions,
  directory: string,
  record: EmbeddedRecord,
): Promise<UpResult['worker']> {
  const before = record.worker !== null && (await isAlive(record.worker)) ? record.worker : null;
  if (before?.configDigest === config.digest) {
    report(
      log.level === 'warn'
        ? 'the worker is up already'
        : 'the worker is up already; it keeps its log level until `reprise down`',
    );
    return { pid: before.pid, state: 'running' };
  }
  if (before === null) {
    report('starting the worker');
  } else {
    report('the config has changed: replacing the worker; its jobs go on');
    await stopProcess(before, 30_000);
  }
  const identity = await startWorkerProcess({ config, mainFile, log, directory, ...addresses(record) });
  await writeEmbeddedRecord(config, { ...record, worker: { ...identity, configDigest: config.digest } });
  return { pid: identity.pid, state: before === null ? 'started' : 'restarted' };
}

async function planned(config: Config, directory: string): Promise<UpResult> {
  const record = await readEmbeddedRecord(config);
  const living = async <P extends ProcessIdentity>(process: P | null | undefined): Promise<P | null> =>
    process != null && (await isAlive(process)) ? process : null;
  const [temporal, worker] = [await living(record?.temporal), await living(record?.worker)];
  const ports =
    temporal !== null && record !== null ? record : { ...(await portsFor(config, record)), httpApi: 'closed' as const };
  return {
    ...addresses(ports),
    temporal: { pid: temporal?.pid ?? null, state: temporal === null ? 'would-start' : 'running' },
    worker: { pid: worker?.pid ?? null, state: worker === null ? 'would-start' : 'running' },
    access: accessTo(ports),
    stateDir: directory,
    logs: [join(directory, 'temporal.log'), workerLog(directory)],
  };
}

/** Who can reach what: the server has no users, so the machine is the border. */
function accessTo(record: Ports & Pick<EmbeddedRecord, 'httpApi'>): UpResult['access'] {
  const { address, webUi } = addresses(record);
  const everybody = 'every user and program of this machine can start operations and send decisions';
  return [
    { what: 'Temporal', address, who: everybody },
    { what: 'Web UI', address: webUi, who: everybody },
    {
      what: 'HTTP API',
      address: null,
      who:
        record.httpApi === 'closed'
          ? 'nobody: it answers 403'
          : 'also web pages in a browser of this machine: close it with reprise down, then reprise up',
    },
  ];
}

/** Between the look at its ports and its start another program may take one, as a second `up` does: then they are chosen again. */
async function startServer(config: Config, directory: string, before: EmbeddedRecord | null): Promise<TemporalServer> {
  for (let tries = 1; ; tries++) {
    const ports = await portsFor(config, before);
    try {
      return await startTemporal({ stateDir: directory, databaseFile: join(directory, 'temporal.db'), ports });
    } catch (error) {
      const wasTaken = !(await isFree(ports.port)) || !(await isFree(ports.uiPort));
      if (!wasTaken || tries === MOST_TRIES) throw error;
    }
  }
}

/** Ports the config names, else those of last time, else the well-known or free ones. */
async function portsFor(config: Config, before: EmbeddedRecord | null): Promise<Ports> {
  const wanted = config.temporal.address;
  if (wanted !== undefined) {
    const [, port] = /^(?:127\.0\.0\.1|localhost|\[::1\]):(\d+)$/.exec(wanted) ?? [];
    if (port === undefined) {
      throw new RepriseError(
        'conflict',
        `${config.file} uses the Temporal server at ${wanted}`,
        'run `reprise worker` for that one, or remove `address` from the configuration to use an embedded server',
      );
    }
    if (!(await isFree(Number(port)))) {
      throw new RepriseError(
        'conflict',
        `port ${port} of the config's temporal.address is taken`,
        `a Temporal server may run there already: then \`reprise worker\` is enough; else see which program uses it: ss -ltnp 'sport = :${port}'`,
      );
    }
    return { port: Number(port), uiPort: await uiPortFor(config) };
  }
  if (before !== null && (await isFree(before.port)) && (await isFree(before.uiPort)))
    return { port: before.port, uiPort: before.uiPort };
  return choosePorts();
}

async function uiPortFor(config: Config): Promise<number> {
  const port = Number(/^https?:\/\/(?:127\.0\.0\.1|localhost):(\d+)\/?$/.exec(config.temporal.webUi)?.[1]);
  return port > 0 && (await isFree(port)) ? port : (await choosePorts()).uiPort;
}
