import { readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { walgEngine } from '../../src/engines/walg/walg-engine.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';
import { recoverBeside } from '../helpers/recovered.js';
import { runQuery } from '../helpers/postgres.js';
import { startWalgCluster } from '../helpers/walg.js';
import { contentOf, HOSTILE_DATABASE, makeGround, SEEDED_DATABASES, seedCluster } from './engine-fixture.js';
import { engineContract } from './engine-suite.js';
import type { EngineFixture } from './engine-suite.js';

failOnLeakedProcesses();

engineContract({ name: 'walg', makeFixture, recovers: true });

async function makeFixture(): Promise<EngineFixture> {
  const source = await startWalgCluster({ version: 15 });
  const { cluster, prefix, holdFile } = source;
  const ground = await makeGround(cluster, 'walg', source.options, { databases: SEEDED_DATABASES });
  await seedCluster(cluster);
  return {
    engine: walgEngine,
    stateDir: ground.stateDir,
    context: ground.context,
    sourceContent: () => contentOf(cluster),
    changeSource: async () => {
      await runQuery(cluster, HOSTILE_DATABASE, 'DELETE FROM metier.demandes_rdv WHERE id % 2 = 0');
    },
    directory: prefix,
    walFolder: 'wal_005',
    removesOldestOnly: true,
    keepsParts: true,
    dataFile: ({ label }) => biggestFile(join(prefix, 'basebackups_005', label, 'tar_partitions')),
    /** Nothing is archived, and the end of a backup waits for that. */
    holdTool: async () => {
      await writeFile(holdFile, '');
      return () => rm(holdFile, { force: true });
    },
    restoreAndHash: async (context, backups) => {
      const outline = await walgEngine.outlineRecovery(context, {
        ...{ target: { kind: 'end-of-backup' }, candidates: backups, oldDataDir: null },
        databases: context.cluster.databases,
      });
      const recovered = await recoverBeside(context, outline, { engine: walgEngine });
      const content = await contentOf(recovered);
      await recovered.remove();
      return content;
    },
    recovery: {
      source: cluster,
      archivedFile: (segment) => Promise.resolve(join(prefix, 'wal_005', `${segment}.lz4`)),
      writesInPlace: true,
    },
  };
}

async function biggestFile(directory: string): Promise<string> {
  const paths = (await readdir(directory)).map((name) => join(directory, name));
  const sizes = await Promise.all(paths.map(async (path) => ({ path, size: (await stat(path)).size })));
  return sizes.reduce((biggest, file) => (file.size > biggest.size ? file : biggest)).path;
}
