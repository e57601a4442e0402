import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { reprise } from '../../helpers/cli.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();

const minimal = `version: 1
hosts: { db1: { state_dir: ./state } }
repositories: { local: { type: directory, path: ./repo, host: db1 } }
clusters:
  mairie:
    host: db1
    connection: { host: 127.0.0.1, port: 1, user: reprise }
    databases: [mairie]
    catalogue: local
    backups:
      nightly-dump: { engine: logical, repository: local, retention: { days: 14 } }
`;

async function configured(text = minimal): Promise<string> {
  const directory = await tempDir('cli');
  await writeFile(join(directory, 'reprise.yml'), text);
  return directory;
}
const code = (stderr: string): string => (JSON.parse(stderr) as { error: { code: string } }).error.code;

describe('D6: reprise as a process', () => {
  it('version: exit 0, the result alone on stdout', async () => {
    const { code: exit, stdout, stderr } = await reprise(['version', '--json']);
    expect([exit, stderr]).toEqual([0, '']);
    expect(JSON.parse(stdout)).toEqual({ schemaVersion: 1, version: expect.stringMatching(/^\d+\.\d+\.\d+/) });
  });

  it('exit 2 for usage', async () => {
    const { code: exit, stdout } = await reprise(['no-such-command']);
    expect([exit, stdout]).toEqual([2, '']);
  });

  it('F38: exit 4 for a wrong configuration, with file, line and column', async () => {
    const directory = await configured(minimal.replace('engine: logical', 'engine: logicl'));
    const { code: exit, stderr } = await reprise(['config', 'check', '--json'], { cwd: directory });
    expect(exit).toBe(4);
    expect(code(stderr)).toBe('config-invalid');
    expect(stderr).toMatch(/reprise\.yml:11:\d+/);
  });

  it('exit 5 where Temporal does not answer, with what to type', async () => {
    const { code: exit, stderr } = await reprise(['backup', 'list', '--address', '127.0.0.1:1', '--json'], {
      cwd: await configured(),
    });
    expect([exit, code(stderr)]).toEqual([5, 'temporal-unreachable']);
    expect(stderr).toContain('reprise up');
  });

  it('exit 6 for a cluster that is not there, with the one that was meant', async () => {
    const { code: exit, stderr } = await reprise(['backup', 'run', 'mairy', '--json'], { cwd: await configured() });
    expect([exit, code(stderr)]).toEqual([6, 'not-found']);
    expect(stderr).toContain('mairie');
  });

  it('exit 6 for a policy that is not there, with the one that was meant', async () => {
    const { code: exit, stderr } = await reprise(['backup', 'run', 'mairie', '--policy', 'nigthly-dump', '--json'], {
      cwd: await configured(),
    });
    expect([exit, code(stderr)]).toEqual([6, 'not-found']);
    expect(stderr).toContain('did you mean \\"nightly-dump\\"?');
  });

  it('exit 8 from doctor where something is wrong, its findings whole on stdout', async () => {
    const { code: exit, stdout } = await reprise(['doctor', '--address', '127.0.0.1:1', '--json'], {
      cwd: await configured(),
    });
    expect(exit).toBe(8);
    const { findings } = JSON.parse(stdout) as {
      findings: { check: string; level: string; message: string; fix: string | null }[];
    };
    expect(findings.find(({ check }) => check === 'temporal')).toMatchObject({
      level: 'problem',
      fix: expect.stringContaining('reprise up'),
    });
    expect(findings.every(({ level, fix }) => (level === 'ok') === (fix === null))).toBe(true);
  });

  it('--dry-run of a backup says what would run, without Temporal', async () => {
    const { code: exit, stdout } = await reprise(['backup', 'run', 'mairie', '--dry-run', '--json'], {
      cwd: await configured(),
    });
    expect(exit).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      dryRun: true,
      workflowId: 'backup/mairie/nightly-dump',
      plan: { engine: 'logical', queue: 'reprise-db1-heavy' },
    });
  });

  it('the configuration is found by flag, then environment, then in the working directory', async () => {
    const [one, two, three] = [await configured(), await configured(), await configured()];
    const file = async (argv: string[], env = {}): Promise<string> =>
      (
        JSON.parse((await reprise(['config', 'check', '--json', ...argv], { cwd: one, env })).stdout) as {
          file: string;
        }
      ).file;
    expect(await file([])).toBe(join(one, 'reprise.yml'));
    expect(await file([], { REPRISE_CONFIG: join(two, 'reprise.yml') })).toBe(join(two, 'reprise.yml'));
    expect(await file(['--config', join(three, 'reprise.yml')], { REPRISE_CONFIG: join(two, 'reprise.yml') })).toBe(
      join(three, 'reprise.yml'),
    );
  });
});
