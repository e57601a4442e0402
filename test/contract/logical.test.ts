import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { RepositoryConfig } from '../../src/domain/config.js';
import { logicalEngine } from '../../src/engines/logical/logical-engine.js';
import { readS3Options } from '../../src/storage/s3/options.js';
import { makeAgeKey } from '../helpers/age.js';
import type { AgeKey } from '../helpers/age.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';
import { runQuery, startScratchCluster } from '../helpers/postgres.js';
import { startVersity } from '../helpers/s3-servers.js';
import type { S3Server } from '../helpers/s3-servers.js';
import { contentOf, HOSTILE_DATABASE, makeGround, seedCluster } from './engine-fixture.js';
import { engineContract } from './engine-suite.js';
import type { EngineFixture } from './engine-suite.js';
import { bound } from '../helpers/bound.js';

failOnLeakedProcesses();

engineContract({ name: 'logical', makeFixture: () => makeFixture(null) });
engineContract({ name: 'logical, encrypted', makeFixture: async () => makeFixture(await makeAgeKey()) });
engineContract({
  name: 'logical, in S3',
  makeFixture: async () => makeFixture(null, await startVersity()),
  ownFiles: false,
});

async function makeFixture(key: AgeKey | null, server?: S3Server): Promise<EngineFixture> {
  const source = await startScratchCluster();
  // Uncompressed: pg_restore itself takes a flipped bit there for data (F15).
  const ground = await makeGround(
    source,
    'logical',
    { restoreJobs: 2, compress: 0 },
    {},
    undefined,
    server && (await inBucket(server)),
  );
  const encryption = key === null ? {} : { encryption: { recipients: [key.recipient], identity: { file: key.file } } };
  const policy = { ...ground.policy, ...encryption };
  await seedCluster(source);
  const directory = join(
    server?.dataDir === undefined ? ground.repositoryPath : join(server.dataDir, 'backups', 'dumps'),
    'mairie',
    'nightly',
  );
  return {
    engine: logicalEngine,
    stateDir: ground.stateDir,
    context: (operationId) => ground.context(operationId, { policy }),
    sourceContent: () => contentOf(source),
    changeSource: async () => {
      await runQuery(source, HOSTILE_DATABASE, 'DELETE FROM metier.demandes_rdv WHERE id % 2 = 0');
    },
    directory,
    dataFile: async ({ label }) => {
      const names = await readdir(directory);
      return join(directory, names.find((name) => name === `${label}.dump${key === null ? '' : '.age'}`) ?? 'no dump');
    },
    /** A table locked by somebody else holds up pg_dump. */
    holdTool: async () => {
      const { host, port, user } = source;
      const client = new pg.Client({ host, port, user, database: 'mairie' });
      await client.connect();
      await client.query('BEGIN; LOCK TABLE metier.demandes_rdv IN ACCESS EXCLUSIVE MODE');
      let released: Promise<void> | undefined;
      return () => (released ??= client.end());
    },
    /** Onto a new instance that knows nothing of the old one's roles. */
    restoreAndHash: async (context, backups) => {
      const target = await startScratchCluster();
      const connection = { ...context.cluster.connection, port: target.port };
      const onTarget = { ...context, cluster: { ...context.cluster, connection, dataDir: target.dataDir } };
      const outline = await logicalEngine.outlineRecovery(onTarget, {
        ...{ target: { kind: 'latest' }, candidates: backups, oldDataDir: null },
        databases: context.cluster.databases,
      });
      for (const backup of outline.backups) {
        const approved = await bound(logicalEngine, onTarget, backup);
        await logicalEngine.logical?.restoreGlobals(onTarget, { ...approved, connection });
        await logicalEngine.logical?.restoreDatabase(onTarget, {
          ...approved,
          intoDatabase: restoredName(backup.database),
          connection,
        });
      }
      const content = await contentOf(target, restoredName);
      await target.remove();
      return content;
    },
  };
}

async function inBucket(server: S3Server): Promise<RepositoryConfig> {
  await server.bucket('backups');
  return { name: 'offsite', type: 's3', options: readS3Options(server.options('backups', { prefix: 'dumps' })) };
}

const restoredName = (database: string | undefined): string => `${database?.slice(0, 40)} restored`;
