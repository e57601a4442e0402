import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Services } from './cli/services.js';

/** Rooms the command line may use, loaded when a command needs them. Tests run the command line with them in their own process. */
export const services: Services = {
  version: async () => {
    const text = await readFile(new URL('../package.json', import.meta.url), 'utf8');
    return (JSON.parse(text) as { version: string }).version;
  },
  runWorker: async (options) => (await import('./worker/main.js')).runWorker(options),
  up: async (options) =>
    (await import('./embedded/up.js')).up({
      ...options,
      mainFile: fileURLToPath(new URL('./main.js', import.meta.url)),
    }),
  down: async (options) => (await import('./embedded/down.js')).down(options),
  embedded: async (config) => (await import('./embedded/record.js')).recordedEmbedded(config),
  demo: async (options) => {
    const [{ runDemo }, { demoText }] = await Promise.all([import('./demo/demo.js'), import('./demo/summary.js')]);
    const result = await runDemo(options);
    return { result, text: demoText(result) };
  },
  findClusters: async (pgbackrest) => (await import('./doctor/found-clusters.js')).findClusters(pgbackrest),
  makeDirectory: async (path, dataDir) =>
    (await import('./doctor/found-clusters.js')).makeFirstDirectory(path, dataDir),
  startDetached: async (argv) => {
    const { startDetached } = await import('./process/exec/detached.js');
    startDetached([process.execPath, fileURLToPath(new URL('./main.js', import.meta.url)), ...argv]);
  },
  runPsql: async (connection) => (await import('./process/exec/psql.js')).runPsql(connection),
  verifyEvidence: async (...given) => (await import('./records/evidence/verify.js')).verifyEvidence(...given),
  inspectHost: async (config, host) => (await import('./doctor/inspect-host.js')).inspectHost(config, host),
};
