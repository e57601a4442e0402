import { join } from 'node:path';
import { basebackupEngine } from '../../src/engines/basebackup/basebackup-engine.js';
import { startBaseCluster } from '../helpers/basebackup.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';
import { programs18 } from '../helpers/programs-18.js';
import { targetsContract } from './targets-suite.js';

failOnLeakedProcesses();

targetsContract(
  'basebackup, PostgreSQL 18',
  async () => {
    const { cluster, context, walDirectory } = await startBaseCluster({ version: 18 }, []);
    const pgBin = await programs18();
    return {
      engine: basebackupEngine,
      cluster,
      context: (operationId) => context(operationId, { pgBin }),
      archived: (name) => join(walDirectory, `${name}.gz`),
    };
  },
  { thorough: true },
);
