import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { identify } from '../../../src/process/exec/process-identity.js';
import { reprise } from '../../helpers/cli.js';
import { tempDir } from '../../helpers/temp.js';

const yaml = `version: 1
hosts:
  db1: { state_dir: ./state }
  db2: { state_dir: ./other }
repositories: { local: { type: directory, path: ./repo, host: db1 } }
clusters:
  mairie:
    host: db1
    connection: { host: 127.0.0.1, port: 1, user: reprise }
    databases: [mairie]
    catalogue: local
    backups:
      nightly: { engine: logical, repository: local, retention: { days: 14 } }
`;

let directory: string;
let config: string;

beforeEach(async () => {
  directory = await tempDir('embedded');
  config = join(directory, 'reprise.yml');
  await writeFile(config, yaml);
});

/** What `reprise up` has left, with its server on a port at which nobody answers. */
async function recorded(temporal: unknown, stateDir = 'state'): Promise<string> {
  await mkdir(join(directory, stateDir, 'embedded'), { recursive: true, mode: 0o700 });
  const file = join(directory, stateDir, 'embedded', 'embedded.json');
  await writeFile(file, JSON.stringify({ version: 1, configFile: config, port: 2, uiPort: 3, temporal, worker: null }));
  return file;
}

async function run(...argv: string[]) {
  const { code, stderr } = await reprise([...argv, '--config', config, '--json'], {
    env: { TEMPORAL_CONFIG_FILE: '/nonexistent.toml' },
  });
  return { code, error: (JSON.parse(stderr) as { error: { code: string; message: string; hint: string } }).error };
}

describe('O5: a config that `reprise up` was started for', () => {
  const commands = [
    ['status'],
    ['schedule', 'apply'],
    ['schedule', 'list'],
    ['backup', 'list'],
    ['backup', 'run', 'mairie'],
    ['recover', 'mairie', '--dry-run'],
    ['rotate', 'mairie', '--dry-run'],
    ['incident', 'list'],
    ['kept', 'list'],
    ['watch', 'recover/mairie/x'],
    ['approve', 'recover/mairie/x', '--plan', '0123456789ab', '--reason', 'x'],
  ];

  it('asks no other server while its own is stopped or has died: exit 5, and the command that starts it', async () => {
    const died = { pid: 1, startTime: 1, bootId: 'of-an-earlier-boot' };
    for (const temporal of [null, died]) {
      await recorded(temporal);
      for (const command of commands) {
        const { code, error } = await run(...command);
        expect([command, code, error.code]).toEqual([command, 5, 'temporal-unreachable']);
        expect(error.message).toContain('127.0.0.1:2');
        expect(error.hint).toContain(`reprise up --config ${config}`);
      }
    }
  });

  it('finds the server again after another host became the first of the file', async () => {
    await recorded(null, 'other');
    expect((await run('status')).error.message).toContain('127.0.0.1:2');
  });

  it('does not take a record that cannot be read for none', async () => {
    await writeFile(await recorded(null), '{');
    expect(await run('status')).toMatchObject({ code: 5, error: { message: expect.stringContaining('is damaged') } });
  });

  it('an address that is named has the last word, and it is said that it does', async () => {
    await recorded(await identify(process.pid));
    const env = { TEMPORAL_CONFIG_FILE: '/nonexistent.toml', TEMPORAL_ADDRESS: '127.0.0.1:1' };
    const { code, stderr } = await reprise(['status', '--config', config], { env });
    expect(code).toBe(5);
    expect(stderr).toContain(
      'asking the Temporal server at 127.0.0.1:1 (from environment), not that of `reprise up` at 127.0.0.1:2',
    );
  });

  it('doctor and check tell it as their finding', async () => {
    await recorded(null);
    const { code, stdout } = await reprise(['check', '--nagios', '--config', config], {
      env: { TEMPORAL_CONFIG_FILE: '/nonexistent.toml' },
    });
    expect([code, stdout]).toEqual([2, expect.stringContaining('is not running')]);
  });
});
