import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { basebackupEngine } from '../../src/engines/basebackup/basebackup-engine.js';
import type { BaseCluster } from '../helpers/basebackup.js';
import { recoverBeside } from '../helpers/recovered.js';
import { runQuery } from '../helpers/postgres.js';
import { contentOf, HOSTILE_DATABASE } from './engine-fixture.js';
import type { EngineFixture } from './engine-suite.js';

/** What the contract suite needs of base backups, however their WAL comes and wherever they lie. */
export function baseFixture({
  cluster,
  ground,
  context,
  options,
  directory,
  walDirectory,
}: BaseCluster): EngineFixture {
  return {
    ...{ engine: basebackupEngine, stateDir: ground.stateDir, context, directory, walFolder: 'wal' },
    sourceContent: () => contentOf(cluster),
    changeSource: async () => {
      await runQuery(cluster, HOSTILE_DATABASE, 'DELETE FROM metier.demandes_rdv WHERE id % 2 = 0');
    },
    dataFile: ({ label }) => Promise.resolve(join(directory, label, 'base.tar.gz')),
    /** As slow as pg_basebackup can be told to be, it is at it for half an hour. */
    holdTool: () => {
      options['maxRate'] = '32k';
      return Promise.resolve(() => {
        delete options['maxRate'];
        return Promise.resolve();
      });
    },
    restoreAndHash: async (ofRestore, backups) => {
      const outline = await basebackupEngine.outlineRecovery(ofRestore, {
        ...{ target: { kind: 'end-of-backup' }, candidates: backups, oldDataDir: null },
        databases: ofRestore.cluster.databases,
      });
      const recovered = await recoverBeside(ofRestore, outline, { engine: basebackupEngine });
      const content = await contentOf(recovered);
      await recovered.remove();
      return content;
    },
    recovery: { source: cluster, archivedFile: (segment) => archivedFile(walDirectory, segment) },
  };
}

async function archivedFile(directory: string, segment: string): Promise<string> {
  const names = await readdir(directory, { recursive: true });
  return join(directory, names.find((name) => name.endsWith(`${segment}.gz`)) ?? 'no such segment');
}
