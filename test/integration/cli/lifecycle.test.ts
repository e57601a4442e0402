import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { reprise } from '../../helpers/cli.js';
import { answer, editConfig, refusal, told } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();

describe('configuration and version', () => {
  let cwd: string;
  const run = async (...argv: string[]) => reprise([...argv, '--json'], { cwd });
  beforeAll(async () => {
    cwd = await tempDir('config');
  });

  it('F38: a wrong config is exit 4 with file, line and column, on every command; nothing starts', async () => {
    await writeFile(
      join(cwd, 'reprise.yml'),
      'version: 1\nclusters:\n  mairie:\n    hots: db1\n    connection: { host: 127.0.0.1, port: 5432, user: reprise }\n',
    );
    for (const command of [
      ['config', 'check'],
      ['backup', 'run', 'mairie'],
      ['up'],
      ['schedule', 'plan'],
      ['worker'],
    ]) {
      const { code, stdout, stderr } = await run(...command);
      expect([command, code, stdout]).toEqual([command, 4, '']);
      const { error } = JSON.parse(stderr.trimEnd().split('\n').at(-1) ?? '') as {
        error: { code: string; message: string; hint: string };
      };
      expect(error.code).toBe('config-invalid');
      expect(error.message).toContain('reprise.yml:4:5');
      expect(`${error.message} ${error.hint}`).toContain('host');
    }
  });

  it('a missing config is exit 4; usage is exit 2, with what was meant; version needs nothing', async () => {
    const nowhere = await tempDir('nowhere');
    const missing = await reprise(['config', 'check', '--json', '--config', join(nowhere, 'x.yml')], { cwd: nowhere });
    expect([missing.code, missing.stderr]).toEqual([4, expect.stringContaining('config-not-found')]);
    const typo = await run('bakcup', 'list');
    expect([typo.code, typo.stdout, typo.stderr]).toEqual([2, '', expect.stringContaining('backup')]);
    expect((await run('backup', 'run')).code).toBe(2);
    const { code, stdout } = await reprise(['version', '--json'], { cwd: nowhere });
    expect([code, JSON.parse(stdout)]).toEqual([
      0,
      { schemaVersion: 1, version: expect.stringMatching(/^\d+\.\d+\.\d+/) },
    ]);
  });

  it('config show --origin says where each value comes from: flag, environment, file, default', async () => {
    await writeFile(
      join(cwd, 'reprise.yml'),
      'version: 1\nclusters:\n  mairie:\n    connection: { host: 127.0.0.1, port: 5432, user: reprise }\n    databases: [mairie]\n    backups: { nightly: { engine: logical } }\n',
    );
    expect(JSON.parse((await run('config', 'check')).stdout)).toMatchObject({ ok: true, clusters: 1, policies: 1 });
    const { stdout } = await reprise(['config', 'show', '--origin', '--json', '--namespace', 'town'], {
      cwd,
      env: { TEMPORAL_ADDRESS: '127.0.0.1:7' },
    });
    const { config, origins } = JSON.parse(stdout) as {
      config: Record<string, unknown>;
      origins: Record<string, string>;
    };
    expect(config).toMatchObject({
      clusters: { mairie: { backups: { nightly: { retention: { days: 14 }, enabled: true } } } },
    });
    const text = JSON.stringify(origins);
    for (const origin of ['flag', 'environment', 'default', 'reprise.yml:4']) expect(text).toContain(origin);
  });
});

describe('without Temporal or a worker', () => {
  it('exit 5, with what to start; --detach starts the work all the same', async () => {
    const site = await Site.create();
    expect(await refusal(site, 'backup', 'list', '--address', '127.0.0.1:1')).toMatchObject({
      exit: 5,
      code: 'temporal-unreachable',
      hint: expect.stringContaining('reprise up'),
    });
    expect(await refusal(site, 'backup', 'list')).toMatchObject({
      exit: 5,
      code: 'host-without-worker',
      hint: expect.stringContaining('reprise'),
    });
    const { workflowId } = await answer<{ workflowId: string }>(
      site,
      'backup',
      'run',
      'mairie',
      '--policy',
      'dump',
      '--detach',
    );
    expect(await answer(site, 'status', workflowId)).toMatchObject({
      state: 'waiting-worker',
      waitingFor: expect.stringContaining('reprise'),
    });
    const late = await told(site, 'backup', 'run', 'mairie', '--policy', 'physical', '--timeout', '1s');
    expect([late.exit, late.error?.code]).toEqual([124, 'timeout']);
    await site.remove();
  });
});

describe('D7: hosts and workers', () => {
  let site: Site;
  const workers: ChildProcess[] = [];
  const worker = (...argv: string[]): ChildProcess => {
    const { address, namespace } = site.session.settings;
    const main = new URL('../../../dist/main.js', import.meta.url).pathname;
    const child = spawn(
      process.execPath,
      [main, '--config', site.places.configFile, '--address', address, '--namespace', namespace, 'worker', ...argv],
      { stdio: ['ignore', 'ignore', 'pipe'], cwd: '/' },
    );
    workers.push(child);
    return child;
  };
  const stopped = async (child: ChildProcess): Promise<unknown> => {
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    child.kill('SIGTERM');
    return (await once(child, 'exit'))[0];
  };

  beforeAll(async () => {
    site = await Site.create();
    await editConfig(site, (text) =>
      text
        .replace('hosts:\n', `hosts:\n  db2: { state_dir: ${site.root}/state2 }\n`)
        .replace(
          'clusters:\n',
          `clusters:\n  archives:\n    host: db2\n    connection: { host: ${site.places.socketDir}, port: ${site.places.port}, user: postgres }\n    databases: [postgres]\n    catalogue: second\n    backups: { dump: { engine: logical, repository: second, proof: none } }\n`,
        )
        .replace(
          'repositories:\n',
          `repositories:\n  second: { type: directory, path: ${site.root}/backups2, host: db2 }\n`,
        ),
    );
  });
  afterAll(() => Promise.all(workers.map(stopped)));

  it('two workers for two hosts: each does the work of its own; what its host lacks is said, and taken up when it comes', async () => {
    const control = worker('--host', 'db1');
    await site.waitFor(
      async () => (await answer<{ backups: unknown[] }>(site, 'backup', 'list', 'mairie')).backups,
      'the first worker answers',
    );
    expect(await refusal(site, 'worker', '--host', 'db3')).toMatchObject({
      exit: 6,
      code: 'not-found',
      hint: expect.stringContaining('db'),
    });
    expect(await refusal(site, 'backup', 'list', 'archives')).toMatchObject({ exit: 5, code: 'host-without-worker' });
    const { workflowId } = await answer<{ workflowId: string }>(site, 'backup', 'run', 'archives', '--detach');
    await site.waitFor(
      async () =>
        (await answer<{ state: string; waitingFor: string }>(site, 'status', workflowId)).waitingFor?.includes(
          'worker --host db2',
        ),
      'the missing host is named',
    );

    const second = worker('--host', 'db2', '--no-control');
    await site.waitFor(
      async () => (await answer<{ state: string }>(site, 'status', workflowId)).state === 'completed',
      'the second worker took it up',
    );
    const { backups } = await answer<{ backups: { cluster: string; database?: string }[] }>(site, 'backup', 'list');
    expect(backups.map(({ cluster, database }) => [cluster, database])).toEqual([['archives', 'postgres']]);
    expect([await stopped(second), await stopped(control)]).toEqual([0, 0]);
  });
});
