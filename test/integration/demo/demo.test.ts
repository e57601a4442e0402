import { describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();

const main = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));
const LONGEST_MS = 10 * 60_000;

interface Pass {
  readonly loss: string;
  readonly recovered: boolean;
  readonly tables: readonly { name: string; rows: number; match: boolean }[];
  readonly rtoSeconds: number;
  readonly rpoSeconds: number;
  readonly lostTransactions: number;
  readonly phases: readonly { name: string; seconds: number }[];
  readonly webUi: string;
  readonly report: string;
  readonly transactions: {
    acknowledged: number;
    lastRecovered: number;
    lastArchived: number;
    firstLost: number | null;
  };
}

async function demo(dir: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [main, 'demo', '--dir', dir, ...args],
      { timeout: LONGEST_MS, maxBuffer: 1 << 26 },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
      },
    );
  });
}

describe('reprise demo', () => {
  it(
    'S1 S2 S3 S4 S5 B5 P1: loses the instance twice and recovers all that exists anywhere, by content hash',
    async () => {
      const dir = await tempDir('demo');
      const { code, stdout, stderr } = await demo(dir, '--yes', '--json');
      expect(code === 0 ? '' : stderr).toBe('');
      const result = JSON.parse(stdout) as Pass & {
        schemaVersion: number;
        scenario: string;
        passes: readonly [Pass, Pass];
      };
      const [first, second] = result.passes;

      expect(result).toMatchObject({ schemaVersion: 1, scenario: 'instance-loss', recovered: true });
      for (const field of [
        'tables',
        'rtoSeconds',
        'rpoSeconds',
        'lostTransactions',
        'phases',
        'webUi',
        'report',
      ] as const) {
        expect(result[field]).toEqual(first[field]);
      }
      // With the old WAL salvaged not one acknowledged commit is missing.
      expect(first).toMatchObject({ loss: 'data-files', recovered: true, lostTransactions: 0, rpoSeconds: 0 });
      expect(first.transactions.lastRecovered).toBeGreaterThan(first.transactions.lastArchived);
      // Without it, exactly those after the last archived segment are.
      expect(second).toMatchObject({ loss: 'whole-directory', recovered: true });
      expect(second.lostTransactions).toBeGreaterThan(0);
      expect(second.rpoSeconds).toBeGreaterThan(0);
      expect(second.transactions.lastRecovered).toBe(second.transactions.lastArchived);
      expect(second.transactions.firstLost).toBe(second.transactions.lastArchived + 1);

      for (const pass of result.passes) {
        expect(pass.tables.map(({ name }) => name)).toContain('metier.demandes_rdv');
        expect(pass.tables.filter(({ match }) => !match)).toEqual([]);
        expect(pass.tables.find(({ name }) => name === 'referentiel.communes')?.rows).toBe(34_969);
        expect(pass.rtoSeconds).toBeGreaterThan(0);
        expect(pass.phases.length).toBeGreaterThan(3);
        expect(pass.webUi).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/namespaces\/default\/workflows\/incident/);
        expect(await readFile(pass.report, 'utf8')).toContain('mairie');
      }
      // The incident documents stay, and nothing else does.
      expect((await readdir(dir)).filter((name) => !name.startsWith('reprise-demo-report-'))).toEqual([]);
    },
    LONGEST_MS,
  );

  it('removes everything when it is interrupted', async () => {
    const dir = await tempDir('demo');
    const running = execFile(process.execPath, [main, 'demo', '--yes', '--dir', dir]);
    let said = '';
    running.stderr?.on('data', (text: string) => (said += text));
    const ended = new Promise<number | null>((resolve) => running.once('exit', (code) => resolve(code)));
    while (!said.includes('Schedules and backups') && running.exitCode === null)
      await new Promise((later) => setTimeout(later, 50));
    running.kill('SIGINT');
    expect({ code: await ended, said }).toEqual({
      code: 130,
      said: expect.stringContaining('the demo was interrupted'),
    });
    expect(await readdir(dir)).toEqual([]);
  });
});
