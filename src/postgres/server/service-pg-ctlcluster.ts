import type { ServiceConfig } from '../../domain/config.js';
import { runProgram } from '../../process/exec/run-program.js';
import { serverOptions } from './service-kind.js';
import type { ServiceKind } from './service-kind.js';

type PgCtlCluster = Extract<ServiceConfig, { kind: 'pg_ctlcluster' }>;

/**
 * Debian's `pg_ctlcluster`. It is run as the worker itself: root's calls it hands on to systemd, which keeps the server
 * out of the worker's cgroup, or else drops to the cluster's owner by itself.
 */
export function pgCtlClusterService({ version, name }: PgCtlCluster): ServiceKind {
  const run = async (seconds: number, ...args: string[]): Promise<void> => {
    await runProgram(['pg_ctlcluster', version, name, ...args], { timeoutMs: (seconds + 10) * 1000 });
  };
  return {
    logFile: `/var/log/postgresql/postgresql-${version}-${name}.log`,
    start: (settings, seconds) =>
      run(seconds, 'start', ...(Object.keys(settings).length > 0 ? ['-o', serverOptions(settings)] : [])),
    stop: (mode, seconds) => run(seconds, 'stop', '-m', mode),
  };
}
