import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from '@temporalio/client';
import { RepriseError } from '../domain/errors.js';
import { searchAttributes } from '../domain/operation/names.js';
import { makePrivateDirectory } from '../files/directories.js';
import { startBackground, stopProcess } from '../process/exec/background.js';
import { findTemporalBinary } from '../process/exec/find-programs.js';
import { tailOfFile, errorLine } from '../files/tail.js';
import { freePorts, isFree } from '../process/exec/ports.js';
import { isAlive } from '../process/exec/process-identity.js';
import type { ProcessIdentity } from '../process/exec/process-identity.js';
import { NAMESPACE } from './record.js';

/** The embedded server's own default is a day: incidents are read for longer. */
const RETENTION_SECONDS = 90 * 86_400;
const START_MS = 60_000;
const LOOK_MS = 100;
/**
 * The server's HTTP API has no off switch, and takes a POST that any web page in a browser of this machine can send: with a
 * name that nobody has as the only host that is allowed, it answers 403 to everybody.
 */
const HTTP_API_CLOSED = ['--dynamic-config-value', 'frontend.httpAllowedHosts=["reprise.invalid"]'] as const;
const DEFAULT_PORT = 7233;
const DEFAULT_UI_PORT = 8233;

export interface TemporalServerOptions {
  /** Gets the server's log. */
  readonly stateDir: string;
  /** Keeps all state over restarts; never on the cluster that is being restored. */
  readonly databaseFile: string;
  /** Default: 7233 and 8233, or free ones. */
  readonly ports?: { readonly port: number; readonly uiPort: number };
}

export interface TemporalServer {
  readonly identity: ProcessIdentity;
  readonly address: string;
  readonly namespace: string;
  readonly webUi: string;
  readonly port: number;
  readonly uiPort: number;
  readonly logFile: string;
}

/**
 * Starts an embedded Temporal server with Web UI on 127.0.0.1, in a session of its own, and waits until it answers.
 * @throws `tool-missing` without Temporal's command line; `tool-failed` with the line of its log that says why.
 */
export async function startTemporal(options: TemporalServerOptions): Promise<TemporalServer> {
  const binary = await findTemporalBinary();
  const { port, uiPort } = options.ports ?? (await choosePorts());
  const [httpPort, metricsPort] = (await freePorts(2)) as [number, number];
  await makePrivateDirectory(options.stateDir);
  const logFile = join(options.stateDir, 'temporal.log');
  const argv = [
    ...[binary, 'server', 'start-dev', '--ip', '127.0.0.1', '--ui-ip', '127.0.0.1', '--namespace', NAMESPACE],
    ...[
      '--port',
      String(port),
      '--ui-port',
      String(uiPort),
      '--http-port',
      String(httpPort),
      '--metrics-port',
      String(metricsPort),
    ],
    ...['--db-filename', options.databaseFile, '--log-level', 'warn', ...HTTP_API_CLOSED],
    ...Object.values(searchAttributes).flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
  ];
  const identity = await startBackground(argv, { logFile, cwd: options.stateDir });
  const address = `127.0.0.1:${port}`;
  try {
    await untilReady(address, identity, logFile);
  } catch (error) {
    await stopProcess(identity);
    throw error;
  }
  return { identity, address, namespace: NAMESPACE, webUi: `http://127.0.0.1:${uiPort}`, port, uiPort, logFile };
}

/** Stops it gracefully; one that is gone is no error. */
export async function stopTemporal(identity: ProcessIdentity): Promise<void> {
  await stopProcess(identity, 20_000);
}

/** The well-known ports where both are free, so that people find the Web UI; else any. */
export async function choosePorts(): Promise<{ port: number; uiPort: number }> {
  if ((await isFree(DEFAULT_PORT)) && (await isFree(DEFAULT_UI_PORT)))
    return { port: DEFAULT_PORT, uiPort: DEFAULT_UI_PORT };
  const [port, uiPort] = (await freePorts(2)) as [number, number];
  return { port, uiPort };
}

/** Ready is when the namespace answers, some time after the port opens; then its retention is set. */
async function untilReady(address: string, identity: ProcessIdentity, logFile: string): Promise<void> {
  const { Connection } = await import('@temporalio/client');
  const deadline = performance.now() + START_MS;
  while (performance.now() < deadline && (await isAlive(identity))) {
    const connection = await Connection.connect({ address, connectTimeout: 1000 }).catch(() => null);
    if (connection !== null) {
      const ready = await setRetention(connection).finally(() => connection.close());
      // Another's server on this port would answer too, while ours could not take it.
      if (ready && (await isAlive(identity))) return;
    }
    await sleep(LOOK_MS);
  }
  const said = errorLine(await tailOfFile(logFile));
  throw new RepriseError(
    'tool-failed',
    `the embedded Temporal server did not start${said === '' ? '' : `: ${said}`}`,
    `see ${logFile}`,
  );
}

async function setRetention(connection: Connection): Promise<boolean> {
  try {
    const { msToTs } = await import('@temporalio/common/lib/time.js');
    const config = { workflowExecutionRetentionTtl: msToTs(RETENTION_SECONDS * 1000) };
    await connection.workflowService.updateNamespace({ namespace: NAMESPACE, config });
    return true;
  } catch {
    return false;
  }
}
