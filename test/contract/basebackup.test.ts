import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { basebackupEngine } from '../../src/engines/basebackup/basebackup-engine.js';
import { startBaseCluster } from '../helpers/basebackup.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';
import { recoverBeside } from '../helpers/pgbackrest.js';
import { runQuery } from '../helpers/postgres.js';
import { contentOf, HOSTILE_DATABASE, SEEDED_DATABASES } from './engine-fixture.js';
import { engineContract } from './engine-suite.js';
import type { EngineFixture } from './engine-suite.js';

failOnLeakedProcesses();

// B4: roles and tablespaces are in every physical backup: the content that is compared has their owners and settings.
engineContract({ name: 'basebackup', makeFixture, recovers: true });

async function makeFixture(): Promise<EngineFixture> {
  const source = await startBaseCluster({}, SEEDED_DATABASES);
  const { cluster, ground, options, directory } = source;
  return {
    engine: basebackupEngine,
    stateDir: ground.stateDir,
    context: ground.context,
    sourceContent: () => contentOf(cluster),
    changeSource: async () => {
      await runQuery(cluster, HOSTILE_DATABASE, 'DELETE FROM metier.demandes_rdv WHERE id % 2 = 0');
    },
    directory,
    walFolder: 'wal',
    dataFile: ({ label }) => Promise.resolve(join(directory, label, 'base.tar.gz')),
    /** As slow as pg_basebackup can be told to be, it is at it for half an hour. */
    holdTool: () => {
      options['maxRate'] = '32k';
      return Promise.resolve(() => {
        delete options['maxRate'];
        return Promise.resolve();
      });
    },
    restoreAndHash: async (context, backups) => {
      const outline = await basebackupEngine.outlineRecovery(context, {
        ...{ target: { kind: 'end-of-backup' }, candidates: backups, oldDataDir: null },
        databases: context.cluster.databases,
      });
      const recovered = await recoverBeside(context, outline, { engine: basebackupEngine });
      const content = await contentOf(recovered);
      await recovered.remove();
      return content;
    },
    recovery: { source: cluster, archivedFile: (segment) => archivedFile(source.walDirectory, segment) },
  };
}

async function archivedFile(directory: string, segment: string): Promise<string> {
  const names = await readdir(directory, { recursive: true });
  return join(directory, names.find((name) => name.endsWith(`${segment}.gz`)) ?? 'no such segment');
}
