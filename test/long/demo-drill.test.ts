import { expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { readFile, readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { DemoResult } from '../../src/demo/result.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';
import { tempDir } from '../helpers/temp.js';

failOnLeakedProcesses();

const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const LONGEST_MS = 10 * 60_000;
const run = promisify(execFile);
const reprise = (...args: string[]) =>
  run(process.execPath, [main, ...args], { timeout: LONGEST_MS, maxBuffer: 1 << 26 });

it(
  'P4, P5, K4, V3, V4: the demo of a drill restores with both engines, is signed off, and leaves evidence in which a changed byte is found',
  async () => {
    const dir = await tempDir('demo-drill');
    const { stdout } = await reprise('demo', '--scenario', 'drill', '--yes', '--json', '--dir', dir);
    const result = JSON.parse(stdout) as Extract<DemoResult, { scenario: 'drill' }>;
    expect(result).toMatchObject({ scenario: 'drill', recovered: true, lostTransactions: 0 });
    expect(result.tables.map(({ name }) => name)).toContain('metier.demandes_rdv');
    expect(result.tables.filter(({ match }) => !match)).toEqual([]);

    const { drill, evidence } = result;
    expect(drill).toMatchObject({ verdict: 'pass', signOff: { verdict: 'pass', by: 'demo' } });
    const passed = drill.checks
      .filter(({ status }) => status === 'passed')
      .map(({ policy, name }) => `${policy} ${name}`);
    for (const policy of ['nightly-dump', 'physical'])
      for (const check of ['target-reached', 'row-counts', 'dump-again', 'amcheck', 'communes'])
        expect(passed).toContain(`${policy} ${check}`);
    expect(drill.register).toEqual({ open: 0, closed: 0 });
    expect(evidence).toMatchObject({ signed: true, verified: true, changed: { found: true } });
    expect(await readFile(result.report, 'utf8')).toContain(drill.drillId);

    // Nothing but the evidence is left, and whoever has it can verify it.
    expect((await readdir(dir)).filter((name) => !name.startsWith('reprise-demo-report-'))).toEqual([]);
    const verify = (folder = '') =>
      reprise('drill', 'evidence', folder, '--verify', '--public-key', evidence?.publicKey ?? '');
    expect((await verify(dirname(result.report))).stdout).toContain('verified: nothing was changed');
    await expect(verify(evidence?.changed.folder)).rejects.toMatchObject({ code: 8 });
  },
  LONGEST_MS,
);
