import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KeptItem } from '../../domain/backup/records.js';
import { RepriseError } from '../../domain/errors.js';
import type { BesideCopy } from '../../domain/operation/inspections.js';
import { isOldDataThere } from '../../postgres/old-data/drop-old-data.js';
import { sizeOfOldData } from '../../postgres/old-data/size-old-data.js';
import { probe } from '../../postgres/connection/probe.js';
import { quicklyUsedBytes } from '../../postgres/server/disk.js';
import { readPostmaster } from '../../postgres/server/postmaster.js';
import { serviceOf } from '../../postgres/server/service.js';
import { findPostgresBin } from '../../process/exec/find-programs.js';
import { type KeptOnHost, openHostState } from '../../records/host-state.js';
import { type ClusterContext, openClusterContext, record } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { refuseWhileInUse, serverOf } from './kept-data.js';

/** What recoveries `--into NAME` have left on this host. */
export async function besideCopies(deps: HostDependencies, cluster?: string): Promise<readonly BesideCopy[]> {
  const clusters = Object.values(deps.config.clusters).filter(({ name, recovery }) => {
    const isHere = Object.values(recovery.targets).some(({ host }) => host === deps.host);
    return cluster === undefined ? isHere : name === cluster;
  });
  const lists = await Promise.all(
    clusters.map(async ({ name }) => {
      const clusterContext = await openClusterContext(deps, name);
      const { kept } = await clusterContext.catalogue.state();
      const here = kept.filter(({ beside, host }) => beside !== undefined && host === deps.host);
      return Promise.all(here.map((item) => copyOf(clusterContext, item)));
    }),
  );
  return lists.flat();
}

async function copyOf(clusterContext: ClusterContext, item: KeptItem): Promise<BesideCopy> {
  const { cluster, host } = clusterContext;
  const name = item.beside ?? '';
  const known = await openHostState(host.stateDir).kept(item.id);
  const port = known?.server?.port ?? cluster.recovery.targets[name]?.port ?? 0;
  const found = known === null ? null : await (known.server === null ? directoryOf : databaseOf)(clusterContext, known);
  return { ...item, name, port, state: 'gone', sizeBytes: null, ...found };
}

type Found = Pick<BesideCopy, 'state' | 'sizeBytes'> & Partial<Pick<BesideCopy, 'port'>>;

/** A data directory with a server of its own; null where it is not there. */
async function directoryOf({ cluster, user }: ClusterContext, kept: KeptOnHost): Promise<Found | null> {
  if (!(await isOldDataThere(kept, cluster.connection).catch(() => false))) return null;
  const postmaster = await readPostmaster(kept.where);
  return {
    ...(postmaster?.port ? { port: postmaster.port } : {}),
    state: postmaster?.alive ? 'running' : 'stopped',
    sizeBytes: await quicklyUsedBytes(kept.where, user),
  };
}

/** A database in a server that is not ours; null where it is not there. */
async function databaseOf(clusterContext: ClusterContext, kept: KeptOnHost): Promise<Found | null> {
  const connection = serverOf(clusterContext, kept);
  if (!(await probe(connection)).ok) return { state: 'stopped', sizeBytes: null };
  if (!(await isOldDataThere(kept, connection).catch(() => false))) return null;
  return { state: 'running', sizeBytes: await sizeOfOldData(kept.where, connection, Infinity) };
}

/**
 * Stops the server of a copy; `false` where it was stopped already.
 * @throws RepriseError `not-found` for what is no copy of this host's own; `conflict` while its recovery goes on
 */
export async function stopBeside(
  deps: HostDependencies,
  { cluster: name, id, by }: { readonly cluster: string; readonly id: string; readonly by: string },
): Promise<boolean> {
  const clusterContext = await openClusterContext(deps, name);
  const { host, user } = clusterContext;
  const kept = await openHostState(host.stateDir).kept(id);
  if (
    kept?.beside === undefined ||
    kept.cluster !== name ||
    !(await isOldDataThere(kept, serverOf(clusterContext, kept)))
  )
    throw new RepriseError(
      'not-found',
      `host ${deps.host} has no copy ${JSON.stringify(id)} of ${name}`,
      'reprise beside list',
    );
  if (kept.server !== null)
    throw new RepriseError(
      'capability-missing',
      `${kept.where} is a database of the server on port ${kept.server.port}, which Reprise has not started`,
      `drop the database: reprise beside drop ${kept.beside}; the server is stopped as it was started`,
    );
  await refuseWhileInUse(clusterContext, kept);
  const major = Number.parseInt(await readFile(join(kept.where, 'PG_VERSION'), 'utf8'), 10);
  const service = serviceOf({ dataDir: kept.where, service: { kind: 'pg_ctl' } }, await findPostgresBin(major), user);
  const wasRunning = (await service.status()) === 'running';
  if (!wasRunning) return false;
  await service.stop('fast');
  const text = `${by} stopped the copy ${kept.beside} in ${kept.where}`;
  await record(
    clusterContext,
    { operationId: kept.operationId },
    `journal/beside/stop/${Date.now()}`,
    { kind: 'journal', workflowId: `recover/${name}/${kept.operationId}`, step: 'stop the copy', text },
    by,
  );
  return true;
}
