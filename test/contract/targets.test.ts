import { basebackupEngine } from '../../src/engines/basebackup/basebackup-engine.js';
import { pgbackrestEngine } from '../../src/engines/pgbackrest/pgbackrest-engine.js';
import { walgEngine } from '../../src/engines/walg/walg-engine.js';
import { startBaseCluster } from '../helpers/basebackup.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';
import { startBackrestCluster } from '../helpers/pgbackrest.js';
import { programs18 } from '../helpers/programs-18.js';
import { startWalgCluster } from '../helpers/walg.js';
import { makeGround } from './engine-fixture.js';
import { targetsContract } from './targets-suite.js';

failOnLeakedProcesses();

targetsContract(
  'basebackup, PostgreSQL 18',
  async () => {
    const { cluster, context } = await startBaseCluster({ version: 18 }, []);
    const pgBin = await programs18();
    return { engine: basebackupEngine, cluster, context: (operationId) => context(operationId, { pgBin }) };
  },
  { thorough: true },
);

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
