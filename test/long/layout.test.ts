import { layoutContract } from '../contract/layout-suite.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';

failOnLeakedProcesses();

// The sample is contract/layout: pgBackRest, and PostgreSQL 18.
layoutContract('walg');
layoutContract('basebackup');
