import { failOnLeakedProcesses } from '../helpers/leaks.js';
import { layoutContract } from './layout-suite.js';

failOnLeakedProcesses();

layoutContract('pgbackrest');
layoutContract('basebackup, PostgreSQL 18');
