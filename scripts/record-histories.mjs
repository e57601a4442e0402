#!/usr/bin/env node
/**
 * Records the histories of the replay tests anew: `node scripts/record-histories.mjs`. What is recorded stands in
 * `test/replay/record.ts`. A history that is recorded anew no longer proves that old runs survive: from 0.1.0 on, add
 * histories beside the old ones instead.
 */
import { spawnSync } from 'node:child_process';

const jest = ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js', '--selectProjects', 'record'];
process.exitCode = spawnSync(process.execPath, jest, { stdio: 'inherit' }).status ?? 1;
