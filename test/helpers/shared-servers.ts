/**
 * Servers that the whole run shares: one Temporal, one PostgreSQL. Tests find them by the environment; those
 * that stop or reconfigure a server start their own (startScratchCluster, startTemporalServer).
 */
import { ScratchCluster } from './scratch-cluster.js';
import { openTemplates } from './templates.js';
import { startTemporalServer } from './temporal-server.js';

let stops: (() => Promise<unknown>)[] = [];

/** Starts both and says in the environment where they are. */
export async function startSharedServers(): Promise<void> {
  stops.push(await openTemplates());
  const results = await Promise.allSettled([startTemporal(), startPostgres()]);
  const failure = results.find((result) => result.status === 'rejected');
  if (failure === undefined) return;
  // Teardown does not run after a failed set-up, so what did start is stopped here.
  await stopSharedServers().catch(() => undefined);
  throw failure.reason;
}

/** Stops what was started. Where the run is interrupted instead, the reapers do it. */
export async function stopSharedServers(): Promise<void> {
  const all = stops;
  stops = [];
  const results = await Promise.allSettled(all.map((stop) => stop()));
  const failure = results.find((result) => result.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
}

async function startTemporal(): Promise<void> {
  const server = await startTemporalServer({ webUi: process.env['REPRISE_TEST_WEB_UI'] === '1' });
  stops.push(server.stop);
  process.env['REPRISE_TEST_TEMPORAL_ADDRESS'] = server.address;
  if (server.webUi !== undefined) process.env['REPRISE_TEST_TEMPORAL_UI'] = server.webUi;
}

async function startPostgres(): Promise<void> {
  const cluster = await ScratchCluster.create();
  stops.push(() => cluster.remove());
  process.env['REPRISE_TEST_PG_PORT'] = String(cluster.port);
  process.env['REPRISE_TEST_PG_SOCKET'] = cluster.socketDir;
  process.env['REPRISE_TEST_PG_BIN'] = cluster.binDir;
}
