import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectTemporal } from '../client/connect.js';
import type { TemporalSession } from '../client/connect.js';
import type { Config } from '../domain/config.js';
import { startTemporal } from '../embedded/temporal-server.js';
import { startWorkerProcess } from '../embedded/worker-process.js';
import { makePrivateDirectory } from '../files/directories.js';
import { startBackground } from '../process/exec/background.js';
import type { ProcessIdentity } from '../process/exec/process-identity.js';
import type { BusinessSettings } from './business/client.js';
import type { Owned } from './owned.js';
import type { Scratch } from './scratch.js';

/** The program that people start. */
export const mainFile = fileURLToPath(new URL('../main.js', import.meta.url));
const business = fileURLToPath(new URL('business/main.js', import.meta.url));

/** The command line that works on this demo from another terminal. */
export function commandLine(scratch: Scratch): string {
  return `${process.execPath} ${mainFile} --config ${scratch.configFile}`;
}

/** An embedded Temporal server with Web UI, and a worker as an operator would start it: two processes. */
export async function startServers(scratch: Scratch, config: Config, owned: Owned): Promise<TemporalSession> {
  const directory = join(scratch.root, 'servers');
  await makePrivateDirectory(directory);
  let temporal: Awaited<ReturnType<typeof startTemporal>> | undefined;
  await owned.start('Temporal server', async () => {
    temporal = await startTemporal({
      stateDir: directory,
      databaseFile: join(directory, 'temporal.db'),
      ports: scratch.temporal,
    });
    return temporal.identity;
  });
  if (temporal === undefined) throw new Error('the Temporal server was not started');
  const { address, namespace, webUi } = temporal;
  await owned.start('worker', () =>
    startWorkerProcess({ config, mainFile, log: { level: 'warn', format: 'text' }, directory, address, namespace }),
  );
  return connectTemporal({ address, namespace, webUi, origin: 'reprise.yml', connection: {} });
}

/** The business client, a separate process that knows nothing of Reprise. */
export async function startBusiness(scratch: Scratch): Promise<ProcessIdentity> {
  const settings: BusinessSettings = { connection: scratch.client, log: scratch.clientLog, paceMs: 10 };
  const file = join(scratch.root, 'business.json');
  await writeFile(file, JSON.stringify(settings), { mode: 0o600 });
  return startBackground([process.execPath, business, file], { logFile: join(scratch.root, 'client.log') });
}
