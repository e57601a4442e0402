import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { reprise } from '../../helpers/cli.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();

const SECRET = 'canary:made-up\\4711';
let cwd: string;
const files = ['--global', 'config_global.yml', '--postgres', 'config_postgres.yml'];
const run = (...argv: string[]) => reprise(['config', 'import', ...argv], { cwd });

beforeAll(async () => {
  cwd = await tempDir('import');
  await writeFile(
    join(cwd, 'config_global.yml'),
    'backup:\n  postgres:\n    enabled: true\n    dir: "./backups/postgres"\n    retention_days: 14\n',
  );
  await writeFile(
    join(cwd, 'config_postgres.yml'),
    `connection:\n  host: localhost\n  username: postgres\n  dbname: mairie\n  password: '${SECRET}'\n  pool_size: 3\n`,
    { mode: 0o600 },
  );
});

describe('B6: config import', () => {
  it('prints a configuration on stdout and what became of each key on stderr; it passes config check', async () => {
    const { code, stdout, stderr } = await run(...files);
    expect(code).toBe(0);
    await writeFile(join(cwd, 'piped.yml'), stdout);
    expect(await reprise(['config', 'check', '--config', 'piped.yml'], { cwd })).toMatchObject({ code: 0 });
    expect(stderr).toMatch(
      /^read:\n( {2}config_\w+\.yml: \S+ {2}-> .*\n)+not read:\n {2}config_postgres\.yml: connection\.pool_size/,
    );
    expect(stderr).toContain('localhost:5432:*:postgres:PASSWORD');
    expect(stdout + stderr).not.toContain('canary');
  });

  it('--write writes it, and overwrites nothing without --overwrite; --json holds all of it', async () => {
    expect(await run(...files, '--write', 'reprise.yml')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('wrote'),
    });
    const first = await readFile(join(cwd, 'reprise.yml'), 'utf8');
    expect(await reprise(['config', 'check'], { cwd })).toMatchObject({ code: 0 });
    await writeFile(join(cwd, 'reprise.yml'), '# mine\n');
    const refused = await run(...files, '--write', 'reprise.yml', '--json');
    expect([refused.code, refused.stdout]).toEqual([7, '']);
    expect(await readFile(join(cwd, 'reprise.yml'), 'utf8')).toBe('# mine\n');
    const { code, stdout } = await run(...files, '--write', 'reprise.yml', '--overwrite', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      schemaVersion: 1,
      file: join(cwd, 'reprise.yml'),
      yaml: first,
      read: expect.any(Array),
      next: expect.any(Array),
    });
    expect(await readFile(join(cwd, 'reprise.yml'), 'utf8')).toBe(first);
  });

  it('a file that is not there is exit 4; one file too few is exit 2', async () => {
    expect(await run('--global', 'nowhere.yml', '--postgres', 'config_postgres.yml')).toMatchObject({
      code: 4,
      stdout: '',
      stderr: expect.stringContaining('nowhere.yml'),
    });
    expect(await run('--global', 'config_global.yml')).toMatchObject({ code: 2, stdout: '' });
  });
});
