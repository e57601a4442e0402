import { expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { readFile, readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { DemoResult } from '../../src/demo/result.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';
import { tempDir } from '../helpers/temp.js';

failOnLeakedProcesses();

const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const LONGEST_MS = 10 * 60_000;
const run = promisify(execFile);

it(
  'M3, M4, T6, T8: the demo of a damaged table goes through an incident, finds the transaction in the WAL, undoes exactly that, and keeps every booking made since',
  async () => {
    const dir = await tempDir('demo-table');
    const { stdout } = await run(
      process.execPath,
      [main, 'demo', '--scenario', 'table-corruption', '--yes', '--json', '--dir', dir],
      { timeout: LONGEST_MS, maxBuffer: 1 << 26 },
    );
    const result = JSON.parse(stdout) as Extract<DemoResult, { scenario: 'table-corruption' }>;
    expect(result).toMatchObject({ scenario: 'table-corruption', recovered: true, lostTransactions: 0 });
    expect(result.tables.filter(({ match }) => !match)).toEqual([]);
    const { repair } = result;
    expect(repair.deleted).toBeGreaterThan(29_000);
    expect(repair.done).toEqual({ insert: repair.deleted, update: 0, delete: 0, conflicts: 0 });
    const report = await readFile(result.report, 'utf8');
    expect(report).toContain(`undo transaction ${repair.xid}`);
    expect(report).toContain('reprise table undo');
    expect(result.incident).toMatch(/^incident\/mairie\/table-corruption\//);
    for (const what of ['writes blocked', 'repair approved', 'writes open again'])
      expect(report).toContain(`| ${what} | 20`);
    expect((await readdir(dir)).filter((name) => !name.startsWith('reprise-demo-report-'))).toEqual([]);
  },
  LONGEST_MS,
);
