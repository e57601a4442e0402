import { pgbackrestEngine } from '../../src/engines/pgbackrest/pgbackrest-engine.js';
import { walgEngine } from '../../src/engines/walg/walg-engine.js';
import { makeGround } from '../contract/engine-fixture.js';
import { targetsContract } from '../contract/targets-suite.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';
import { startBackrestCluster } from '../helpers/pgbackrest.js';
import { startWalgCluster } from '../helpers/walg.js';

failOnLeakedProcesses();

// The same choice of the target as with basebackup, from WAL that other tools keep: contract/targets is the sample.
targetsContract('pgbackrest, PostgreSQL 15', async () => {
  const { cluster, options } = await startBackrestCluster({ version: 15 }, ['repo1-bundle=y']);
  const { context } = await makeGround(cluster, 'pgbackrest', options as never, { databases: ['postgres'] });
  return { engine: pgbackrestEngine, cluster, context: (operationId) => context(operationId) };
});

targetsContract('walg, PostgreSQL 15', async () => {
  const { cluster, options } = await startWalgCluster({ version: 15 });
  const { context } = await makeGround(cluster, 'walg', options as never, { databases: ['postgres'] });
  return { engine: walgEngine, cluster, context: (operationId) => context(operationId) };
});
