import { readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pgbackrestEngine } from '../../src/engines/pgbackrest/pgbackrest-engine.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';
import { STANZA, startBackrestCluster } from '../helpers/pgbackrest.js';
import { recoverBeside } from '../helpers/recovered.js';
import { runQuery } from '../helpers/postgres.js';
import { contentOf, HOSTILE_DATABASE, makeGround, seedCluster } from './engine-fixture.js';
import { engineContract } from './engine-suite.js';
import type { EngineFixture } from './engine-suite.js';

failOnLeakedProcesses();

/** pgBackRest 2.45 writes a manifest it cannot read for a name with a newline: that one is refused, see the faults. */
const hostile = HOSTILE_DATABASE.replaceAll('\n', '\t');
const databases = ['mairie', hostile];

engineContract({ name: 'pgbackrest', makeFixture, recovers: true });

async function makeFixture(): Promise<EngineFixture> {
  // A backup of a thousand small files is a thousand fsyncs: bundled, it is a few.
  const source = await startBackrestCluster({}, ['repo1-bundle=y']);
  const { cluster, repository, holdFile } = source;
  const ground = await makeGround(cluster, 'pgbackrest', source.options, { databases });
  await seedCluster(cluster, databases);
  return {
    engine: pgbackrestEngine,
    stateDir: ground.stateDir,
    context: ground.context,
    sourceContent: () => contentOf(cluster, undefined, databases),
    changeSource: async () => {
      await runQuery(cluster, hostile, 'DELETE FROM metier.demandes_rdv WHERE id % 2 = 0');
    },
    directory: repository,
    keepsParts: true,
    dataFile: ({ label }) => biggestFile(join(repository, 'backup', STANZA, label)),
    /** Nothing is archived while the backup runs, and it waits for that. */
    holdTool: async () => {
      await writeFile(holdFile, '');
      return () => rm(holdFile, { force: true });
    },
    restoreAndHash: async (context, backups) => {
      const outline = await pgbackrestEngine.outlineRecovery(context, {
        ...{ target: { kind: 'end-of-backup' }, candidates: backups, oldDataDir: null },
        databases: context.cluster.databases,
      });
      const recovered = await recoverBeside(context, outline, { engine: pgbackrestEngine });
      const content = await contentOf(recovered, undefined, databases);
      await recovered.remove();
      return content;
    },
    recovery: {
      source: cluster,
      archivedFile: (segment) =>
        archivedFile(join(repository, 'archive', STANZA, '15-1', segment.slice(0, 16)), segment),
    },
  };
}

async function archivedFile(directory: string, segment: string): Promise<string> {
  return join(
    directory,
    (await readdir(directory)).find((name) => name.startsWith(`${segment}-`)) ?? 'no such segment',
  );
}

async function biggestFile(directory: string): Promise<string> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile() && !entry.name.startsWith('backup.manifest'))
    .map((entry) => join(entry.parentPath, entry.name));
  const sizes = await Promise.all(files.map(async (path) => ({ path, size: (await stat(path)).size })));
  return sizes.reduce((biggest, file) => (file.size > biggest.size ? file : biggest)).path;
}
