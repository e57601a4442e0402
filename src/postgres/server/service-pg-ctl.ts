import { mkdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { runProgram } from '../../process/exec/run-program.js';
import { serverOptions } from './service-kind.js';
import type { ServiceKind, ServicePlace } from './service-kind.js';
import { pathExists } from '../../files/paths.js';
import { createFileAtomic } from '../../files/atomic-file.js';

/**
 * `pg_ctl`: starts the server in a session of its own (setsid) with its output in a file, so that it outlives the
 * worker. It stays in the worker's cgroup: under systemd the worker's unit needs `KillMode=process`, or the server is
 * better started by `pg_ctlcluster` or a hook that asks systemd.
 */
export function pgCtlService(place: ServicePlace): ServiceKind {
  const { dataDir, pgBin, user } = place;
  const logFile = place.logFile ?? join(dirname(dataDir), `${basename(dataDir)}.log`);
  const pgCtl = async (seconds: number, ...args: string[]): Promise<void> => {
    await runProgram([join(pgBin, 'pg_ctl'), ...args, '-D', dataDir, '-s', '-t', String(seconds)], {
      user,
      timeoutMs: (seconds + 10) * 1000,
    });
  };
  return {
    logFile,
    start: async (settings, seconds) => {
      await prepareLog(logFile, place);
      // A configuration that was copied along may still name the directory it came from.
      await pgCtl(seconds, 'start', '-w', '-l', logFile, '-o', serverOptions({ data_directory: dataDir, ...settings }));
    },
    // pg_ctl would wait for a zombie: who stops looks for living processes instead.
    stop: (mode, seconds) => pgCtl(seconds, 'stop', '-W', '-m', mode),
  };
}

/** The log is made by us where only root may write beside the data directory; it is the server user's then. */
async function prepareLog(logFile: string, { user }: ServicePlace): Promise<void> {
  if (await pathExists(logFile)) return;
  await mkdir(dirname(logFile), { recursive: true, mode: 0o700 });
  await createFileAtomic(logFile, '', user);
}
